"""dicom-microscopy-viewer in a real browser: what is on the screen is what is in the slide.

Slim and OHIF show slides with it. It is on another origin than the slides.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.clients.conftest import POLYGONS, Archive
from tests.web.browser import Page

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = 1000, 700  # of the slide on the page
CLEAR = np.s_[150:660, 160:]  # where nothing lies over it
SHIFTS = range(-3, 4)  # pixels of the screen
YELLOW = (255, 234, 0)
FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
BULK_DATA = 'multipart/related; type="application/octet-stream"'


def called(page: Page, function: str, *arguments: object) -> list[float]:
    """Call a function of the page."""
    result: list[float] = page.ask(f"{function}({', '.join(map(json.dumps, arguments))})")
    return result


@pytest.fixture(scope="module")
def viewer(archive: Archive, site: str, page: Page) -> Page:
    """A page with the slide, shown as large as fits."""
    page.requests.clear()
    page.open(f"{site}/pages/viewer.html")
    page.ask(f"connect({json.dumps(archive.server.root)})")
    assert called(page, "showSlide", archive.study, archive.series) == []
    return page


def seen(page: Page) -> Pixels:
    return page.screenshot()[:HEIGHT, :WIDTH]


def truth(archive: Archive, column: float, row: float, scale: float) -> Pixels:
    """Return what the window shows if `column`, `row` is in its middle: the label is right.

    Stored red is shown as blue, as the profile says.
    """
    base = Image.fromarray(archive.slide.levels[0].pixels[..., ::-1])
    left, top = column - scale * WIDTH / 2, row - scale * HEIGHT / 2
    box = (left, top, left + scale * WIDTH, top + scale * HEIGHT)
    turned = base.transform(
        (WIDTH, HEIGHT), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR, fillcolor="white"
    )
    return np.asarray(turned)[::-1, ::-1]


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.req("REQ-FRM-02", "REQ-META-02", "REQ-HTTP-02")
@pytest.mark.parametrize(
    ("column", "row", "scale"), [(1500, 1200, 1), (2200, 1801, 1), (1500, 1200, 2), (1450, 1150, 4)]
)
def test_tiles_are_drawn_where_they_belong(
    archive: Archive, viewer: Page, column: float, row: float, scale: float
) -> None:
    x, y, resolution, rotation = called(viewer, "lookAt", column, row, scale)
    assert rotation == pytest.approx(math.pi)  # so that the label is right
    shown, wanted = seen(viewer), truth(archive, x, y, resolution)
    if scale == 1:
        assert np.array_equal(shown[CLEAR], wanted[CLEAR])
    differences = {
        (down, right): difference(shown[CLEAR], np.roll(wanted, (down, right), (0, 1))[CLEAR])
        for down in SHIFTS
        for right in SHIFTS
    }
    assert min(differences, key=differences.__getitem__) == (0, 0)
    assert differences[0, 0] < 5


def outlines(column: float, row: float, scale: float) -> NDArray[np.bool_]:
    """Return where the outlines of the annotations are in the window."""
    window = Image.new("1", (WIDTH, HEIGHT))
    for polygon in POLYGONS:
        corners = [
            (WIDTH / 2 - (x - column) / scale, HEIGHT / 2 - (y - row) / scale)
            for x, y in [*polygon.tolist(), polygon[0].tolist()]
        ]
        ImageDraw.Draw(window).line(corners, fill=1)
    return np.asarray(window)


def grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    whole = np.pad(mask, by)
    steps = range(-by, by + 1)
    moved = [np.roll(whole, (down, right), (0, 1)) for down in steps for right in steps]
    result: NDArray[np.bool_] = np.any(moved, 0)[by:-by, by:-by]
    return result


@pytest.mark.req("REQ-META-02", "REQ-META-04", "REQ-META-06", "REQ-HTTP-02")
@pytest.mark.parametrize("stored", ["few", "many"])
@pytest.mark.parametrize(
    ("column", "row", "scale"), [(1450, 1150, 4), (925, 670, 1), (2100, 1600, 2)]
)
def test_annotations_are_drawn_where_they_belong(
    archive: Archive, viewer: Page, stored: str, column: float, row: float, scale: float
) -> None:
    x, y, resolution, _ = called(viewer, "lookAt", column, row, scale)
    before = seen(viewer)
    series = {"few": archive.few, "many": archive.many}[stored]
    assert called(viewer, "showAnnotations", archive.study, series) == []
    after = seen(viewer)
    viewer.ask("volume.removeAllAnnotationGroups()")
    drawn = (before != after).any(2)
    wanted = outlines(x, y, resolution)
    assert wanted.sum() > 500
    assert not (drawn & ~grown(wanted, 3)).any()
    assert not (wanted & ~grown(drawn, 1)).any()
    assert (after[drawn] == YELLOW).all(1).sum() > wanted.sum() / 2  # the rest are soft edges


def quarter_turns(shown: Pixels, picture: Pixels) -> int:
    """Return how a picture is turned on the white page; its colours are turned as well."""
    rows, columns = np.nonzero((shown != 255).any(2))
    shown = shown[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    differences = []
    for turns in range(4):
        turned = Image.fromarray(np.rot90(picture[..., ::-1], turns))
        resized = turned.resize((shown.shape[1], shown.shape[0]), Image.Resampling.BILINEAR)
        differences.append(difference(shown, np.asarray(resized)))
    assert min(differences) < 8
    return int(np.argmin(differences))


@pytest.mark.req("REQ-REN-01")
def test_label_and_overview_are_drawn(archive: Archive, viewer: Page) -> None:
    viewer.requests.clear()
    uids = (archive.study, archive.series)
    assert called(viewer, "showPicture", "LabelImageViewer", "LABEL", "label", *uids) == []
    assert called(viewer, "showPicture", "OverviewImageViewer", "OVERVIEW", "overview", *uids) == []
    shown = viewer.screenshot()
    assert archive.slide.label is not None
    assert archive.slide.macro is not None
    assert quarter_turns(shown[:350, WIDTH:], archive.slide.label) == 3  # read from the side
    assert quarter_turns(shown[350:HEIGHT, WIDTH:], archive.slide.macro) == 2
    rendered = [one for one in viewer.requests if "/rendered" in one["url"]]
    asked = {one["headers"]["Accept"] for one in rendered if one["method"] == "GET"}
    assert asked == {"image/png"}
    assert all("?viewport=" in one["url"] for one in rendered)


@pytest.mark.req("REQ-HTTP-11")
def test_it_asks_for_nothing_else(archive: Archive, site: str, page: Page) -> None:
    page.requests.clear()
    page.open(f"{site}/pages/viewer.html")
    page.ask(f"connect({json.dumps(archive.server.root)})")
    called(page, "showSlide", archive.study, archive.series)
    called(page, "showAnnotations", archive.study, archive.many)
    study = f"{archive.server.root}/studies/{archive.study}/series"
    asked = Counter(
        (one["headers"]["Accept"], re.sub(r"frames/[0-9]+$", "frames/N", path))
        for one in page.requests
        if one["method"] != "OPTIONS"
        and (path := one["url"].removeprefix(f"{study}/")) != one["url"]
    )
    level = [f"{archive.series}/instances/{one.SOPInstanceUID}" for one in archive.images]
    annotations = re.escape(f"{archive.many}/instances/") + r"[0-9.]+/bulkdata/006A0002/0/00660016"
    [bulk_data] = [path for _, path in asked if re.fullmatch(annotations, path)]
    assert asked.pop((FRAME, f"{level[3]}/frames/N")) in (1, 2)  # for a small map, too
    assert asked == {
        ("application/dicom+json", f"{archive.series}/metadata"): 1,
        (FRAME, f"{level[1]}/frames/N"): len(archive.slide.levels[1].tiles),
        ("application/dicom+json", f"{archive.many}/metadata"): 1,
        (BULK_DATA, bulk_data): 1,
    }
