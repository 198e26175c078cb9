"""Media types: what a client accepts, and multipart/related (PS3.18 8.7, RFC 2387).

Accept is parsed here, because general libraries cut the unquoted ``type=application/dicom``
at its slash and do not match parameters.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from flask import request

from gateway.core.errors import NotAcceptable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
JSON = "application/json"
OCTETS = "application/octet-stream"
JPEG = "image/jpeg"

_OTHER_NAMES = {
    "image/dicom-rle": ("image/x-dicom-rle",),
    "image/jls": ("image/x-jls",),
    "image/jphc": ("image/jhc",),
}
"""What clients call the media types of PS3.18 8.7.3.3; the answer is called as they call it."""

_PIECE = re.compile(r'((?:[^,;"]|"(?:[^"\\]|\\.)*")*)([,;]|\Z)')
_LONGEST_ACCEPT = 8192


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One range of an Accept header.

    Parameters
    ----------
    media_type
        Of the whole answer, or of its parts if ``multipart``; may be ``*/*`` or ``image/*``.
    multipart
        Whether ``multipart/related`` is asked for; None accepts both.
    transfer_syntax
        UID, ``*``, or None if the client says nothing.
    quality
        0 to 1; 0 refuses.
    """

    media_type: str
    multipart: bool | None
    transfer_syntax: str | None
    quality: float

    @property
    def specificity(self) -> int:
        """How exactly the range names a type: the more, the earlier it is tried."""
        return 2 - self.media_type.count("*")

    def accepts(self, offer: Offer) -> bool:
        """Whether an offer lies in the range."""
        if self.multipart is not None and self.multipart is not offer.multipart:
            return False
        wanted = self.media_type
        if wanted not in ("*/*", offer.media_type, f"{offer.media_type.split('/')[0]}/*"):
            return False
        if self.transfer_syntax is None:
            return offer.by_default
        return self.transfer_syntax in ("*", offer.transfer_syntax or EXPLICIT_VR_LITTLE_ENDIAN)


@dataclass(frozen=True, slots=True)
class Offer:
    """A representation that the server can give.

    Parameters
    ----------
    media_type
        Of the answer, or of its parts if ``multipart``.
    multipart
        Whether it comes as ``multipart/related``.
    transfer_syntax
        UID of its transfer syntax; None where there is no such thing.
    by_default
        Whether it answers a range that names no transfer syntax.
    """

    media_type: str
    multipart: bool = False
    transfer_syntax: str | None = None
    by_default: bool = True

    @property
    def content_type(self) -> str:
        """Content-Type of the answer, or of each part."""
        if self.transfer_syntax is None:
            return self.media_type
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"

    @property
    def tag(self) -> str:
        """What tells it from other offers of the same, as a part of an entity tag."""
        return f"{self.media_type}/{self.transfer_syntax}"


JSON_OFFERS = (Offer(DICOM_JSON), Offer(JSON))


def accepted() -> str | None:
    """Return what the client of this request accepts; see :func:`accepted_by`."""
    return accepted_by(request.environ)


def accepted_by(environ: WSGIEnvironment) -> str | None:
    """Return what a client accepts: the query parameter, else the header (PS3.18 8.3.3.1).

    What is too long to be meant is cut off, because choices are remembered.
    """
    query = environ.get("QUERY_STRING", "")
    if query and (values := parse_qs(query).get("accept")):
        return ",".join(values)[:_LONGEST_ACCEPT]
    header = environ.get("HTTP_ACCEPT")
    return header and header[:_LONGEST_ACCEPT]


@lru_cache(256)
def negotiate(accept: str | None, offers: tuple[Offer, ...]) -> Offer:
    """Choose a representation.

    Parameters
    ----------
    accept
        The Accept header, or the ``accept`` query parameter; None and empty accept anything.
    offers
        What there is, the best first.

    Raises
    ------
    NotAcceptable
        If no offer lies in any range.
    """
    ranges = parse_accept(accept or "*/*")
    # How exactly each offer is refused: the header may be long, and is gone through once for each.
    refused = {
        offer: max(
            (no.specificity for no in ranges if no.quality == 0 and no.accepts(offer)), default=-1
        )
        for offer in offers
    }
    for wanted in sorted(ranges, key=lambda one: (-one.quality, -one.specificity)):
        for offer in offers:
            if wanted.quality > 0 and wanted.accepts(offer) and refused[offer] < wanted.specificity:
                return offer
    there = sorted({offer.content_type for offer in offers})
    raise NotAcceptable(f"The resource is available as {' and '.join(there)}.")


