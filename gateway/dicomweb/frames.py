"""The frame lane: the shortest way from socket to disk.

A plain WSGI application for ``.../frames/N[,N]`` and nothing else. It stands in front of the
Flask application, whose routing costs more than reading a frame does; services and errors are
the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from werkzeug.exceptions import MethodNotAllowed

from gateway.core.errors import InvalidInput
from gateway.core.instances import (
    Instance,
    InstanceKey,
    checked_uid,
)
from gateway.dicom.pixels import MEDIA_TYPES, decoded
from gateway.dicomweb.addresses import instance_url, root_of
from gateway.dicomweb.bulk import BulkAnswers
from gateway.dicomweb.limits import MOST_FRAMES
from gateway.dicomweb.media import Multipart, Offer, Part, frame_offers, negotiate
from gateway.dicomweb.observed import FRAMES, FRAMES_ROUTE, ROUTE
from gateway.dicomweb.problems import problem
from gateway.services.retrieve import Frames, Retrieve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_FRAMES = re.compile(
    r"/dicom-web/studies/([^/]+)/series/([^/]+)/instances/([^/]+)/frames/([^/]+)/?\Z"
)
_METHODS = ("GET", "HEAD", "OPTIONS")

Form = Callable[[bytes], bytes]
"""Makes another form of a stored frame."""


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
        match = _FRAMES.match(environ["PATH_INFO"])
        if match is None:
            return self._rest(environ, start_response)
        environ[ROUTE] = FRAMES_ROUTE
        if (method := environ["REQUEST_METHOD"]) == "OPTIONS":
            start_response("204 No Content", [("Allow", ", ".join(_METHODS))])
            return []
        try:
            if method not in _METHODS:
                raise MethodNotAllowed(_METHODS)
            content_type, size, body = self._answer(match, environ)
        except Exception as error:  # told once, here as in the other application
            status, headers, text = problem(error)
            start_response(status, headers)
            return [text]
        if method == "GET":
            environ[FRAMES] = match[4].count(",") + 1
        headers = [("Content-Type", content_type), ("Vary", "Accept")]
        if size is not None:
            headers.append(("Content-Length", str(size)))
        start_response("200 OK", headers)
        return [] if method == "HEAD" else body

    def _answer(
        self, match: re.Match[str], environ: WSGIEnvironment
    ) -> tuple[str, int | None, Iterable[bytes]]:
        study, series, sop_instance = (checked_uid(uid) for uid in match.groups()[:3])
        frame_numbers = _frame_numbers(match[4])
        instance = self._retrieve.instance(InstanceKey(study, series, sop_instance))
        offers = frame_offers(
            instance.transfer_syntax,
            MEDIA_TYPES[instance.transfer_syntax],
            single=len(frame_numbers) == 1,
        )
        offer = negotiate(_accept(environ), offers)
        location = f"{instance_url(root_of(environ), instance.key)}/frames/"
        form = self._form(offer, instance)
        if len(frame_numbers) == 1:
            frame = form(self._retrieve.frame(instance, frame_numbers[0]))
            if not offer.multipart:
                return offer.content_type, len(frame), [frame]
            multipart = Multipart(offer)
            body = multipart.head(f"{location}{frame_numbers[0]}") + frame + multipart.tail
            return multipart.content_type, len(body), [body]
        multipart = Multipart(offer)
        sizes, frames = _in_form(form, self._retrieve.frames(instance, frame_numbers))
        locations = [f"{location}{number}" for number in frame_numbers]
        # With its length told, an answer that breaks off cannot be taken for a whole one.
        size = None if sizes is None else multipart.size(locations, sizes)
        parts = (Part(*part) for part in zip(locations, ((one,) for one in frames), strict=True))
        return multipart.content_type, size, self._bulk.guarded(_coalesced(multipart.stream(parts)))

    def _form(self, offer: Offer, instance: Instance) -> Form:
        """Return what makes the form that is offered of a stored frame."""
        if offer.transfer_syntax == instance.transfer_syntax:
            return _as_stored

        def photometric() -> str:
            return str(self._retrieve.header(instance).get("PhotometricInterpretation"))

        return lambda frame: decoded(frame, instance.transfer_syntax, photometric)


def _as_stored(frame: bytes) -> bytes:
    return frame


def _frame_numbers(listed: str) -> list[int]:
    texts = listed.replace("%2C", ",").replace("%2c", ",").split(",")
    if len(texts) > MOST_FRAMES:
        raise InvalidInput(f"At most {MOST_FRAMES} frames can be asked for at once.")
    if not all(text.isascii() and text.isdecimal() and len(text) < 11 for text in texts):
        raise InvalidInput("A frame list is numbers from 1, separated by commas.")
    numbers = [int(text) for text in texts]
    if min(numbers) < 1:
        raise InvalidInput("Frames are counted from 1.")
    return numbers


def _accept(environ: WSGIEnvironment) -> str | None:
    """Return the ``accept`` query parameter, else the header."""
    query = environ.get("QUERY_STRING", "")
    if query and (values := parse_qs(query).get("accept")):
        return ",".join(values)
    return environ.get("HTTP_ACCEPT")


def _in_form(form: Form, frames: Frames) -> tuple[list[int] | None, Iterator[bytes]]:
    """Return sizes and bytes of frames as offered; decoded, all are of one size."""
    if form is _as_stored:
        return frames.sizes, frames.bitstreams
    pixels = (form(frame) for frame in frames.bitstreams)
    first = next(pixels)
    sizes = frames.sizes and [len(first)] * len(frames.sizes)
    return sizes, chain([first], pixels)


def _coalesced(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join small pieces to some hundred kilobytes, so that each is worth a write."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= 1 << 18:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
