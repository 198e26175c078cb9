"""The capabilities document (PS3.18 8.9): which resources there are, written from the routes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from xml.etree import ElementTree

from flask import Blueprint, Flask, Response, current_app, request

from gateway.dicomweb.http import limits
from gateway.dicomweb.http.addresses import ROOT, root_of
from gateway.dicomweb.http.media import Offer, accepted, negotiate
from gateway.dicomweb.http.observed import FRAMES_ROUTE, template

_WADL = "application/vnd.sun.wadl+xml"
_NAMESPACE = "http://wadl.dev.java.net/2009/02"
_OFFERS = (Offer(_WADL), Offer("application/json"), Offer("application/dicom+json"))
_FRAME_METHODS = ("GET", "HEAD", "OPTIONS")


def blueprint() -> Blueprint:
    """Return the route: the root itself, with GET and with OPTIONS."""
    routes = Blueprint("capabilities", __name__)

    @routes.route("/", methods=["GET", "OPTIONS"], provide_automatic_options=False)
    def capabilities() -> Response:
        offer = negotiate(accepted(), _OFFERS)
        write = _wadl if offer.media_type == _WADL else _json
        body = write(root_of(request.environ), resources(current_app))
        answer = Response(body, content_type=offer.media_type)
        answer.allow.update(_FRAME_METHODS)
        return answer

    return routes


def resources(app: Flask) -> dict[str, list[str]]:
    """Return the methods of all resources below the root, by the templates of their paths."""
    found: dict[str, set[str]] = {FRAMES_ROUTE: set(_FRAME_METHODS)}
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(ROOT):
            found.setdefault(template(rule.rule), set()).update(rule.methods or ())
    return {path.removeprefix(ROOT): sorted(found[path]) for path in sorted(found)}


def _json(root: str, found: dict[str, list[str]]) -> bytes:
    listed = [{"path": path, "methods": methods} for path, methods in found.items()]
    document = {"base": root, "resources": listed, "limits": limits.published()}
    return json.dumps(document, indent=1).encode()


def _wadl(root: str, found: dict[str, list[str]]) -> bytes:
    ElementTree.register_namespace("", _NAMESPACE)
    application = _element(None, "application")
    for name, limit in limits.LIMITS.items():
        doc = _element(application, "doc", title=f"limit {name}")
        doc.text = f"at most {limit.most} {limit.of}; above that {limit.status}"
    base = _element(application, "resources", base=f"{root}/")
    for path, methods in found.items():
        resource = _element(base, "resource", path=path.lstrip("/"))
        for name in _parameters(path):
            _element(resource, "param", name=name, style="template", required="true")
        for method in methods:
            _element(resource, "method", name=method)
    document: bytes = ElementTree.tostring(application, "utf-8", xml_declaration=True)
    return document


def _parameters(path: str) -> Iterable[str]:
    return (piece[1:-1] for piece in path.split("/") if piece.startswith("{"))


def _element(
    parent: ElementTree.Element | None, kind: str, /, **attributes: str
) -> ElementTree.Element:
    qualified = f"{{{_NAMESPACE}}}{kind}"
    if parent is None:
        return ElementTree.Element(qualified, attributes)
    return ElementTree.SubElement(parent, qualified, attributes)
