"""The pages, in a real browser: what is on the screen is what is in the slide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from gateway.core.geometry import Orientation, PixelMatrix, View
from gateway.dicom.geometry import write_matrix
from tests.conftest import Server, serving, slidegate
from tests.factories import SvsTruth, make_svs
from tests.web.browser import Page, browsing

Pixels = NDArray[np.uint8]

COLUMNS, ROWS = 1511, 1103  # in no level a multiple of anything
BARCODE = "<b>7</b> & Co"
SHIFTS = range(-4, 5)  # pixels of the screen


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> SvsTruth:
    return make_svs(
        tmp_path_factory.mktemp("slides") / "slide.svs",
        columns=COLUMNS,
        rows=ROWS,
        downsamples=(4, 16),
        mpp="0.2500",
        app_mag="40",
        extra_description=f"|Barcode = {BARCODE}",
    )


@pytest.fixture(scope="module")
def viewed(slide: SvsTruth, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("viewed") / "data"
    slidegate("add", slide.path, "--data", data)
    with serving(data, "--no-materialise") as server:
        yield server


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browsing(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture(scope="module")
def view(viewed: Server) -> str:
    """Address of the viewer."""
    [series] = viewed.get("/series").json()
    study, uid = (series[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
    return f"{viewed.url}/view?study={study}&series={uid}"


def text(page: Page, selector: str) -> str:
    return str(page.ask(f"document.querySelector('{selector}').innerText")).strip()


def resized(pixels: Pixels, columns: int, rows: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BOX))


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def box(page: Page, selector: str) -> tuple[float, float, float, float]:
    """Left, top, width and height of an element, in CSS pixels."""
    rect = page.ask(f"document.querySelector('{selector}').getBoundingClientRect().toJSON()")
    return rect["left"], rect["top"], rect["width"], rect["height"]


def seen_and_true(
    page: Page, slide: SvsTruth, ratio: int, scale: float
) -> tuple[Pixels, list[list[Pixels]]]:
    """Cut the fitted slide out of the screen; also what should be there, moved by SHIFTS.

    The slide is in the middle of the map, rounded to whole CSS pixels; what may lie below
    buttons is left out.
    """
    left, top, width, height = (ratio * side for side in box(page, "#map"))
    columns, rows = round(COLUMNS * scale * ratio), round(ROWS * scale * ratio)
    first = round(left + (width - columns) / 2)
    above = round(top + (height - rows) / 2)
    seen = page.screenshot()[above : above + rows, first : first + columns]
    truth = resized(slide.levels[0].pixels, columns, rows)
    inner = np.s_[70 * ratio : -8, 70 * ratio : -8]
    moved = [[np.roll(truth, (down, right), (0, 1))[inner] for right in SHIFTS] for down in SHIFTS]
    return seen[inner], moved


def test_the_list_shows_the_slide_and_text_as_text(
    page: Page, viewed: Server, slide: SvsTruth
) -> None:
    page.open(viewed.url)
    assert text(page, ".container") == BARCODE
    assert text(page, ".patient") == "Patient not stated"
    assert text(page, ".size") == "1\u202f511 \u00d7 1\u202f103 pixels"
    assert text(page, ".count") == "6 instances"
    left, top, width, height = map(round, box(page, ".picture canvas"))
    seen = page.screenshot()[top : top + height, left : left + width]
    assert slide.thumbnail is not None
    assert difference(seen, resized(slide.thumbnail, width, height)) < 8
    assert page.complaints == []


def test_an_empty_list_says_how_to_add_a_slide(page: Page, tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--no-materialise") as server:
        page.open(server.url)
        assert "slidegate add SLIDE.svs" in text(page, "#empty")


@pytest.mark.parametrize(
    ("width", "height", "ratio", "scale"),
    [(1280, 800, 1, 0.5), (1280, 800, 2, 0.5), (900, 420, 1, 2**-2), (1000, 480, 2, 2**-1.5)],
)
def test_the_whole_slide_is_drawn_where_it_belongs(
    page: Page, view: str, slide: SvsTruth, width: int, height: int, ratio: int, scale: float
) -> None:
    page.open(view, width, height, ratio)
    seen, moved = seen_and_true(page, slide, ratio, scale)
    shifted = np.array([[difference(seen, truth) for truth in line] for line in moved])
    down, right = np.unravel_index(shifted.argmin(), shifted.shape)
    assert max(abs(SHIFTS[down]), abs(SHIFTS[right])) <= ratio, shifted
    for row, column in np.ndindex(6, 8):  # every part, not just most
        high, wide = seen.shape[0] // 6, seen.shape[1] // 8
        part = np.s_[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
        assert difference(seen[part], moved[down][right][part]) < 8, (row, column)
    assert page.complaints == []


@pytest.mark.parametrize("ratio", [1, 2])
def test_at_one_to_one_pixels_are_those_of_the_slide(
    page: Page, view: str, slide: SvsTruth, ratio: int
) -> None:
    page.open(view, ratio=ratio)
    page.ask("document.getElementById('map').focus()")
    page.press("1")
    page.wait()
    page.point(300, 200)
    assert text(page, "#magnification") == "40\u00d7"
    assert text(page, "#scale") == "20 µm"
    words = text(page, "#place").replace(",", "").split()
    column, row = int(words[1]), int(words[3])
    # The slide's Y runs against its columns, its X against its rows; 0.25 um a pixel.
    assert float(words[6]) == pytest.approx((ROWS - row) * 0.00025, abs=0.0011)
    assert float(words[9]) == pytest.approx((COLUMNS - column) * 0.00025, abs=0.0011)
    seen = page.screenshot()[::ratio, ::ratio][200:700, 300:900]
    truth = slide.levels[0].pixels[row : row + 500, column : column + 600]
    assert np.abs(seen.astype(int) - truth).max() <= 2  # decoders round differently


def test_millimetres_are_those_of_the_header(page: Page, view: str, viewed: Server) -> None:
    [series] = viewed.get("/series").json()
    study, uid = (series[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
    answer = viewed.get(f"/studies/{study}/series/{uid}/metadata", "application/dicom+json")
    base = next(one for one in answer.json() if one["00200013"]["Value"] == [1])
    (origin,) = base["00480008"]["Value"]
    stated = [origin[tag]["Value"][0] for tag in ("0040072A", "0040073A")]
    page.open(view)
    found = page.ask(f"{made_of(answer.text)}.then((slide) => slide.base.point_mm(0.5, 0.5))")
    assert found == pytest.approx(stated, rel=0, abs=1e-9)


def made_of(metadata: str) -> str:
    """Return the expression for a promise of the slide that the viewer makes of metadata."""
    return (
        "Promise.all([import('/static/dicom.js'), import('/static/slide.js')]).then("
        "([{SlideImage}, {Slide}]) => new Slide("
        f"{metadata}.map((one) => new SlideImage(one))))"
    )


@pytest.mark.parametrize("view_of_slide", View)
def test_a_level_is_drawn_where_its_header_says(page: Page, view: str, view_of_slide: View) -> None:
    base = PixelMatrix((12.0, 34.0), view_of_slide.value, 1.1, 0.7, 1100, 700)
    level = PixelMatrix((12.0, 34.0), view_of_slide.value, 0.8, 0.2, 80, 20)
    corner = base.to_slide(np.array([[100.0, 50.0]]))[0].tolist()
    level = replace(level, corner_mm=(corner[0], corner[1]))
    turned = replace(level, orientation=Orientation.from_rotation(45), columns=79)
    datasets = []
    for matrix in (base, level, turned):
        dataset, shared = Dataset(), Dataset()
        shared.PixelMeasuresSequence = [write_matrix(dataset, matrix)]
        dataset.SharedFunctionalGroupsSequence = [shared]
        dataset.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
        dataset.DimensionOrganizationType = "TILED_FULL"
        dataset.Rows = dataset.Columns = 1100
        datasets.append(dataset.to_json_dict())
    page.open(view)
    levels = page.ask(f"{made_of(json.dumps(datasets))}.then((slide) => slide.levels)")
    found = [[one[key] for key in ("left", "top", "across", "down")] for one in levels]
    assert len(found) == 2  # what is turned is not drawn over it
    assert found[0] == pytest.approx([0, 0, 1, 1], abs=1e-9)
    assert found[1] == pytest.approx([100, 50, 10, 10], abs=1e-9)


def test_without_a_series_the_slide_of_the_study_is_shown(page: Page, view: str) -> None:
    page.open(view.split("&")[0])
    assert text(page, "#container") == BARCODE
    assert page.ask("document.querySelectorAll('figure canvas').length") == 2


def test_a_changed_source_is_hatched_and_named_until_it_is_back(
    page: Page, view: str, slide: SvsTruth
) -> None:
    aside = slide.path.with_name("aside")
    slide.path.rename(aside)
    make_svs(slide.path, columns=COLUMNS, rows=ROWS, downsamples=(4, 16), seed=50)
    page.command("Network.clearBrowserCache")  # what it has seen it may keep for good
    page.open(view, state="failed")
    assert text(page, "#problem strong") == "Scanner file changed."
    assert "check-links" in text(page, "#problem")
    centre = page.screenshot()[300:500, 300:700].reshape(-1, 3)
    hatching = np.array([[0xEE, 0xF0, 0xF3], [0x8A, 0x93, 0xA3]])
    assert (centre >= hatching.min(0)).all() and (centre <= hatching.max(0)).all()
    assert len(np.unique(centre, axis=0)) > 1
    aside.rename(slide.path)
    page.ask("document.querySelector('#problem button').click()")
    page.wait()
    assert page.ask("document.getElementById('problem').hidden") is True
    seen, moved = seen_and_true(page, slide, 1, 0.5)
    assert min(difference(seen, truth) for line in moved for truth in line) < 6


def test_an_unknown_slide_is_said_to_be_unknown(page: Page, viewed: Server) -> None:
    page.open(f"{viewed.url}/view?study=1.2&series=1.3", state="failed")
    assert text(page, "#problem strong") == "Not found."


@pytest.mark.parametrize("path", ["/", "/view", "/static/view.js"])
def test_pages_load_nothing_from_elsewhere(viewed: Server, path: str) -> None:
    answer = requests.get(f"{viewed.url}{path}", timeout=10)
    assert answer.status_code == 200
    policy = dict(
        rule.strip().split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' data: blob:"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "https://" not in answer.text


def test_leaflet_comes_from_its_wheel(viewed: Server) -> None:
    from xstatic.pkg import leaflet

    for name in ("leaflet-src.esm.js", "leaflet.css"):
        answer = requests.get(f"{viewed.url}/leaflet/{name}", timeout=10)
        assert answer.content == (Path(leaflet.BASE_DIR) / name).read_bytes()
    answer = requests.get(f"{viewed.url}/leaflet/..%2F__init__.py", timeout=10)
    assert answer.status_code == 404
