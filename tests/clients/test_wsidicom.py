"""wsidicom over DICOMweb: what it sees is what it sees in files, and it need not try things out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import requests
from dicomweb_client import DICOMwebClient
from pydicom.uid import JPEGBaseline8Bit
from wsidicom import WsiDicom, WsiDicomWebClient
from wsidicom.graphical_annotations import AnnotationInstance

from tests.clients.conftest import POLYGONS, Archive
from tests.conftest import slidegate


@contextmanager
def opened(archive: Archive) -> Iterator[tuple[WsiDicom, list[requests.PreparedRequest]]]:
    """Open the slide with its annotations; also tells what is asked for meanwhile."""
    asked: list[requests.PreparedRequest] = []
    session = requests.Session()
    session.hooks["response"].append(lambda answer, **_: asked.append(answer.request))
    client = WsiDicomWebClient(DICOMwebClient(archive.server.root, session))
    with WsiDicom.open_web(client, archive.study, [archive.series, archive.few]) as slide:
        yield slide, asked
    session.close()


@pytest.fixture(scope="module")
def web(archive: Archive) -> Iterator[WsiDicom]:
    with opened(archive) as (slide, _):
        yield slide


@pytest.fixture(scope="module")
def files(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WsiDicom]:
    folder = tmp_path_factory.mktemp("converted") / "slide"
    slidegate("convert", archive.slide.path, folder)
    with WsiDicom.open(folder) as slide:
        yield slide


@pytest.mark.req("REQ-QIDO-07", "REQ-META-03", "REQ-FRM-03")
def test_regions_of_all_levels_are_those_of_the_files(
    archive: Archive, web: WsiDicom, files: WsiDicom
) -> None:
    assert [level.size for level in web.pyramid] == [level.size for level in files.pyramid]
    for level in web.pyramid:
        number, columns, rows = level.level, level.size.width, level.size.height
        for region in (((0, 0), (columns, rows)), ((columns - 50, rows - 90), (50, 90))):
            place, size = region
            seen, wanted = (one.read_region(place, number, size) for one in (web, files))
            assert seen.tobytes() == wanted.tobytes()
    base = archive.slide.levels[0].pixels
    seen = web.read_region((230, 470), 0, (300, 260)).convert("RGB")
    assert np.array_equal(np.asarray(seen), base[470:730, 230:530])


def test_overview_and_thumbnail_are_those_of_the_files(web: WsiDicom, files: WsiDicom) -> None:
    assert web.read_overview().tobytes() == files.read_overview().tobytes()
    assert web.read_thumbnail((200, 200)).tobytes() == files.read_thumbnail((200, 200)).tobytes()
    assert web.metadata == files.metadata


@pytest.mark.filterwarnings("ignore:The odd length pixel data")  # a frame has no padding
@pytest.mark.xfail(
    raises=TypeError,
    reason="wsidicom hands pixels as dicomweb-client gives them, a bytearray, to pydicom, which "
    "takes that for a list of values: frames of native pixels cannot be read from any server",
)
def test_the_label_is_that_of_the_files(web: WsiDicom, files: WsiDicom) -> None:
    assert web.read_label().tobytes() == files.read_label().tobytes()


@pytest.mark.req("REQ-META-02", "REQ-META-03")
def test_annotations_are_read(web: WsiDicom) -> None:
    [instance] = web.annotations
    assert isinstance(instance, AnnotationInstance)
    polygons, points = instance.groups
    outlines = [np.array(one.geometry.to_coords()) for one in polygons.annotations]
    for outline, wanted in zip(outlines, POLYGONS, strict=True):
        assert np.array_equal(outline, wanted)
    assert [one.geometry.to_coords() for one in points.annotations] == [
        [(x, 5.0)] for x in (3.0, 4.0, 5.0)
    ]


@pytest.mark.req("REQ-QIDO-11")
def test_no_transfer_syntax_is_tried_out(archive: Archive) -> None:
    with opened(archive) as (slide, asked):
        opening = [str(one.url).removeprefix(archive.server.root) for one in asked]
        searches = [path for path in opening if "/instances?" in path]
        assert len(searches) == 2
        assert all("includefield=AvailableTransferSyntaxUID" in path for path in searches)
        assert len([path for path in opening if path.endswith("/metadata")]) == 7
        assert len(opening) == 9
        slide.read_region((300, 300), 0, (10, 10))
        [frame] = asked[9:]
    assert str(frame.url).endswith("/frames/15")
    assert frame.headers["Accept"] == (
        f'multipart/related; type="image/jpeg"; transfer-syntax={JPEGBaseline8Bit}'
    )
