"""WADO-RS (PS3.18 10.4): instances, series and studies as Part 10 files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Blueprint, Response, request

from gateway import __version__
from gateway.core.errors import NotAcceptable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, Instance, checked_uid
from gateway.dicom.images.pixels import LOSSLESS
from gateway.dicomweb.http.addresses import LEVELS, instance_url, root_of
from gateway.dicomweb.http.bulk import BulkAnswers
from gateway.dicomweb.http.conditional import REVALIDATED, entity_tag, selection
from gateway.dicomweb.http.limits import MOST_NATIVE_BYTES
from gateway.dicomweb.http.media import DICOM, Multipart, Offer, Part, accepted, negotiate
from gateway.services.retrieve import Retrieve
from gateway.services.streams import Part10Stream


def blueprint(retrieve: Retrieve, objects: Objects) -> Blueprint:
    """Return the routes.

    Parameters
    ----------
    retrieve
        Knows the instances.
    objects
        Gives them.
    """
    routes = Blueprint("instances", __name__)

    def part10(**uids: str) -> Response:
        found = retrieve.instances(*(checked_uid(uid) for uid in uids.values()))
        chosen = objects.acceptable(found, accepted(), single="instance" in uids)
        if len(chosen) == 1 and not chosen[0].offer.multipart:
            return objects.single(chosen[0])
        return objects.parts(chosen, root_of(request.environ), whole=len(chosen) == len(found))

    for place in LEVELS:
        routes.add_url_rule(place, f"part 10 of {place}", part10)
    return routes


@dataclass(frozen=True, slots=True)
class Chosen:
    """An instance, and how it is given."""

    instance: Instance
    offer: Offer


class Objects:
    """Gives instances as they are stored, or without compression where nothing is lost by it.

    Parameters
    ----------
    bulk
        Bounds how many long answers are under way.
    """

    def __init__(self, retrieve: Retrieve, bulk: BulkAnswers) -> None:
        self._retrieve = retrieve
        self._bulk = bulk

    def acceptable(
        self, instances: Iterable[Instance], accept: str | None, *, single: bool
    ) -> list[Chosen]:
        """Return the instances that the client accepts, and how they are given.

        Parameters
        ----------
        accept
            As in an Accept header.
        single
            Whether one may come without multipart.

        Raises
        ------
        NotAcceptable
            If there is none.
        """
        chosen: list[Chosen] = []
        refusal = NotAcceptable()
        for instance in instances:
            try:
                chosen.append(Chosen(instance, self._offer(instance, accept, single=single)))
            except NotAcceptable as error:
                refusal = error
        if not chosen:
            raise refusal
        return chosen

    def _offer(self, instance: Instance, accept: str | None, *, single: bool) -> Offer:
        stored = instance.transfer_syntax
        offer = negotiate(accept, _offers(stored, single=single, native=True))
        if offer.transfer_syntax != stored and self._native(instance) is None:
            return negotiate(accept, _offers(stored, single=single, native=False))
        return offer

    def _native(self, instance: Instance) -> Part10Stream | None:
        return self._retrieve.native_part10(instance, MOST_NATIVE_BYTES)

    def _stream(self, chosen: Chosen) -> Part10Stream:
        stored = chosen.instance.transfer_syntax
        native = None if chosen.offer.transfer_syntax == stored else self._native(chosen.instance)
        return native or self._retrieve.part10(chosen.instance)

    def single(self, chosen: Chosen) -> Response:
        """Answer with one file, or a part of it."""
        stream = self._stream(chosen)
        instance, syntax = chosen.instance, chosen.offer.transfer_syntax
        # What is decoded may depend on who decodes it.
        made = () if syntax == instance.transfer_syntax else (syntax, __version__)
        tag = entity_tag(instance.key.instance, instance.header, *made)
        wanted = selection(request.environ, tag, REVALIDATED, stream.size)
        answer = Response(status=wanted.status, content_type=chosen.offer.content_type)
        if not wanted.unmodified and request.method != "HEAD":
            pieces = stream.part(wanted.start, wanted.stop or 0)
            answer.response = self._bulk.guarded(pieces)
        answer.headers.extend(wanted.headers)
        answer.vary.add("Authorization")
        return answer

    def parts(self, chosen: list[Chosen], root: str, *, whole: bool) -> Response:
        """Answer with one part each.

        Parameters
        ----------
        root
            URL of the DICOMweb root.
        whole
            Whether these are all instances that were asked for.
        """
        # One type for all parts: some clients read the first part's headers only.
        offers = {one.offer for one in chosen}
        multipart = Multipart(offers.pop() if len(offers) == 1 else Offer(DICOM, True))
        sizes = [self._stream(one).size for one in chosen]  # each can be opened now
        locations = [instance_url(root, one.instance.key) for one in chosen]
        parts = (
            Part(location, self._stream(one).pieces)
            for location, one in zip(locations, chosen, strict=True)
        )
        answer = Response(status=200 if whole else 206, content_type=multipart.content_type)
        if request.method != "HEAD":
            answer.response = self._bulk.guarded(multipart.stream(parts))
        answer.content_length = multipart.size(locations, sizes)
        answer.headers["Cache-Control"] = REVALIDATED
        answer.vary.update(("Authorization", "Range"))  # no cache may cut ranges out of it
        return answer


def _offers(stored: str, *, single: bool, native: bool) -> tuple[Offer, ...]:
    """Return how an instance can be given, the first by default (PS3.18 8.7.3.5.2).

    By default it is native, but where only a lossy form exists or the length forbids it.
    """
    default = EXPLICIT_VR_LITTLE_ENDIAN if native and stored in LOSSLESS else stored
    # What is stored is named first, for it is what transfer-syntax=* asks for.
    syntaxes = dict.fromkeys((stored, EXPLICIT_VR_LITTLE_ENDIAN) if native else (stored,))
    return tuple(
        Offer(DICOM, multipart, syntax, by_default=syntax == default)
        for multipart in ((True, False) if single else (True,))
        for syntax in syntaxes
    )
