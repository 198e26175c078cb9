"""What one request may ask for: published in the capabilities document and in the statement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from werkzeug.exceptions import RequestEntityTooLarge, RequestURITooLarge

from gateway.dicomweb.http.problems import problem
from gateway.services.render import MOST_PICTURES, MOST_SOURCE_FRAMES, MOST_SOURCE_PIXELS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Parameters
    ----------
    most
        The largest number that is taken.
    of
        What is counted.
    status
        How more is answered.
    """

    most: int
    of: str
    status: int


MOST_FRAMES = 10_000
"""Frames that one request may ask for."""

MOST_PARTS = 10_000
"""Objects that one request may bring."""

MOST_OBJECT_BYTES = 1 << 40
"""Length of one object."""

MOST_PART_HEADER_BYTES = 16 << 10
"""Length of the headers of one part."""

MOST_STORES = 16
"""Stores that one process takes at once; each occupies a thread and some megabytes."""

MOST_NATIVE_BYTES = 1 << 30
"""Pixel data up to which an instance is given without the compression that it is stored in."""

MOST_PICTURE_BYTES = 1 << 27
"""All rendered pictures of one answer together: they are held in memory."""

URL_BYTES = 65_000
"""Bytes of path and query. The server library answers 414 without a document above 65,534."""

LIMITS = {
    "url": Limit(URL_BYTES, "bytes of path and query", 414),
    "headers": Limit(100, "header fields", 431),
    "header-bytes": Limit(400_000, "bytes of URL and header fields together, about", 431),
    "body": Limit(0, "bytes of the body of GET, HEAD, OPTIONS and DELETE", 413),
    "frames": Limit(MOST_FRAMES, "frames in one request", 400),
    "pictures": Limit(MOST_PICTURES, "rendered pictures in one answer", 413),
    "picture-bytes": Limit(MOST_PICTURE_BYTES, "bytes of all pictures of one answer", 413),
    "picture-frames": Limit(MOST_SOURCE_FRAMES, "frames that one picture is made of", 413),
    "picture-pixels": Limit(
        MOST_SOURCE_PIXELS, "pixels of frames that one picture is made of", 413
    ),
    "native": Limit(MOST_NATIVE_BYTES, "bytes of pixel data of an instance decompressed", 406),
    "parts": Limit(MOST_PARTS, "objects in one request", 413),
    "part-headers": Limit(MOST_PART_HEADER_BYTES, "bytes of headers of one part", 400),
    "stores": Limit(MOST_STORES, "stores at once in one process of the server", 503),
    "object": Limit(MOST_OBJECT_BYTES, "bytes of one object that is stored", 413),
}

_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


def published() -> dict[str, dict[str, int | str]]:
    """Return all limits by name."""
    return {name: asdict(limit) for name, limit in LIMITS.items()}


class Bounded:
    """Refuses requests that are longer than is taken."""

    def __init__(self, inner: WSGIApplication) -> None:
        self._inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if len(environ["PATH_INFO"]) + len(environ.get("QUERY_STRING", "")) > URL_BYTES:
            refusal: Exception = RequestURITooLarge(
                f"At most {URL_BYTES} bytes of path and query are taken; ask in several requests."
            )
        elif environ["REQUEST_METHOD"] in _WITHOUT_BODY and _has_body(environ):
            refusal = RequestEntityTooLarge("This method takes no body; send the request without.")
        else:
            return self._inner(environ, start_response)
        status, headers, body = problem(refusal)
        start_response(status, headers)
        return [body]


def _has_body(environ: WSGIEnvironment) -> bool:
    length = environ.get("CONTENT_LENGTH") or environ.get("HTTP_CONTENT_LENGTH") or "0"
    return length != "0" or "HTTP_TRANSFER_ENCODING" in environ
