"""WADO-URI (PS3.18 9): one object or one picture, asked for by parameters."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, request

from gateway import __version__
from gateway.core.errors import InvalidInput, NotAcceptable
from gateway.core.instances import Instance, InstanceKey, checked_uid
from gateway.dicom.images.pictures import JPEG, PNG
from gateway.dicomweb.frames import listed_frames
from gateway.dicomweb.http.conditional import REVALIDATED, entity_tag, selection
from gateway.dicomweb.http.media import DICOM, Offer, negotiate
from gateway.dicomweb.instances import Objects
from gateway.dicomweb.rendering import wanted_picture
from gateway.services.render import Render
from gateway.services.retrieve import Retrieve

PATH = "/wado"
"""Where it is: beside the root of DICOMweb, not below it."""

_PICTURES = (Offer(JPEG), Offer(PNG))
_UIDS = ("studyUID", "seriesUID", "objectUID")
_OF_PICTURES = ("frameNumber", "rows", "columns", "imageQuality")
_MORE_OF_PICTURES = ("region", "windowCenter", "windowWidth", "presentationUID", "annotation")


def blueprint(retrieve: Retrieve, objects: Objects, render: Render) -> Blueprint:
    """Return the route.

    Parameters
    ----------
    objects
        Gives whole instances.
    render
        Makes pictures.
    """
    routes = Blueprint("uri", __name__)

    @routes.get(PATH)
    def wado() -> Response:
        given = request.args
        instance = retrieve.instance(_key(given))
        offer = _offer(instance, given.get("contentType") or request.headers.get("Accept"))
        if offer.media_type == DICOM:
            if named := [name for name in (*_OF_PICTURES, *_MORE_OF_PICTURES) if name in given]:
                raise InvalidInput(f"With application/dicom there is no {named[0]}.")
            syntax = given.get("transferSyntax")
            if syntax not in (None, "*"):  # any: what dicomweb-client (JavaScript) asks for
                checked_uid(syntax)
            accept = DICOM if syntax is None else f"{DICOM};transfer-syntax={syntax}"
            return objects.single(objects.acceptable([instance], accept, single=True)[0])
        return _picture(render, instance.key, given, offer)

    return routes


def _key(given: Mapping[str, str]) -> InstanceKey:
    """Return which instance is asked for.

    Raises
    ------
    InvalidInput
        If a parameter is missing or wrong.
    NotAcceptable
        If the object shall be anonymised.
    """
    if given.get("requestType") != "WADO":
        raise InvalidInput("The parameter requestType has to be WADO.")
    if missing := [name for name in _UIDS if name not in given]:
        raise InvalidInput(f"The parameter {missing[0]} is missing.")
    if "anonymize" in given:
        raise NotAcceptable("Objects are not anonymised here; ask for them as they are.")
    return InstanceKey(*(checked_uid(given[name]) for name in _UIDS))


def _offer(instance: Instance, content_type: str | None) -> Offer:
    """Return what is given: by default a picture of one frame, and the object if it has others."""
    forms: tuple[Offer, ...] = (Offer(DICOM),)
    if instance.number_of_frames > 0:
        forms = (*_PICTURES, *forms) if instance.number_of_frames == 1 else (*forms, *_PICTURES)
    return negotiate(content_type, forms)


def _picture(render: Render, key: InstanceKey, given: Mapping[str, str], offer: Offer) -> Response:
    if named := [name for name in _MORE_OF_PICTURES if name in given]:
        raise NotAcceptable(f"Pictures are made without {named[0]}; use the rendered resources.")
    parameters = {}
    if "rows" in given or "columns" in given:
        side = given.get("columns") or given["rows"]
        parameters["viewport"] = f"{side},{given.get('rows') or side}"
    if "imageQuality" in given:
        parameters["quality"] = given["imageQuality"]
    wanted = wanted_picture(parameters, offer.media_type)
    if "frameNumber" in given:
        numbers = listed_frames(given["frameNumber"])
        if len(numbers) > 1:
            raise InvalidInput("A frameNumber is one number.")
        (picture,) = render.frames(key, numbers, wanted)
    else:
        picture = render.instance(key, wanted)
    tag = entity_tag(__version__, offer.media_type, picture.identity)
    chosen = selection(request.environ, tag, REVALIDATED)
    body = b"" if chosen.unmodified else picture.make()
    return Response(body, chosen.status, chosen.headers, content_type=offer.media_type)
