"""Slides of JPEG 2000 over HTTP, and in a browser that cannot decode it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient

from gateway.core.instances import JPEG_2000
from tests.conftest import Server, serving, slidegate
from tests.dicomweb.test_server import OCTETS, instance_path, parts_of
from tests.factories import SvsTruth, make_svs
from tests.web.browser import browsing


@dataclass(frozen=True)
class Served:
    server: Server
    slide: SvsTruth
    frames: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("jpeg 2000")
    slide = make_svs(folder / "slide.svs", components="j2k-ict", columns=1511, rows=1103)
    slidegate("add", slide.path, "--data", folder / "data")
    with serving(folder / "data", "--no-materialise") as server:
        yield Served(server, slide, f"{instance_path(server)}/frames")


@pytest.mark.req("REQ-FRM-02", "REQ-FRM-03", "REQ-FRM-06")
@pytest.mark.parametrize(
    "accept",
    [
        "image/jp2",
        f"image/jp2; transfer-syntax={JPEG_2000}",
        f"application/octet-stream; transfer-syntax={JPEG_2000}",
        "application/octet-stream; transfer-syntax=*",
        'multipart/related; type="image/jp2"',
        f'multipart/related; type="image/jp2"; transfer-syntax={JPEG_2000}',
        OCTETS,
        "*/*",
    ],
)
def test_a_code_stream_is_given_as_it_is_stored(served: Served, accept: str) -> None:
    tiles = served.slide.levels[0].tiles
    answer = served.server.get(f"{served.frames}/2", accept)
    assert answer.status_code == 200
    if accept.startswith(("image", "application")):
        assert answer.content == tiles[1]
        assert answer.headers["Content-Type"].endswith(f"transfer-syntax={JPEG_2000}")
    else:
        [(head, body)] = parts_of(answer)
        assert body == tiles[1]
        assert f"transfer-syntax={JPEG_2000}" in head


@pytest.mark.req("REQ-FRM-03", "REQ-HTTP-04")
@pytest.mark.parametrize(
    "accept",
    [
        "image/jpeg",
        "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90",
        f"image/jpeg; transfer-syntax={JPEG_2000}",
    ],
)
def test_another_syntax_than_the_stored_one_is_not_acceptable(served: Served, accept: str) -> None:
    assert served.server.get(f"{served.frames}/2", accept).status_code == 406


@pytest.mark.req("REQ-FRM-04")
def test_octets_without_a_syntax_are_the_pixels(served: Served) -> None:
    level = served.slide.levels[0]
    answer = served.server.get(f"{served.frames}/3", "application/octet-stream")
    pixels = np.frombuffer(answer.content, np.uint8).reshape(level.tile, level.tile, 3)
    assert np.array_equal(pixels, level.decoded[2])
    several = served.server.get(
        f"{served.frames}/3,1", 'multipart/related; type="application/octet-stream"'
    )
    bodies = [np.frombuffer(body, np.uint8) for _, body in parts_of(several)]
    for body, wanted in zip(bodies, (level.decoded[2], level.decoded[0]), strict=True):
        assert np.array_equal(body.reshape(wanted.shape), wanted)


def test_a_client_not_our_own_gets_code_streams(served: Served) -> None:
    study, series, instance = served.frames.split("/")[2:7:2]
    client = DICOMwebClient(served.server.root)
    frames = client.retrieve_instance_frames(
        study, series, instance, [1, 4], media_types=(("image/jp2", JPEG_2000),)
    )
    tiles = served.slide.levels[0].tiles
    assert frames == [tiles[0], tiles[3]]


def test_a_browser_shows_the_slide(
    served: Served, tmp_path_factory: pytest.TempPathFactory
) -> None:
    study, series = served.frames.split("/")[2:5:2]
    with browsing(tmp_path_factory.mktemp("chromium")) as page:
        page.open(f"{served.server.url}/view?study={study}&series={series}")
        page.ask("document.getElementById('map').focus()")
        page.press("1")
        page.wait()
        page.point(300, 200)
        place = str(page.ask("document.getElementById('place').innerText"))
        words = place.replace(",", "").split()
        column, row = int(words[1]), int(words[3])
        seen = page.screenshot()[200:700, 300:900]
        assert page.complaints == []
    wanted = served.slide.levels[0].pixels[row : row + 500, column : column + 600]
    assert np.array_equal(seen, wanted)
