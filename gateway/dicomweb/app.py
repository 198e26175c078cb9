"""The HTTP application: routes, errors, health, and who may speak to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response, request

from gateway.core.errors import Forbidden
from gateway.dicomweb import instances, metadata, operate, qido, rendered, stow, uri
from gateway.dicomweb.frames import FrameLane
from gateway.dicomweb.http import capabilities
from gateway.dicomweb.http.addresses import ROOT, Addresses, PublicAddress
from gateway.dicomweb.http.bulk import BulkAnswers
from gateway.dicomweb.http.cors import Cors
from gateway.dicomweb.http.limits import Bounded
from gateway.dicomweb.http.observed import ROUTE, Observed, template
from gateway.dicomweb.http.problems import problem
from gateway.services.query import Search
from gateway.services.receive import Receive
from gateway.services.render import Render
from gateway.services.retrieve import Retrieve
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LONG_ANSWERS = 192
"""How many of a process's threads long answers may take; single frames need only a moment."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the doors lead to.

    Parameters
    ----------
    ready
        Raises if requests cannot be answered now.
    slides
        Tells how many slides there are in which state.
    """

    retrieve: Retrieve
    search: Search
    receive: Receive
    render: Render
    ready: Callable[[], object]
    slides: Callable[[], Mapping[str, int]]


def http_application(
    use: UseCases,
    addresses: Addresses,
    origins: Iterable[str] = (),
    pages: Iterable[Blueprint] = (),
    access_log: str = "none",
) -> WSGIApplication:
    """Return the whole HTTP application.

    Parameters
    ----------
    addresses
        How clients reach the server.
    origins
        Origins of pages elsewhere that may read answers.
    pages
        Pages for people.
    access_log
        Which answers get a line, as :class:`~gateway.dicomweb.http.observed.Observed` says.
    """
    app = Flask("slidegate", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # it would redirect
    bulk = BulkAnswers(_LONG_ANSWERS)
    objects = instances.Objects(use.retrieve, bulk)
    for door in (
        metadata.blueprint(use.retrieve, bulk),
        instances.blueprint(use.retrieve, objects),
        qido.blueprint(use.search, bulk),
        rendered.blueprint(use.render),
        stow.blueprint(use.receive),
        capabilities.blueprint(),
    ):
        app.register_blueprint(door, url_prefix=ROOT)
    app.register_blueprint(uri.blueprint(use.retrieve, objects, use.render))
    for page in pages:
        app.register_blueprint(page)
    app.register_error_handler(Exception, _told)

    metrics = Metrics()
    app.register_blueprint(operate.blueprint(use.ready, use.slides, metrics))

    @app.after_request
    def described(answer: Response) -> Response:
        if request.url_rule is not None:
            request.environ[ROUTE] = template(request.url_rule.rule)
        if request.path.startswith(ROOT):
            answer.vary.add("Accept")
        return answer

    lane = FrameLane(use.retrieve, bulk, app)
    # What asks for identity will stand below CORS: preflights carry none, and refusals are read.
    guarded: WSGIApplication = LoopbackOnly(
        Bounded(PublicAddress(lane, addresses)), addresses.hosts
    )
    if allowed := tuple(origins):
        guarded = Cors(guarded, allowed)
    return Observed(guarded, metrics, access_log)


def _told(error: Exception) -> Response:
    status, headers, body = problem(error)
    return Response(body, status, headers)


class LoopbackOnly:
    """Refuses requests that name another host than this one.

    The server knows no identities yet, so it binds to loopback. A page from elsewhere, opened in
    a browser on this machine, could still reach it under a name of its own; such a name is not
    served.

    Parameters
    ----------
    hosts
        Names, with their ports, under which the server was told to listen and to be known. What
        a proxy says is not enough: a page under a name of its own could say the same.
    """

    def __init__(self, inner: WSGIApplication, hosts: Iterable[str]) -> None:
        self._inner = inner
        self._names = _LOOPBACK | set(map(_name, hosts))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if _name(environ.get("HTTP_HOST", "localhost")) not in self._names:
            error = Forbidden("Until identities are configured, only this machine is served.")
            status, headers, body = problem(error)
            start_response(status, headers)
            return [body]
        return self._inner(environ, start_response)


def _name(host: str) -> str:
    """Return the name in ``name:port``; the name may be an IPv6 address in brackets."""
    return (host if host.endswith("]") else host.rsplit(":", 1)[0]).lower()
