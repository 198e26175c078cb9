"""Documents as people read them: reports as HTML or text, encapsulated ones as they are."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from flask import Response, render_template, request

import gateway
from gateway.dicom.report import Report, as_text
from gateway.dicomweb.http.conditional import REVALIDATED, entity_tag, selection
from gateway.dicomweb.http.media import Offer, accepted, negotiate
from gateway.services.render import Document

HTML, TEXT = "text/html", "text/plain"

_STYLE = (
    "body{font:16px/1.4 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1rem;overflow-wrap:anywhere}"
    "dt{font-weight:bold}dd{margin:0}header{border-bottom:1px solid}"
    "section section,div{margin-left:1.5rem}p{margin:.3rem 0}"
    "span{white-space:pre-wrap}small{color:#555}"
)
_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_HEADERS = {
    # Reports come from anywhere: whatever is in them, nothing runs and nothing is loaded.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def document_answer(document: Document) -> Response:
    """Answer with a document in a form that the client accepts."""
    offers = (
        (Offer(HTML), Offer(TEXT)) if document.media_type is None else (Offer(document.media_type),)
    )
    offer = negotiate(accepted(), offers)
    etag = entity_tag(gateway.__version__, offer.media_type, *document.identity)
    chosen = selection(request.environ, etag, REVALIDATED)
    if chosen.unmodified:
        return Response(status=chosen.status, headers=chosen.headers)
    content = document.read()
    body = _written(content, offer) if isinstance(content, Report) else content
    charset = "; charset=utf-8" if offer.media_type in (HTML, TEXT) else ""
    answer = Response(
        body, chosen.status, chosen.headers, content_type=f"{offer.media_type}{charset}"
    )
    answer.headers.update(_HEADERS)
    return answer


def _written(report: Report, offer: Offer) -> str:
    if offer.media_type == TEXT:
        return as_text(report)
    return render_template("report.html", report=report, style=_STYLE)