def parse_accept(header: str) -> list[MediaRange]:
    """Read an Accept header, in any order and quoting of its parameters."""
    found: list[MediaRange] = []
    pieces: list[str] = []
    place = 0
    while place <= len(header):
        match = _PIECE.match(header, place)
        if match is None:  # a quote without its end: no range can be read from here on
            break
        pieces.append(match[1].strip())
        if match[2] != ";":
            found += _ranges(pieces)
            pieces = []
        if not match[2]:
            break
        place = match.end()
    return found


def _ranges(pieces: list[str]) -> list[MediaRange]:
    """Return the ranges of one element; several types may stand between one pair of quotes."""
    # In a query parameter "+" arrives as a blank.
    media_type = pieces[0].lower().replace(" ", "+")
    if not media_type:
        return []
    parameters = {
        name.strip().lower(): value.strip().strip('"')
        for name, _, value in (piece.partition("=") for piece in pieces[1:])
    }
    try:
        quality = min(1.0, max(0.0, float(parameters.get("q", "1"))))
    except ValueError:
        quality = 0.0
    syntax = parameters.get("transfer-syntax") or None
    if media_type in ("multipart/related", "multipart/*"):
        types = parameters.get("type", "*/*").lower().replace(" ", "").split(",")
        return [MediaRange(one, True, syntax, quality) for one in types]
    if media_type == "*/*":
        return [MediaRange("*/*", None, syntax, quality)]
    return [MediaRange(media_type, False, syntax, quality)]


@lru_cache(64)
def frame_offers(transfer_syntax: str, stored_type: str, *, single: bool) -> tuple[Offer, ...]:
    """Return how frames can be given: as stored, under their own type and as octets, and decoded.

    Parameters
    ----------
    transfer_syntax, stored_type
        Of the stored frames.
    single
        Whether one frame is asked for, so that it may come without multipart.
    """
    native = transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN
    offers: list[Offer] = []
    for multipart in (True, False) if single else (True,):
        if not native:
            for name in (stored_type, *_OTHER_NAMES.get(stored_type, ())):
                offers.append(Offer(name, multipart, transfer_syntax))
            offers.append(Offer(OCTETS, multipart, transfer_syntax, by_default=False))
        offers.append(Offer(OCTETS, multipart, EXPLICIT_VR_LITTLE_ENDIAN))
    return tuple(offers)


@lru_cache(256)
def frame_offer(
    accept: str | None,
    transfer_syntax: str,
    stored_type: str,
    single: bool,
) -> Offer:
    """Choose how frames are given; see :func:`negotiate` and :func:`frame_offers`."""
    return negotiate(accept, frame_offers(transfer_syntax, stored_type, single=single))


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart answer: its location and its bytes, in one or more pieces."""

    location: str
    pieces: Iterable[bytes]


class Multipart:
    """A multipart/related body whose parts all have one type.

    Parameters
    ----------
    offer
        The representation of the parts.
    boundary
        32 hexadecimal digits of an entity tag, so that equal answers are equal byte for byte;
        None for random ones. Either is in no pixel data.

    Attributes
    ----------
    content_type : str
        Content-Type of the whole answer.
    """

    def __init__(self, offer: Offer, boundary: str | None = None) -> None:
        self._boundary = boundary or secrets.token_hex(16)
        self._part_type = offer.content_type
        self.content_type = (
            f'multipart/related; type="{offer.media_type}"; boundary={self._boundary}'
        )

    def head(self, location: str) -> bytes:
        """Return what stands before a part's bytes."""
        return (
            f"--{self._boundary}\r\nContent-Type: {self._part_type}\r\n"
            f"Content-Location: {location}\r\n\r\n"
        ).encode("ascii")

    @property
    def tail(self) -> bytes:
        """What stands after the last part's bytes."""
        return f"\r\n--{self._boundary}--\r\n".encode("ascii")

    def stream(self, parts: Iterable[Part]) -> Iterator[bytes]:
        """Yield the body piece by piece."""
        between = b""
        for part in parts:
            yield between + self.head(part.location)
            yield from part.pieces
            between = b"\r\n"
        yield self.tail

    def size(self, locations: Iterable[str], sizes: Iterable[int]) -> int:
        """Return the length of the body for parts of known sizes."""
        heads = [len(self.head(location)) for location in locations]
        return sum(heads) + sum(sizes) + 2 * (len(heads) - 1) + len(self.tail)
