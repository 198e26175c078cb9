"""Under which URL clients reach the server: what all absolute URLs in answers begin with.

It is configured, or told by a proxy that is trusted; never what the Host header says, which a
client chooses (and the Python client sends without its port).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.instances import InstanceKey
from gateway.dicomweb.http.forwarded import forwarded_url, is_within, x_forwarded_url
from gateway.dicomweb.http.problems import problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROOT = "/dicom-web"
"""Path of the DICOMweb root."""

STUDY = "/studies/<study>"
SERIES = f"{STUDY}/series/<series>"
INSTANCE = f"{SERIES}/instances/<instance>"
LEVELS = (STUDY, SERIES, INSTANCE)
"""Paths below the root of what can be retrieved."""

_ROOT_URL = "slidegate.root"


def root_of(environ: WSGIEnvironment) -> str:
    """Return the absolute URL of the DICOMweb root, without a slash at its end."""
    root: str = environ[_ROOT_URL]
    return root


def instance_url(root: str, key: InstanceKey) -> str:
    """Return the URL of an instance.

    Parameters
    ----------
    root
        As :func:`root_of` tells it.
    """
    return f"{root}{key.path}"


@dataclass(frozen=True, slots=True)
class Addresses:
    """How clients reach the server.

    Parameters
    ----------
    listened
        Absolute URL that the server listens to.
    public_url
        Absolute URL of the server for its clients, without a slash at its end; its path is the
        prefix below which a proxy shows the server. Where it is empty, a trusted proxy tells it
        with each request; without one it is the URL that is listened to.
    wado_url
        DICOMweb root under which clients retrieve, where it is not ``/dicom-web`` below that:
        all absolute URLs in answers are of things to be retrieved.
    proxies
        Networks (CIDR) of trusted proxies.
    """

    listened: str
    public_url: str = ""
    wado_url: str = ""
    proxies: tuple[str, ...] = ()

    @property
    def hosts(self) -> frozenset[str]:
        """Names, with their ports, that these URLs have."""
        urls = (self.listened, self.public_url, self.wado_url)
        return frozenset(urlsplit(url).netloc for url in urls if url)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one request found the server."""

    root: str
    prefix: str


class PublicAddress:
    """Finds out for each request under which URL its client reaches the server.

    A prefix in front of the path is taken away, whether or not the proxy did so.

    Parameters
    ----------
    inner
        The application; it asks :func:`root_of`.
    """

    def __init__(self, inner: WSGIApplication, addresses: Addresses) -> None:
        self._inner = inner
        self._wado = addresses.wado_url
        self._configured = self._place(addresses.public_url or addresses.listened)
        proxies = () if addresses.public_url else addresses.proxies
        self._proxies = tuple(ipaddress.ip_network(one) for one in proxies)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        place = self._configured
        if self._proxies:
            try:
                place = self._told(environ) or place
            except GatewayError as error:
                status, headers, body = problem(error)
                start_response(status, headers)
                return [body]
        environ[_ROOT_URL] = place.root
        if prefix := place.prefix:
            environ["SCRIPT_NAME"] = prefix
            path = environ["PATH_INFO"]
            if path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/"):
                environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return self._inner(environ, start_response)

    def _place(self, url: str) -> _Place:
        return _Place(self._wado or f"{url}{ROOT}", urlsplit(url).path)

    def _told(self, environ: WSGIEnvironment) -> _Place | None:
        """Return what a trusted proxy says; None if it says nothing, or is not trusted."""
        if not is_within(environ.get("REMOTE_ADDR", ""), self._proxies):
            return None
        said = [
            url
            for url in (
                forwarded_url(environ.get("HTTP_FORWARDED", ""), self._proxies),
                x_forwarded_url(
                    environ.get("HTTP_X_FORWARDED_PROTO", ""),
                    environ.get("HTTP_X_FORWARDED_HOST", ""),
                    environ.get("HTTP_X_FORWARDED_PORT", ""),
                    environ.get("HTTP_X_FORWARDED_PREFIX", ""),
                    environ.get("HTTP_X_FORWARDED_FOR", ""),
                    self._proxies,
                ),
            )
            if url
        ]
        if len(set(said)) > 1:
            # One of them comes from the client, and nobody can say which.
            raise InvalidInput(
                "Forwarded and X-Forwarded-Host contradict each other: the proxy has to remove "
                "the one that it does not write."
            )
        return self._place(said[0]) if said else None
