"""Pages for people: the list of slides and the viewer.

The pages are static; their scripts read DICOMweb like any other client, so they show no more
than its answers. Leaflet comes from the folder of its wheel.
"""

from __future__ import annotations

from flask import Blueprint, Response, render_template, send_from_directory
from xstatic.pkg import leaflet

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def blueprint() -> Blueprint:
    """Return the pages, their static files and Leaflet."""
    pages = Blueprint(
        "pages",
        __name__,
        static_folder="static",
        static_url_path="/static",
        template_folder="templates",
    )

    @pages.get("/")
    def slides() -> str:
        return render_template("slides.html")

    @pages.get("/view")
    def view() -> str:
        return render_template("view.html")

    @pages.get("/leaflet/<path:name>")
    def leaflet_file(name: str) -> Response:
        return send_from_directory(leaflet.BASE_DIR, name)

    @pages.after_request
    def guarded(answer: Response) -> Response:
        answer.headers.update(_HEADERS)
        return answer

    return pages
