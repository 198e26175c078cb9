"""The outermost layer: counts and logs answers, and tells of what nobody else told."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gateway.dicomweb.http.problems import problem
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROUTE = "slidegate.route"
"""Key under which the template of a request's route stands in its environment."""

FRAMES = "slidegate.frames"
"""Key under which the number of frames of the answer stands."""

RECEIVED = "slidegate.received"
"""Key under which the numbers of objects that came in stand, by what became of them."""

FRAMES_ROUTE = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}"

_UNKNOWN = "unknown"
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"})
_QUIET = frozenset({"/health", "/ready", "/metrics"})
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_log = logging.getLogger("slidegate.access")


def template(rule: str) -> str:
    """Return the template of a path as the API description writes it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


class Observed:
    """Counts every answer when it has ended, and writes a line about it.

    Parameters
    ----------
    inner
        The application; it writes :data:`ROUTE`.
    lines
        What is written: ``none``; ``requests``: all but frames, and probes that went well; ``all``.
    """

    def __init__(self, inner: WSGIApplication, metrics: Metrics, lines: str) -> None:
        self._inner = inner
        self._metrics = metrics
        self._lines = lines

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        begin = perf_counter()
        status = "500"

        def started(line: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            nonlocal status
            status = line[:3]
            return start_response(line, headers, *exc_info)

        try:
            body = self._inner(environ, started)
        except Exception as error:  # of a layer: applications tell of their own
            line, headers, text = problem(error)
            started(line, headers)
            body = [text]
        if isinstance(body, list):
            self.ended(environ, status, begin, sum(map(len, body)), whole=True)
            return body
        return _Observed(self, body, environ, status, begin)

    def began(self) -> None:
        """Notice an answer in pieces."""
        self._metrics.began()

    def ended(
        self, environ: WSGIEnvironment, status: str, begin: float, size: int, *, whole: bool
    ) -> None:
        """Count an answer that has ended."""
        route = environ.get(ROUTE, _UNKNOWN)
        method = environ["REQUEST_METHOD"]
        if method not in _METHODS:
            method = "other"
        seconds = perf_counter() - begin
        self._metrics.answered(route, method, status[0], seconds, size)
        if FRAMES in environ:
            self._metrics.frames(environ[FRAMES])
        elif RECEIVED in environ:
            for outcome, number in environ[RECEIVED].items():
                self._metrics.received(outcome, number)
        if self._lines == "none":
            return
        if self._lines == "requests" and (
            route == FRAMES_ROUTE or (route in _QUIET and status == "200")
        ):
            return
        fields = {
            "method": method,
            "route": route,
            "status": int(status),
            "bytes": size,
            "ms": round(1000 * seconds, 2),
            "trace": _trace(environ),
        }
        _log.info("", extra={"fields": fields if whole else fields | {"broken_off": True}})


def _trace(environ: WSGIEnvironment) -> str:
    """Return the caller's trace id (W3C Trace Context), or a new one."""
    told = _TRACE.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    return told[1] if told else secrets.token_hex(16)


class _Observed(Iterator[bytes]):
    """A body in pieces, whose end is noticed once."""

    def __init__(
        self,
        observer: Observed,
        body: Iterable[bytes],
        environ: WSGIEnvironment,
        status: str,
        begin: float,
    ) -> None:
        self._body = body
        self._pieces = iter(body)
        self._about = (environ, status, begin)
        self._size = 0
        self._observer: Observed | None = observer
        observer.began()

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._end(whole=True)
            raise
        except BaseException:
            self._end(whole=False)
            raise
        self._size += len(piece)
        return piece

    def close(self) -> None:
        self._end(whole=False)
        if (close := getattr(self._body, "close", None)) is not None:
            close()

    def __del__(self) -> None:
        self._end(whole=False)

    def _end(self, *, whole: bool) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer._metrics.ended()
            observer.ended(*self._about, self._size, whole=whole)
