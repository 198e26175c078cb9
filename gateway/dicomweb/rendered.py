"""WADO-RS (PS3.18 10.4): pictures of studies, series, instances and frames."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, request

import gateway
from gateway.core.errors import NotAcceptable, TooLarge
from gateway.core.instances import InstanceKey, checked_uid
from gateway.dicom.images.pictures import GIF, JP2, JPEG, PNG
from gateway.dicomweb.documents import document_answer
from gateway.dicomweb.frames import listed_frames
from gateway.dicomweb.http.addresses import INSTANCE, LEVELS, instance_url, root_of
from gateway.dicomweb.http.conditional import REVALIDATED, entity_tag, selection
from gateway.dicomweb.http.limits import MOST_PICTURE_BYTES
from gateway.dicomweb.http.media import Multipart, Offer, Part, accepted, negotiate
from gateway.dicomweb.rendering import left_out, wanted_picture, wanted_thumbnail
from gateway.services.render import Picture, Render

_TYPES = (JPEG, PNG, GIF, JP2)
_SINGLE = tuple(Offer(one) for one in _TYPES)
_PARTS = tuple(Offer(one, multipart=True) for one in _TYPES)

_FRAMES = f"{INSTANCE}/frames/<frames>"


def blueprint(render: Render) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("rendered", __name__, template_folder="templates")

    def rendered(frames: str | None = None, **uids: str) -> Response:
        key = _checked(uids)
        if frames is not None:
            numbers = listed_frames(frames)
            offer = _offer(several=len(numbers) > 1)
            wanted = wanted_picture(request.args, offer.media_type)
            made = render.frames(InstanceKey(*key), numbers, wanted)
            places = [f"/frames/{number}" for number in numbers]
            return _answer(made, offer, places)
        if len(key) == 3:
            if (document := render.document(InstanceKey(*key))) is not None:
                return document_answer(document)
            offer = _offer(several=False)
            wanted = wanted_picture(request.args, offer.media_type)
            return _answer([render.instance(InstanceKey(*key), wanted)], offer)
        return _many(render, key)

    def thumbnail(frames: str | None = None, **uids: str) -> Response:
        key = _checked(uids)
        offer = negotiate(accepted(), _SINGLE)
        wanted = wanted_thumbnail(request.args, offer.media_type)
        if len(key) == 3:
            number = None if frames is None else listed_frames(frames)[0]
            made = render.thumbnail(InstanceKey(*key), number, wanted)
        else:
            made = render.slide(key[0], key[1] if len(key) > 1 else None, wanted)
        return _answer([made], offer)

    for place in (*LEVELS, _FRAMES):
        routes.add_url_rule(f"{place}/rendered", f"rendered {place}", rendered)
        routes.add_url_rule(f"{place}/thumbnail", f"thumbnail of {place}", thumbnail)
    return routes


def _checked(uids: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(checked_uid(uid) for uid in uids.values())


def _many(render: Render, key: tuple[str, ...]) -> Response:
    """Answer for a study or series: all images in parts, or one picture of the slide."""
    study, series = key[0], key[1] if len(key) > 1 else None
    offer = negotiate(accepted(), _PARTS + _SINGLE)
    wanted = wanted_picture(request.args, offer.media_type)
    if offer.multipart:
        return _answer(render.images(study, series, wanted), offer)
    return _answer([render.slide(study, series, wanted)], offer)


def _offer(*, several: bool) -> Offer:
    """Negotiate; several pictures come in parts also where the client names their type alone."""
    if not several:
        return negotiate(accepted(), _SINGLE + _PARTS)
    try:
        return negotiate(accepted(), _PARTS)
    except NotAcceptable:
        return Offer(negotiate(accepted(), _SINGLE).media_type, multipart=True)


def _answer(pictures: list[Picture], offer: Offer, places: list[str] | None = None) -> Response:
    # Never kept without asking: of the same frames, what we make may get better, or its header.
    etag = entity_tag(
        gateway.__version__,
        offer.content_type,
        offer.multipart,
        *(one.identity for one in pictures),
    )
    chosen = selection(request.environ, etag, REVALIDATED)
    if chosen.unmodified:
        return Response(status=chosen.status, headers=chosen.headers)
    if offer.multipart:
        body, content_type = _parts(pictures, offer, etag, places or [""] * len(pictures))
    else:
        body, content_type = pictures[0].make(), offer.content_type
    answer = Response(body, chosen.status, chosen.headers, content_type=content_type)
    if warning := left_out(request.args, coloured=pictures[0].coloured):
        answer.headers["Warning"] = f'299 slidegate "{warning}"'
    return answer


def _parts(
    pictures: list[Picture], offer: Offer, etag: str, places: list[str]
) -> tuple[bytes, str]:
    """Make all before the first byte leaves: what cannot be made is said with the status."""
    multipart = Multipart(offer, etag.strip('"'))
    root = root_of(request.environ)
    parts: list[Part] = []
    size = 0
    for one, place in zip(pictures, places, strict=True):
        made = one.make()
        if (size := size + len(made)) > MOST_PICTURE_BYTES:
            raise TooLarge(
                f"Together the pictures have more than {MOST_PICTURE_BYTES >> 20} MiB. Ask for "
                "fewer, or for smaller ones."
            )
        parts.append(Part(f"{instance_url(root, one.key)}{place}/rendered", [made]))
    return b"".join(multipart.stream(parts)), multipart.content_type
