"""WADO-RS (PS3.18 10.4): metadata, bulk data, and instances as Part 10 files."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flask import Blueprint, Response

from gateway.core.errors import NotAcceptable
from gateway.core.instances import Instance, InstanceKey, checked_uid
from gateway.dicom.json_model import Json, dataset_json, text_json
from gateway.dicomweb.bulk import BulkAnswers
from gateway.dicomweb.media import (
    DICOM,
    JSON_OFFERS,
    OCTETS,
    Multipart,
    Offer,
    Part,
    accepted,
    negotiate,
)
from gateway.services.retrieve import Retrieve

INLINE_LIMIT = 1 << 20
"""Bytes up to which binary values are inline in metadata: some clients read no URI."""


def blueprint(retrieve: Retrieve, root: str, bulk: BulkAnswers) -> Blueprint:
    """Return the routes of WADO-RS but frames.

    Parameters
    ----------
    root
        Absolute URL of the DICOMweb root, without a slash at its end.
    bulk
        Bounds how many long answers are under way.
    """
    routes = Blueprint("wado", __name__)

    def instances(**uids: str) -> list[Instance]:
        return retrieve.instances(*(checked_uid(uid) for uid in uids.values()))

    def metadata(**uids: str) -> Response:
        offer = negotiate(accepted(), JSON_OFFERS)
        documents = [_metadata(retrieve, instance, root) for instance in instances(**uids)]
        return Response(json.dumps(documents), content_type=offer.media_type)

    def part10(**uids: str) -> Response:
        answer = _part10(retrieve, instances(**uids), root, single="instance" in uids)
        answer.response = bulk.guarded(iter(answer.response))  # type: ignore[arg-type]  # bytes
        return answer

    def bulk_data(study: str, series: str, instance: str, path: str) -> Response:
        key = InstanceKey(checked_uid(study), checked_uid(series), checked_uid(instance))
        offer = negotiate(accepted(), (Offer(OCTETS, True), Offer(OCTETS)))
        data = retrieve.bulk_data(retrieve.instance(key), path)
        if not offer.multipart:
            return Response(data, content_type=offer.content_type)
        multipart = Multipart(offer)
        body = multipart.head(f"{_url(root, key)}/bulkdata/{path}") + data + multipart.tail
        return Response(body, content_type=multipart.content_type)

    for place in (
        "/studies/<study>",
        "/studies/<study>/series/<series>",
        "/studies/<study>/series/<series>/instances/<instance>",
    ):
        routes.add_url_rule(f"{place}/metadata", f"metadata of {place}", metadata)
        routes.add_url_rule(place, f"part 10 of {place}", part10)
    routes.add_url_rule(
        "/studies/<study>/series/<series>/instances/<instance>/bulkdata/<path:path>",
        "bulk data",
        bulk_data,
    )
    return routes


def _url(root: str, key: InstanceKey) -> str:
    return f"{root}/studies/{key.study}/series/{key.series}/instances/{key.instance}"


def _metadata(retrieve: Retrieve, instance: Instance, root: str) -> Json:
    url = _url(root, instance.key)
    document = dataset_json(
        retrieve.header(instance),
        lambda path: f"{url}/bulkdata/{path}",
        inline_limit=INLINE_LIMIT,
    )
    syntax = text_json("00083002", "UI", instance.transfer_syntax)
    return dict(sorted((document | dict(syntax)).items()))


def _part10(retrieve: Retrieve, instances: list[Instance], root: str, *, single: bool) -> Response:
    """Answer with stored transfer syntaxes: slides are lossy, so nothing else is owed."""
    chosen, offer = _acceptable(instances, single=single)
    if not offer.multipart:
        stream = retrieve.part10(chosen[0])
        return _sized(stream.pieces, stream.size, offer.content_type)
    sizes = [retrieve.part10(instance).size for instance in chosen]  # each can be opened now
    multipart = Multipart(offer)
    locations = [_url(root, instance.key) for instance in chosen]
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
