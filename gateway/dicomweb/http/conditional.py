"""Conditional requests and byte ranges (RFC 9110 13 and 14), for all that can be retrieved.

Plain functions over the environment of a request, so that every door answers alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from werkzeug.exceptions import PreconditionFailed, RequestedRangeNotSatisfiable
from werkzeug.http import parse_etags, parse_range_header, unquote_etag

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

UNCHANGING = "private, max-age=31536000, immutable"
"""Cache-Control of what is never another under its URL. Caches that people share keep nothing."""

REVALIDATED = "private, no-cache"
"""Cache-Control of what may change: kept, and asked about each time."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a request gets of a representation.

    Parameters
    ----------
    status
        Line of the status: 200, 206 or 304.
    headers
        ``ETag`` and ``Cache-Control``; with a known size ``Accept-Ranges`` and
        ``Content-Length``; ``Content-Range`` with 206; ``Vary`` where there are no ranges.
    start, stop
        Which bytes are wanted, the last one excluded; ``stop`` is None if the size is not known.
    """

    status: str
    headers: list[tuple[str, str]]
    start: int
    stop: int | None

    @property
    def unmodified(self) -> bool:
        """Whether the client has it already, so that no body is sent."""
        return self.status.startswith("304")

    @property
    def length(self) -> int | None:
        """Bytes that are wanted; None if the size is not known."""
        return None if self.stop is None else self.stop - self.start


def entity_tag(*parts: object) -> str:
    """Return a strong entity tag, with its quotes.

    Parameters
    ----------
    parts
        What the bytes of the representation depend on, such as the name of a blob and a
        content type.
    """
    text = "\x1f".join(map(str, parts))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def selection(
    environ: WSGIEnvironment,
    etag: str,
    cache_control: str,
    size: int | None = None,
    *,
    ranges: bool = True,
) -> Selection:
    """Compare what a request knows and wants with what there is.

    One range is answered with 206; several, malformed ones, those of another unit, and all of
    HEAD, as if there were none (RFC 9110 14.2).

    Parameters
    ----------
    environ
        The request; its method is GET or HEAD.
    etag
        As :func:`entity_tag` returns it.
    cache_control
        :data:`UNCHANGING` or :data:`REVALIDATED`.
    size
        Bytes of the representation; None if they are not known.
    ranges
        Whether ranges of it can be had; never without its size.

    Raises
    ------
    PreconditionFailed
        If the client wants it only in another state (``If-Match``).
    RequestedRangeNotSatisfiable
        If the range lies outside.
    """
    if (wanted := environ.get("HTTP_IF_MATCH")) and not _names(wanted, etag, weakly=False):
        raise PreconditionFailed("The resource is not in the state that If-Match names.")
    headers = [("ETag", etag), ("Cache-Control", cache_control)]
    if size is None or not ranges:
        # A cache may cut ranges out of a whole that it keeps (RFC 9111 3.4), as browsers do;
        # a piece of a multipart body is of no use to anybody.
        headers.append(("Vary", "Range"))
    if (known := environ.get("HTTP_IF_NONE_MATCH")) and _names(known, etag, weakly=True):
        return Selection("304 Not Modified", headers, 0, 0)
    if size is None:
        return Selection("200 OK", headers, 0, None)
    span = _range(environ, etag, size) if ranges else None
    if ranges:
        headers.append(("Accept-Ranges", "bytes"))
    start, stop = span or (0, size)
    headers.append(("Content-Length", str(stop - start)))
    if span is None:
        return Selection("200 OK", headers, start, stop)
    headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
    return Selection("206 Partial Content", headers, start, stop)


def _names(listed: str, etag: str, *, weakly: bool) -> bool:
    """Whether a list of entity tags, or ``*``, names one (RFC 9110 8.8.3.2)."""
    tags = parse_etags(listed.strip())
    opaque, weak = unquote_etag(etag)
    return tags.contains_weak(opaque) if weakly else tags.contains(opaque) and not weak


def _range(environ: WSGIEnvironment, etag: str, size: int) -> tuple[int, int] | None:
    """Return start and stop of the range that is wanted, or None for the whole."""
    wanted = environ.get("HTTP_RANGE")
    if not wanted or environ["REQUEST_METHOD"] != "GET":
        return None
    # A weak tag or a date is no proof that the parts belong to one whole.
    if (same := environ.get("HTTP_IF_RANGE")) and (same.strip() != etag or same.startswith("W/")):
        return None
    found = parse_range_header(wanted)
    if found is None or found.units != "bytes" or len(found.ranges) != 1:
        return None
    start, stop = found.ranges[0]
    if start < 0:
        start = max(0, size + start)
    stop = size if stop is None else min(stop, size)
    if start >= stop:
        raise RequestedRangeNotSatisfiable(length=size)
    return start, stop
