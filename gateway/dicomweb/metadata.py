"""WADO-RS (PS3.18 10.4): metadata and bulk data."""

from __future__ import annotations

import json

from flask import Blueprint, Response, request

from gateway.core.instances import Instance, InstanceKey, checked_uid
from gateway.dicom.json_model import Json, dataset_json, text_json
from gateway.dicomweb.addresses import INSTANCE, LEVELS, instance_url, root_of
from gateway.dicomweb.media import JSON_OFFERS, OCTETS, Multipart, Offer, accepted, negotiate
from gateway.services.retrieve import Retrieve

INLINE_LIMIT = 1 << 20
"""Bytes up to which binary values are inline in metadata: some clients read no URI."""


def blueprint(retrieve: Retrieve) -> Blueprint:
    """Return the routes of metadata and bulk data."""
    routes = Blueprint("metadata", __name__)

    def metadata(**uids: str) -> Response:
        offer = negotiate(accepted(), JSON_OFFERS)
        root = root_of(request.environ)
        found = retrieve.instances(*(checked_uid(uid) for uid in uids.values()))
        documents = [_metadata(retrieve, instance, root) for instance in found]
        return Response(json.dumps(documents), content_type=offer.media_type)

    def bulk_data(study: str, series: str, instance: str, path: str) -> Response:
        key = InstanceKey(checked_uid(study), checked_uid(series), checked_uid(instance))
        offer = negotiate(accepted(), (Offer(OCTETS, True), Offer(OCTETS)))
        data = retrieve.bulk_data(retrieve.instance(key), path)
        if not offer.multipart:
            return Response(data, content_type=offer.content_type)
        multipart = Multipart(offer)
        url = instance_url(root_of(request.environ), key)
        body = multipart.head(f"{url}/bulkdata/{path}") + data + multipart.tail
        return Response(body, content_type=multipart.content_type)

    for place in LEVELS:
        routes.add_url_rule(f"{place}/metadata", f"metadata of {place}", metadata)
    routes.add_url_rule(f"{INSTANCE}/bulkdata/<path:path>", "bulk data", bulk_data)
    return routes


def _metadata(retrieve: Retrieve, instance: Instance, root: str) -> Json:
    url = instance_url(root, instance.key)
    document = dataset_json(
        retrieve.header(instance),
        lambda path: f"{url}/bulkdata/{path}",
        inline_limit=INLINE_LIMIT,
    )
    syntax = text_json("00083002", "UI", instance.transfer_syntax)
    return dict(sorted((document | dict(syntax)).items()))
