"""Rendered images and thumbnails (checklist, section 7)."""

from __future__ import annotations

import time

from conformance.suite.checks import Failed, NotApplicable, check, equal, expect
from conformance.suite.site import WSI, Found, Site, value

_PATIENCE_S = 10.0
"""Seconds for one image of a level that has any number of frames."""
_ASPECT = 0.15


def size_of(body: bytes) -> tuple[int, int]:
    """Return columns and rows of a PNG or JPEG image.

    Raises
    ------
    Failed
        If it is neither.
    """
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return int.from_bytes(body[16:20]), int.from_bytes(body[20:24])
    place = 2
    while body.startswith(b"\xff\xd8") and place + 9 < len(body) and body[place] == 0xFF:
        marker = body[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return (
                int.from_bytes(body[place + 7 : place + 9]),
                int.from_bytes(body[place + 5 : place + 7]),
            )
        place += 2 + int.from_bytes(body[place + 2 : place + 4])
    raise Failed(f"the body is no PNG or JPEG: {body[:16]!r}")


def _image(site: Site, path: str, accept: str | None, kind: str) -> tuple[int, int]:
    answer = site.get(path, accept).ok()
    equal(answer.content_type.partition(";")[0], kind, "Content-Type")
    signature = b"\x89PNG" if kind == "image/png" else b"\xff\xd8\xff"
    expect(answer.body.startswith(signature), f"the body begins {answer.body[:8]!r}")
    return size_of(answer.body)


def _fits(size: tuple[int, int], columns: float, rows: float) -> None:
    expect(
        0 < size[0] <= columns + 1 and 0 < size[1] <= rows + 1,
        f"the image is {size[0]} x {size[1]}, the viewport {columns} x {rows}",
    )
    expect(size[0] >= columns - 2 or size[1] >= rows - 2, f"it does not fill the viewport: {size}")


@check("REQ-REN-01")
def rendered_types(site: Site) -> None:
    """Instances and frames are rendered as JPEG by default, and as PNG or JPEG as asked."""
    for path in (f"{site.small.path}/rendered", f"{site.image.path}/frames/1/rendered"):
        for accept, kind in (
            (None, "image/jpeg"),
            ("*/*", "image/jpeg"),
            ("image/jpeg", "image/jpeg"),
            ("image/png", "image/png"),
            ("image/*", "image/jpeg"),
            ("image/png, image/jpeg;q=0.5", "image/png"),
        ):
            _image(site, path, accept, kind)
        site.get(path, "image/tiff").ok(406)


@check("REQ-REN-01")
def frames_keep_their_size(site: Site) -> None:
    """A frame without a viewport is rendered in its own size."""
    size = _image(site, f"{site.image.path}/frames/1/rendered", "image/png", "image/png")
    document = site.image.document
    equal(size, (value(document, "00280011"), value(document, "00280010")), "the size")


@check("REQ-REN-01")
def viewports(site: Site) -> None:
    """A viewport bounds the image, escaped or not, whole or fractional."""
    path = f"{site.image.path}/rendered?viewport="
    for asked, columns, rows in (
        ("74%2C74", 74, 74),
        ("74,74", 74, 74),
        ("80.4,60.6", 80.4, 60.6),
        ("33,90", 33, 90),
    ):
        _fits(_image(site, path + asked, "image/png", "image/png"), columns, rows)


@check("REQ-REN-01")
def viewport_of_a_region(site: Site) -> None:
    """A viewport with a region shows that region."""
    document = site.image.document
    columns = int(value(document, "00480006") or value(document, "00280011"))
    rows = int(value(document, "00480007") or value(document, "00280010"))
    side = max(8, min(columns, rows) // 2)
    whole = site.get(f"{site.image.path}/rendered?viewport=64,64", "image/png").ok().body
    path = f"{site.image.path}/rendered?viewport=64,64,0,0,{side},{side}"
    answer = site.get(path, "image/png").ok()
    equal(size_of(answer.body), (64, 64), "the size of a square region")
    expect(answer.body != whole, "the region is the whole image")


@check("REQ-REN-01")
def quality_matters(site: Site) -> None:
    """Less quality is fewer bytes."""
    path = f"{site.image.path}/frames/1/rendered?quality="
    low, high = (site.get(f"{path}{one}", "image/jpeg").ok().body for one in (5, 95))
    size_of(low)
    expect(len(low) < len(high), f"quality 5 has {len(low)} bytes, quality 95 {len(high)}")


@check("REQ-REN-01")
def colour_profiles(site: Site) -> None:
    """The colour profile is embedded, left out or applied, as asked for."""
    path = f"{site.image.path}/frames/1/rendered?iccprofile="
    without = site.get(f"{path}no", "image/jpeg").ok().body
    expect(b"ICC_PROFILE" not in without, "iccprofile=no embeds a profile")
    size_of(without)
    for name in ("yes", "srgb"):
        size_of(site.get(f"{path}{name}", "image/jpeg").ok().body)
    if "00282000" not in str(site.image.document.get("00480105")):
        raise NotApplicable("the image has no colour profile")
    embedded = site.get(f"{path}yes", "image/jpeg").ok().body
    expect(b"ICC_PROFILE" in embedded, "iccprofile=yes embeds no profile")


@check("REQ-REN-01")
def wrong_parameters_of_rendering(site: Site) -> None:
    """Parameters that cannot be are 400."""
    for query in (
        "viewport=x",
        "viewport=0,0",
        "viewport=-5,10",
        "viewport=64",
        "quality=0",
        "quality=101",
        "quality=x",
        "iccprofile=other",
    ):
        site.get(f"{site.image.path}/rendered?{query}", "image/jpeg").ok(400)
    site.get(f"{site.image.path}/frames/0/rendered", "image/jpeg").ok(400)
    beyond = f"{site.image.path}/frames/{site.image.frames + 1}/rendered"
    site.get(beyond, "image/jpeg").ok(404)


@check("REQ-REN-02")
def a_whole_level_is_cheap(site: Site) -> None:
    """A level of any number of frames is one image, at once."""
    started = time.monotonic()
    size = _image(site, f"{site.image.path}/rendered?viewport=256,256", "image/jpeg", "image/jpeg")
    took = time.monotonic() - started
    expect(took < _PATIENCE_S, f"it took {took:.1f} s")
    _fits(size, 256, 256)
    unbounded = _image(site, f"{site.image.path}/rendered", "image/jpeg", "image/jpeg")
    expect(max(unbounded) <= 16384, f"without a viewport the image is {unbounded}")


@check("REQ-REN-02", "REQ-REN-01")
def the_whole_level_is_shown(site: Site) -> None:
    """A rendered level has the shape of its matrix."""
    size = _image(site, f"{site.image.path}/rendered?viewport=256,256", "image/png", "image/png")
    _has_shape_of(site.image, size)


def _has_shape_of(image: Found, size: tuple[int, int]) -> None:
    columns = int(value(image.document, "00480006") or value(image.document, "00280011"))
    rows = int(value(image.document, "00480007") or value(image.document, "00280010"))
    apart = (size[0] / size[1]) / (columns / rows)
    expect(1 - _ASPECT < apart < 1 + _ASPECT, f"the image is {size}, the matrix {columns, rows}")


@check("REQ-REN-03")
def thumbnails(site: Site) -> None:
    """Studies, series and instances have thumbnails that show the slide."""
    levels = [one for one in site.instances if one.sop_class == WSI and one.flavour == "VOLUME"]
    if not levels:
        raise NotApplicable("the study has no slide")
    for path in (site.study_path, levels[0].series_path, levels[0].path):
        for accept in ("image/jpeg", None):
            size = _image(site, f"{path}/thumbnail", accept, "image/jpeg")
            expect(max(size) <= 2048, f"it is {size}")
            _has_shape_of(levels[0], size)
    _image(site, f"{site.image.path}/frames/1/thumbnail", "image/jpeg", "image/jpeg")


@check("REQ-REN-03")
def no_thumbnail_of_a_label(site: Site) -> None:
    """The thumbnail of a slide with a label is not the label."""
    hidden = [one for one in site.instances if one.flavour in ("LABEL", "OVERVIEW")]
    if not hidden:
        raise NotApplicable("the study has neither label nor overview")
    thumbnail = site.get(f"{hidden[0].series_path}/thumbnail", "image/jpeg").ok()
    shape = size_of(thumbnail.body)
    _has_shape_of(site.image, shape)
    for one in hidden:
        answer = site.get(f"{one.path}/thumbnail", "image/jpeg").ok(200, 404, 406)
        expect(answer.body != thumbnail.body or answer.status != 200, "it is the label's")


@check("REQ-REN-02", "REQ-OBJ-01")
def nothing_to_render(site: Site) -> None:
    """Rendering an object without pixels as an image is refused, not an error of the server."""
    one = site.without_pixels()
    for tail in ("rendered", "thumbnail"):
        site.get(f"{one.path}/{tail}", "image/jpeg").ok(400, 404, 406)
    site.get(f"{site.small.path}/rendered", "image/jpeg").ok()
