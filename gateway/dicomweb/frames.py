"""The frame lane: the shortest way from socket to disk.

A plain WSGI application for ``.../frames/N[,N]`` and nothing else. It stands in front of the
Flask application, whose routing costs more than reading a frame does; services and errors are
the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING

from werkzeug.exceptions import MethodNotAllowed

from gateway.core.errors import InvalidInput
from gateway.core.instances import (
    Instance,
    InstanceKey,
    checked_uid,
)
from gateway.dicom.images.pixels import MEDIA_TYPES, decoded
from gateway.dicomweb.http.addresses import ROOT, instance_url, root_of
from gateway.dicomweb.http.bulk import BulkAnswers
from gateway.dicomweb.http.conditional import UNCHANGING, selection
from gateway.dicomweb.http.limits import MOST_FRAMES
from gateway.dicomweb.http.media import Multipart, Offer, Part, accepted_by, frame_offer
from gateway.dicomweb.http.observed import FRAMES, FRAMES_ROUTE, ROUTE
from gateway.dicomweb.http.problems import problem
from gateway.services.frames import Frames
from gateway.services.retrieve import Retrieve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_INSTANCE = re.compile(rf"{ROOT}/studies/([^/]+)/series/([^/]+)/instances/([^/]+)\Z")
_METHODS = ("GET", "HEAD", "OPTIONS")
_KEPT = (("Cache-Control", UNCHANGING), ("Vary", "Accept, Authorization, Range"))
"""Headers of every answer: the frames of a SOP Instance UID never change.

There are no ranges of frames, and a browser must not cut them out of what it keeps: see
:func:`gateway.dicomweb.http.conditional.selection`.
"""

Form = Callable[[bytes], bytes]
"""Makes another form of a stored frame."""

Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]
"""Status line, headers and body."""


class FrameLane:
    """Answers requests for frames and passes all others on.

    Parameters
    ----------
    retrieve
        Gives the frames.
    bulk
        Bounds how many long answers are under way.
    rest
        Application for everything else.
    """

    def __init__(self, retrieve: Retrieve, bulk: BulkAnswers, rest: WSGIApplication) -> None:
        self._retrieve = retrieve
        self._bulk = bulk
        self._rest = rest

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        path, found, listed = environ["PATH_INFO"].rpartition("/frames/")
        listed = listed.removesuffix("/")
        if not (found and listed) or "/" in listed or not (uids := _uids(path)):
            return self._rest(environ, start_response)
        environ[ROUTE] = FRAMES_ROUTE
        if (method := environ["REQUEST_METHOD"]) == "OPTIONS":
            start_response("204 No Content", [("Allow", ", ".join(_METHODS))])
            return []
        try:
            if method not in _METHODS:
                raise MethodNotAllowed(_METHODS)
            frame_numbers = listed_frames(listed)
            status, headers, body = self._answer(_key(uids), frame_numbers, environ)
            if method == "GET" and status.startswith("200"):
                environ[FRAMES] = len(frame_numbers)
        except Exception as error:  # told once, here as in the other application
            status, headers, body = _told(error)
        start_response(status, headers)
        return [] if method == "HEAD" else body

    def _answer(
        self, key: InstanceKey, frame_numbers: list[int], environ: WSGIEnvironment
    ) -> Answer:
        instance = self._retrieve.instance(key)
        syntax = instance.transfer_syntax
        single = len(frame_numbers) == 1
        offer = frame_offer(accepted_by(environ), syntax, MEDIA_TYPES[syntax], single)
        location = f"{instance_url(root_of(environ), key)}/frames/"
        if single:
            return self._single(instance, frame_numbers[0], offer, location, environ)
        multipart = Multipart(offer)
        form = self._form(offer, instance)
        sizes, frames = _in_form(form, self._retrieve.frames(instance, frame_numbers))
        locations = [f"{location}{number}" for number in frame_numbers]
        # With its length told, an answer that breaks off cannot be taken for a whole one.
        size = multipart.size(locations, sizes)
        parts = (Part(*part) for part in zip(locations, ((one,) for one in frames), strict=True))
        headers = [("Content-Type", multipart.content_type), ("Content-Length", str(size)), *_KEPT]
        return "200 OK", headers, self._bulk.guarded(multipart.stream(parts))

    def _single(
        self,
        instance: Instance,
        frame_number: int,
        offer: Offer,
        location: str,
        environ: WSGIEnvironment,
    ) -> Answer:
        tag = f'"{instance.key.instance}/{frame_number}/{offer.tag}"'
        if offer.multipart:
            tag = f"W/{tag}"  # no two answers have the same boundary
        form = self._form(offer, instance)
        frame = form(self._retrieve.frame(instance, frame_number))
        if "HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MATCH" in environ:
            chosen = selection(environ, tag, UNCHANGING)
            if chosen.unmodified:
                return chosen.status, [("ETag", tag), *_KEPT], []
        content_type, body = offer.content_type, [frame]
        if offer.multipart:
            multipart = Multipart(offer)
            content_type = multipart.content_type
            body = [multipart.head(f"{location}{frame_number}"), frame, multipart.tail]
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(sum(map(len, body)))),
            ("ETag", tag),
            *_KEPT,
        ]
        return "200 OK", headers, body

    def _form(self, offer: Offer, instance: Instance) -> Form:
        """Return what makes the form that is offered of a stored frame."""
        if offer.transfer_syntax == instance.transfer_syntax:
            return _as_stored

        @cache  # a header is long, and there may be many frames
        def photometric() -> str:
            return str(self._retrieve.samples(instance).get("PhotometricInterpretation"))

        return lambda frame: decoded(frame, instance.transfer_syntax, photometric)


def _told(error: Exception) -> Answer:
    status, headers, text = problem(error)
    return status, headers, [text]


def _uids(path: str) -> tuple[str, str, str] | None:
    """Return what stands for UIDs in the path of an instance; None for other paths."""
    match = _INSTANCE.match(path)
    return (match[1], match[2], match[3]) if match else None


@lru_cache(4096)
def _key(uids: tuple[str, str, str]) -> InstanceKey:
    return InstanceKey(*map(checked_uid, uids))


def _as_stored(frame: bytes) -> bytes:
    return frame


def listed_frames(listed: str) -> list[int]:
    """Return the numbers of a list of frames in a path, from 1 and in its order.

    Raises
    ------
    InvalidInput
        If it is no such list, or too long.
    """
    if listed.isascii() and listed.isdecimal() and len(listed) < 11 and (one := int(listed)):
        return [one]  # nearly all lists
    texts = listed.replace("%2C", ",").replace("%2c", ",").split(",")
    if len(texts) > MOST_FRAMES:
        raise InvalidInput(f"At most {MOST_FRAMES} frames can be asked for at once.")
    if not all(text.isascii() and text.isdecimal() and len(text) < 11 for text in texts):
        raise InvalidInput("A frame list is numbers from 1, separated by commas.")
    numbers = [int(text) for text in texts]
    if min(numbers) < 1:
        raise InvalidInput("Frames are counted from 1.")
    return numbers


def _in_form(form: Form, frames: Frames) -> tuple[list[int], Iterator[bytes]]:
    """Return sizes and bytes of frames as offered; decoded, all are of one size."""
    if form is _as_stored:
        return frames.sizes, frames.bitstreams
    pixels = (form(frame) for frame in frames.bitstreams)
    first = next(pixels)
    return [len(first)] * len(frames.sizes), chain([first], pixels)
