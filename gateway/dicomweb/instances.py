"""WADO-RS (PS3.18 10.4): instances, series and studies as Part 10 files."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, request

from gateway.core.errors import NotAcceptable
from gateway.core.instances import Instance, checked_uid
from gateway.dicomweb.addresses import LEVELS, instance_url, root_of
from gateway.dicomweb.bulk import BulkAnswers
from gateway.dicomweb.media import DICOM, Multipart, Offer, Part, accepted, negotiate
from gateway.services.retrieve import Retrieve


def blueprint(retrieve: Retrieve, bulk: BulkAnswers) -> Blueprint:
    """Return the routes.

    Parameters
    ----------
    bulk
        Bounds how many long answers are under way.
    """
    routes = Blueprint("instances", __name__)

    def part10(**uids: str) -> Response:
        found = retrieve.instances(*(checked_uid(uid) for uid in uids.values()))
        answer = _part10(retrieve, found, root_of(request.environ), single="instance" in uids)
        answer.response = bulk.guarded(iter(answer.response))  # type: ignore[arg-type]  # bytes
        return answer

    for place in LEVELS:
        routes.add_url_rule(place, f"part 10 of {place}", part10)
    return routes


def _part10(retrieve: Retrieve, instances: list[Instance], root: str, *, single: bool) -> Response:
    """Answer with stored transfer syntaxes: slides are lossy, so nothing else is owed."""
    chosen, offer = _acceptable(instances, single=single)
    if not offer.multipart:
        stream = retrieve.part10(chosen[0])
        return _sized(stream.pieces, stream.size, offer.content_type)
    sizes = [retrieve.part10(instance).size for instance in chosen]  # each can be opened now
    multipart = Multipart(offer)
    locations = [instance_url(root, instance.key) for instance in chosen]
    parts = (
        Part(location, retrieve.part10(instance).pieces)
        for location, instance in zip(locations, chosen, strict=True)
    )
    size = multipart.size(locations, sizes)
    answer = _sized(multipart.stream(parts), size, multipart.content_type)
    answer.status_code = 200 if len(chosen) == len(instances) else 206
    return answer


def _acceptable(instances: list[Instance], *, single: bool) -> tuple[list[Instance], Offer]:
    """Return the instances that the client accepts, and how they are given."""
    chosen: list[Instance] = []
    offers: list[Offer] = []
    refusal = NotAcceptable()
    for instance in instances:
        forms = (True, False) if single else (True,)
        stored = tuple(Offer(DICOM, form, instance.transfer_syntax) for form in forms)
        try:
            offers.append(negotiate(accepted(), stored))
            chosen.append(instance)
        except NotAcceptable as error:
            refusal = error
    if not chosen:
        raise refusal
    # One type for all parts: some clients read the first part's headers only.
    return chosen, offers[0] if len(set(offers)) == 1 else Offer(DICOM, True)


def _sized(pieces: Iterator[bytes], size: int, content_type: str) -> Response:
    answer = Response(pieces, content_type=content_type)
    answer.content_length = size
    return answer
