"""WADO-RS (PS3.18 10.4): metadata and bulk data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from gateway.core.errors import InvalidQuery
from gateway.core.gzip_pieces import Deflated, GzipPieces
from gateway.core.instances import Instance, InstanceKey, checked_uid
from gateway.dicom.json.headers import ROOT
from gateway.dicomweb.http.addresses import INSTANCE, LEVELS, instance_url, root_of
from gateway.dicomweb.http.bulk import BulkAnswers
from gateway.dicomweb.http.conditional import REVALIDATED, entity_tag, selection
from gateway.dicomweb.http.media import JSON_OFFERS, OCTETS, Multipart, Offer, accepted, negotiate
from gateway.services.documents import EDITION, Document
from gateway.services.retrieve import Retrieve

if TYPE_CHECKING:
    from gateway.dicom.json.elements import Inline

_FORMS: dict[str, Inline | None] = {
    "": None,
    "inline": lambda tag, length: True,
    "uri": lambda tag, length: False,
}
"""Values of the parameter ``bulkdata``: what of binary values is inline."""

_FAST = 1
"""Level of zlib for what is compressed while it is sent."""

_LONG_ANSWER = 4 << 20
"""Bytes of an answer from which it counts as a long one."""

_OCTETS = (Offer(OCTETS, True), Offer(OCTETS))


def blueprint(retrieve: Retrieve, bulk: BulkAnswers) -> Blueprint:
    """Return the routes of metadata and bulk data.

    Parameters
    ----------
    bulk
        Bounds how many long answers are under way.
    """
    routes = Blueprint("metadata", __name__)

    def metadata(**uids: str) -> Response:
        offer = negotiate(accepted(), JSON_OFFERS)
        form = request.args.get("bulkdata", "")
        if form not in _FORMS:
            raise InvalidQuery("The parameter bulkdata is inline or uri.")
        found = retrieve.instances(*(checked_uid(uid) for uid in uids.values()))
        packed = request.accept_encodings.quality("gzip") > 0
        root = root_of(request.environ)
        headers = (instance.header for instance in found)
        etag = entity_tag(EDITION, offer.media_type, form, packed, root, *headers)
        chosen = selection(request.environ, etag, REVALIDATED)
        if chosen.unmodified:
            return _answer(chosen.status, chosen.headers)
        documents = [retrieve.document(instance, _FORMS[form]) for instance in found]
        array = _Array(documents, json.dumps(root)[1:-1].encode())
        size, body = array.packed() if packed else array.plain()
        answer = _answer(chosen.status, chosen.headers, body, offer.content_type)
        if packed:
            answer.content_encoding = "gzip"
        if size is None or size > _LONG_ANSWER:
            answer.response = bulk.guarded(body)
        if size is not None:
            answer.content_length = size
        return answer

    def bulk_data(study: str, series: str, instance: str, path: str) -> Response:
        key = InstanceKey(checked_uid(study), checked_uid(series), checked_uid(instance))
        offer = negotiate(accepted(), _OCTETS)
        return _bulk_data(retrieve, bulk, retrieve.instance(key), path, offer)

    for place in LEVELS:
        routes.add_url_rule(f"{place}/metadata", f"metadata of {place}", metadata)
    routes.add_url_rule(f"{INSTANCE}/bulkdata/<path:path>", "bulk data", bulk_data)
    return routes


def _bulk_data(
    retrieve: Retrieve, bulk: BulkAnswers, instance: Instance, path: str, offer: Offer
) -> Response:
    """Answer with a value, or a range of it.

    It is asked about each time, because a correction may put another header under the same UIDs.
    """
    value = retrieve.bulk_data(instance, path)
    etag = entity_tag(instance.header, path, offer.content_type, offer.multipart)
    if not offer.multipart:
        chosen = selection(request.environ, etag, REVALIDATED, value.size)
        start, stop = chosen.start, value.size if chosen.stop is None else chosen.stop
        body, content_type = value.pieces(start, stop), offer.content_type
    else:
        multipart = Multipart(offer, etag.strip('"'))
        url = instance_url(root_of(request.environ), instance.key)
        head = multipart.head(f"{url}/bulkdata/{path}")
        size = len(head) + value.size + len(multipart.tail)
        chosen = selection(request.environ, etag, REVALIDATED, size, ranges=False)
        body = chain([head], value.pieces(0, value.size), [multipart.tail])
        content_type = multipart.content_type
    if chosen.unmodified:
        return _answer(chosen.status, chosen.headers)
    if (chosen.length or 0) > _LONG_ANSWER:
        body = bulk.guarded(body)
    return _answer(chosen.status, chosen.headers, body, content_type)


def _answer(
    status: str,
    headers: list[tuple[str, str]],
    body: Iterator[bytes] | None = None,
    content_type: str | None = None,
) -> Response:
    answer = Response(body, status, headers, content_type=content_type)
    answer.vary.add("Accept-Encoding")
    if content_type is None:
        del answer.headers["Content-Type"]
    return answer


@dataclass(frozen=True, slots=True)
class _Array:
    """A JSON array of documents.

    Parameters
    ----------
    documents
        Its members.
    root
        The URL of the root, as it stands in JSON.
    """

    documents: list[Document]
    root: bytes

    def plain(self) -> tuple[int | None, Iterator[bytes]]:
        """Return the size, if it is known, and the pieces."""
        ready = [one.packed for one in self.documents if one.packed]
        size = None
        if len(ready) == len(self.documents):
            texts = sum(one.size + one.roots * (len(self.root) - 1) for one in ready)
            size = texts + len(ready) + 1
        return size, self._plain()

    def _plain(self) -> Iterator[bytes]:
        mark = b"["
        for document in self.documents:
            yield mark
            yield from self._rooted(document)
            mark = b","
        yield b"]"

    def packed(self) -> tuple[int | None, Iterator[bytes]]:
        """Return the same, as a gzip stream; what needs no URL comes as it is stored."""
        ready = [one.packed for one in self.documents if one.packed and not one.packed.roots]
        size = None
        if len(ready) == len(self.documents):
            frame = GzipPieces()
            marks = (len(ready) + 1) * len(frame.plain(b"["))
            size = sum(one.length for one in ready) + marks + len(frame.head) + len(frame.tail())
        return size, self._packed()

    def _packed(self) -> Iterator[bytes]:
        frame = GzipPieces()
        yield frame.head
        mark = b"["
        for document in self.documents:
            yield frame.plain(mark)
            if document.packed and not document.packed.roots:
                yield from document.stored()
                frame.add(document.packed.crc, document.packed.size)
            else:
                fresh = Deflated(_FAST)
                yield from fresh.pieces(self._rooted(document))
                frame.add(fresh.crc, fresh.size)
            mark = b","
        yield frame.plain(b"]") + frame.tail()

    def _rooted(self, document: Document) -> Iterator[bytes]:
        return (piece.replace(ROOT.encode(), self.root) for piece in document.text())
