"""STOW-RS (PS3.18 10.5): DICOM objects come in, in parts, from the connection to the disk."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from flask import Blueprint, Response, request

from gateway.core.errors import (
    BrokenOff,
    GatewayError,
    InvalidDataset,
    InvalidInput,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from gateway.core.instances import checked_uid
from gateway.dicom.json.model import Json
from gateway.dicomweb.http.addresses import STUDY, instance_url, root_of
from gateway.dicomweb.http.incoming import Chunks, IncomingPart, IncomingParts, content_type
from gateway.dicomweb.http.limits import MOST_OBJECT_BYTES, MOST_PARTS, MOST_STORES
from gateway.dicomweb.http.media import DICOM, DICOM_JSON, JSON_OFFERS, accepted, negotiate
from gateway.dicomweb.http.observed import RECEIVED
from gateway.dicomweb.http.problems import RETRY_AFTER_S
from gateway.services.receive import Receive, Received

_MOST_TOLD = 10
_LONGEST = 200
"""Refusals and warnings that are told in headers, and the characters of each: proxies take some
kilobytes of headers. What is refused stands in the body anyway."""

_log = logging.getLogger(__name__)


def blueprint(receive: Receive) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("stow", __name__)
    places = threading.Semaphore(MOST_STORES)

    def store(study: str | None = None) -> Response:
        parts = _parts(study)
        if not places.acquire(blocking=False):
            raise Unavailable("Too many stores are under way; try again soon.")
        try:
            outcomes = _stored(receive, parts, study)
            request.environ[RECEIVED] = {
                "taken": len(outcomes.stored),
                "refused": len(outcomes.refused),
            }
            return _answer(outcomes, root_of(request.environ))
        finally:
            places.release()

    routes.add_url_rule("/studies", "store", store, methods=["POST"])
    routes.add_url_rule(STUDY, "store in study", store, methods=["POST"])
    return routes


def _parts(study: str | None) -> Iterator[IncomingPart]:
    """Look at the headers of a request, before anything is read of its body."""
    if study is not None:
        checked_uid(study)
    negotiate(accepted(), JSON_OFFERS)  # refuses what cannot be answered; see _answer
    media_type, parameters = content_type(request.headers.get("Content-Type", ""))
    parts_type = content_type(parameters.get("type", DICOM))[0]
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if (media_type, parts_type, encoding) != ("multipart/related", DICOM, "identity"):
        raise UnsupportedMediaType(
            f'Objects are taken as multipart/related; type="{DICOM}", a Part 10 stream in each '
            "part, without Content-Encoding."
        )
    # Not request.stream: what a server does not know the length of, it would leave out.
    return IncomingParts(request.environ["wsgi.input"].read, parameters.get("boundary", ""))


@dataclass(slots=True)
class _Outcomes:
    """What became of the parts of a request, in their order."""

    stored: list[Received] = field(default_factory=list)
    refused: list[GatewayError] = field(default_factory=list)

    @property
    def status(self) -> int:
        """HTTP status of all of it (PS3.18 10.5.3.1)."""
        if self.stored:
            unclouded = not self.refused and not any(one.warning for one in self.stored)
            return 200 if unclouded else 202
        if not self.refused:
            return 400
        statuses = {error.http_status for error in self.refused}
        for server_side in (507, 503, 500):  # those that a retry may help come first
            if server_side in statuses:
                return server_side
        return statuses.pop() if statuses in ({400}, {413}) else 409


def _stored(receive: Receive, parts: Iterator[IncomingPart], study: str | None) -> _Outcomes:
    outcomes = _Outcomes()
    try:
        for number, part in enumerate(parts):
            if number == MOST_PARTS:
                raise TooLarge(f"At most {MOST_PARTS} objects are taken in one request.")
            try:
                outcomes.stored.append(receive.receive(_object(part), study))
            except BrokenOff:
                raise
            except Exception as error:  # the other parts are taken all the same
                outcomes.refused.append(_told(error))
    except (InvalidInput, TooLarge) as error:  # nothing behind it can be read
        outcomes.refused.append(error)
    return outcomes


def _object(part: IncomingPart) -> Chunks:
    """Return the bytes of a part that is a DICOM object, as long as they are not too many."""
    # What a part does not say of itself, the request has said.
    if content_type(part.headers.get("content-type") or DICOM)[0] != DICOM:
        raise InvalidDataset(f"A part has another Content-Type than {DICOM}.")
    return _limited(part.chunks)


def _limited(chunks: Chunks) -> Chunks:
    size = 0
    for chunk in chunks:
        size += sum(map(len, chunk))
        if size > MOST_OBJECT_BYTES:
            raise TooLarge(f"Objects of more than {MOST_OBJECT_BYTES >> 30} GiB are not taken.")
        yield chunk


def _told(error: Exception) -> GatewayError:
    if isinstance(error, GatewayError):
        return error
    _log.error("unexpected error", exc_info=error)
    return GatewayError("An unexpected error; the log of the server says more.")


def _answer(outcomes: _Outcomes, root: str) -> Response:
    """Answer with a Store Instances Response Module (PS3.18 I).

    Its type is never application/json, whatever the client prefers: clients that accept both, and
    those that say nothing, look for this one.
    """
    body = json.dumps(_response_module(outcomes, root))
    answer = Response(body, outcomes.status, content_type=DICOM_JSON)
    for text in _warnings(outcomes):
        answer.headers.add("Warning", f'299 slidegate "{text}"')
    if any(isinstance(error, Unavailable) for error in outcomes.refused):
        answer.headers["Retry-After"] = RETRY_AFTER_S
    return answer


def _warnings(outcomes: _Outcomes) -> list[str]:
    """Return what people should know of refused and of changed objects, for headers."""
    told = [f"{_name(error)}{error.detail}" for error in outcomes.refused]
    for one in outcomes.stored:
        told += [f"{one.key.instance}: {text}" for text in one.remarks]
    printable = (text.encode("ascii", "replace").decode() for text in told[:_MOST_TOLD])
    plain = (" ".join(text.split()).replace("\\", "/").replace('"', "'") for text in printable)
    return [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..." for text in plain]


def _name(error: GatewayError) -> str:
    instance = error.context.get("instance")
    return f"{instance}: " if instance else ""


def _response_module(outcomes: _Outcomes, root: str) -> Json:
    studies = {one.key.study for one in outcomes.stored}
    url = f"{root}/studies/{studies.pop()}" if len(studies) == 1 else None
    module: Json = {"00081190": _value("UR", url)}
    failed = [error for error in outcomes.refused if _is_named(error)]
    other = [error for error in outcomes.refused if not _is_named(error)]
    if failed:
        module["00081198"] = _value("SQ", *(_named(error) | _reason(error) for error in failed))
    if outcomes.stored:
        module["00081199"] = _value("SQ", *(_reference(one, root) for one in outcomes.stored))
    if other:
        module["0008119A"] = _value("SQ", *map(_reason, other))
    return module


def _is_named(error: GatewayError) -> bool:
    return {"sop_class", "instance"} <= set(error.context)


def _named(error: GatewayError) -> Json:
    return _sop(str(error.context["sop_class"]), str(error.context["instance"]))


def _reason(error: GatewayError) -> Json:
    # Error Comment is what other archives add, too; in full it stands in a header.
    return {
        "00000902": _value("LO", error.title),
        "00081197": _value("US", error.failure_reason),
    }


def _reference(one: Received, root: str) -> Json:
    item = _sop(one.sop_class, one.key.instance)
    item["00081190"] = _value("UR", instance_url(root, one.key))
    if one.warning is not None:
        item["00081196"] = _value("US", one.warning)
    return item


def _sop(sop_class: str, sop_instance: str) -> Json:
    return {"00081150": _value("UI", sop_class), "00081155": _value("UI", sop_instance)}


def _value(vr: str, *values: object) -> Json:
    present = [one for one in values if one not in (None, "")]
    return {"vr": vr, "Value": present} if present else {"vr": vr}
