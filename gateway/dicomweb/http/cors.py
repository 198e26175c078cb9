"""Cross-origin requests (Fetch standard, CORS): who may read answers in a page of their own.

One layer around everything, so that errors of all kinds carry the headers too: without them a
page sees neither their status nor their reason. Preflights carry no credentials and are answered
here, outside whatever asks for identity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
REQUEST_HEADERS = (
    "Accept, Authorization, Content-Type, Range, If-Range, If-Match, If-None-Match, "
    "Content-Security-Policy, X-Requested-With"
)
"""Headers that known viewers send; others that a preflight names are allowed as well."""

EXPOSED_HEADERS = (
    "Content-Type, Content-Location, Content-Length, Location, ETag, Warning, Retry-After, "
    "Content-Range, Accept-Ranges, WWW-Authenticate"
)
MAX_AGE_S = 7200
"""How long browsers keep the answer to a preflight; Chromium keeps none longer."""

_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\s*,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_PREFLIGHT_VARIES = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

Headers = list[tuple[str, str]]


class Cors:
    """Lets pages of configured origins read answers.

    Parameters
    ----------
    inner
        The application.
    origins
        As browsers send them: scheme, host and port if it is not the scheme's own.
    """

    def __init__(self, inner: WSGIApplication, origins: Iterable[str]) -> None:
        self._inner = inner
        self._origins = frozenset(origins)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        origin = environ.get("HTTP_ORIGIN")
        allowed: Headers = []
        if origin in self._origins:
            allowed = [
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Allow-Credentials", "true"),
            ]
            if _is_preflight(environ):
                start_response("204 No Content", [*allowed, *_preflight(environ)])
                return []
            allowed.append(("Access-Control-Expose-Headers", EXPOSED_HEADERS))

        def started(status: str, headers: Headers, *exc_info: Any) -> Any:
            return start_response(status, [*_varying(headers), *allowed], *exc_info)

        return self._inner(environ, started)


def _is_preflight(environ: WSGIEnvironment) -> bool:
    return (
        environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    )


def _preflight(environ: WSGIEnvironment) -> Headers:
    asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
    names = f"{REQUEST_HEADERS}, {asked}" if _NAMES.fullmatch(asked) else REQUEST_HEADERS
    headers = [
        ("Access-Control-Allow-Methods", METHODS),
        ("Access-Control-Allow-Headers", names),
        ("Access-Control-Max-Age", str(MAX_AGE_S)),
        ("Vary", _PREFLIGHT_VARIES),
    ]
    if environ.get("HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK") == "true":
        headers.append(("Access-Control-Allow-Private-Network", "true"))
    return headers


def _varying(headers: Headers) -> Headers:
    """Add Origin to what answers vary by: caches must not give one origin's to another."""
    for place, (name, value) in enumerate(headers):
        if name.lower() == "vary":
            return [*headers[:place], (name, f"{value}, Origin"), *headers[place + 1 :]]
    return [*headers, ("Vary", "Origin")]
