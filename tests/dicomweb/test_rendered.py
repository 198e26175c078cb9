"""Rendered resources and thumbnails of the running server, compared with the slide itself."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from PIL import Image
from werkzeug.test import Client

from gateway.bootstrap import load_application
from gateway.dicomweb import rendered
from gateway.settings import Settings
from tests.conftest import Server
from tests.dicomweb.test_server import found, instance_path, parts_of
from tests.factories import SvsTruth

Pixels = NDArray[np.uint8]


def shown(answer: requests.Response) -> Pixels:
    assert answer.status_code == 200, answer.text
    with Image.open(BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGB"))


def reduced(pixels: Pixels, width: int, height: int) -> Pixels:
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def error(seen: Pixels, true: Pixels) -> float:
    assert seen.shape == true.shape
    return float(np.abs(seen.astype(int) - true).mean())


@pytest.mark.req("REQ-REN-01")
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/gif", "image/jp2"])
def test_an_instance_is_rendered_as_the_type_that_is_accepted(
    server: Server, svs: tuple[Path, SvsTruth], media_type: str
) -> None:
    answer = server.get(f"{instance_path(server)}/rendered", media_type)
    level = svs[1].levels[0]
    assert answer.headers["Content-Type"] == media_type
    limit = 12 if media_type == "image/gif" else 3
    assert error(shown(answer), level.pixels) < limit


@pytest.mark.req("REQ-REN-01")
@pytest.mark.parametrize(
    ("viewport", "size"),
    [
        ("74%2C74", (74, 54)),
        ("74.4,73.6", (74, 54)),
        ("752,9999", (752, 552)),
        ("300,300,,,,", (300, 220)),
        ("400,400,,,500", (181, 400)),
    ],
)
def test_a_viewport_is_filled_without_distortion(
    server: Server, svs: tuple[Path, SvsTruth], viewport: str, size: tuple[int, int]
) -> None:
    answer = server.get(f"{instance_path(server)}/rendered?viewport={viewport}", "image/png")
    pixels = svs[1].levels[0].pixels[:, : 500 if ",500" in viewport else None]
    assert error(shown(answer), reduced(pixels, *size)) < 4


@pytest.mark.req("REQ-REN-01")
@pytest.mark.parametrize("turned", ["", "-"])
def test_a_region_shows_exactly_its_pixels(
    server: Server, svs: tuple[Path, SvsTruth], turned: str
) -> None:
    viewport = f"300,200,1100,850,{turned}300,{turned}200"
    answer = server.get(f"{instance_path(server)}/rendered?viewport={viewport}", "image/png")
    wanted = svs[1].levels[0].pixels[850:1050, 1100:1400]
    assert np.array_equal(shown(answer), wanted[::-1, ::-1] if turned else wanted)


@pytest.mark.req("REQ-REN-03")
def test_thumbnails_show_tissue_and_never_the_label(
    server: Server, svs: tuple[Path, SvsTruth]
) -> None:
    paths = instance_path(server).split("/")
    for place in ("/".join(paths[:3]), "/".join(paths[:5]), "/".join(paths)):
        answer = server.get(f"{place}/thumbnail", "image/jpeg")
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert shown(answer).shape == (188, 256, 3)
        assert max(shown(server.get(f"{place}/thumbnail?viewport=60,60")).shape) == 60
    frame = shown(server.get(f"{'/'.join(paths)}/frames/1/thumbnail?viewport=120,120"))
    assert error(frame, reduced(svs[1].levels[0].decoded[0], 120, 120)) < 5
    for flavour in ("LABEL", "OVERVIEW"):
        assert server.get(f"{instance_path(server, flavour)}/thumbnail").status_code == 404
        assert server.get(f"{instance_path(server, flavour)}/rendered").status_code == 200


@pytest.mark.req("REQ-REN-01")
def test_frames_are_rendered_whole_and_in_the_order_asked_for(
    server: Server, svs: tuple[Path, SvsTruth]
) -> None:
    tiles = svs[1].levels[0].decoded
    path = f"{instance_path(server)}/frames"
    single = server.get(f"{path}/7/rendered", "image/png")
    assert np.array_equal(shown(single), tiles[6])
    assert "no-cache" in single.headers["Cache-Control"]  # of the same frame, it may get better
    for accept in ('multipart/related; type="image/png"', "image/png"):
        parts = parts_of(server.get(f"{path}/3,1,2/rendered", accept))
        for (head, body), number in zip(parts, (3, 1, 2), strict=True):
            assert f"/frames/{number}/rendered" in head
            assert "Content-Type: image/png" in head
            assert np.array_equal(np.asarray(Image.open(BytesIO(body))), tiles[number - 1])
    assert server.get(f"{path}/99/rendered").status_code == 404
    assert server.get(f"{path}/0/rendered").status_code == 400


@pytest.mark.req("REQ-REN-01")
@pytest.mark.parametrize(
    "parameters",
    [
        "viewport=",
        "viewport=0,10",
        "viewport=10",
        "viewport=10,-10",
        "viewport=a,b",
        "viewport=1e3,10",
        "viewport=nan,10",
        "viewport=10,10,0,0,0,5",
        "viewport=10,10,5000,0",
        "viewport=10,10,0,0,5,5,5",
        "quality=0",
        "quality=101",
        "quality=good",
        "iccprofile=cmyk",
        "window=1",
        "window=1,2",
        "window=1,0,linear",
        "window=1,2,round",
        "annotation=name",
    ],
)
def test_malformed_parameters_are_refused_with_a_reason(server: Server, parameters: str) -> None:
    answer = server.get(f"{instance_path(server)}/rendered?{parameters}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]


def test_what_cannot_be_is_not_acceptable(server: Server) -> None:
    path = instance_path(server)
    for accept in ("image/tiff", "video/mp4", "text/html", "application/dicom"):
        assert server.get(f"{path}/rendered", accept).status_code == 406
    chosen = server.get(f"{path}/rendered?accept=image/png", "image/jpeg")
    assert chosen.headers["Content-Type"] == "image/png"


def test_annotations_and_windows_that_are_not_followed_are_said(server: Server) -> None:
    plain = server.get(f"{instance_path(server)}/rendered")
    assert "Warning" not in plain.headers
    for parameters in ("annotation=patient,technique", "window=100,200,linear"):
        answer = server.get(f"{instance_path(server)}/rendered?{parameters}")
        assert answer.headers["Warning"].startswith("299 slidegate")
        assert np.array_equal(shown(answer), shown(plain))


@pytest.mark.req("REQ-HTTP-17")
def test_pictures_are_made_once_for_a_client_that_keeps_them(server: Server) -> None:
    url = f"{server.root}{instance_path(server)}/rendered?viewport=64,64"
    first = requests.get(url, timeout=10)
    again = requests.get(url, headers={"If-None-Match": first.headers["ETag"]}, timeout=10)
    assert (again.status_code, again.content) == (304, b"")
    other = requests.get(f"{url}&quality=50", timeout=10)
    assert other.headers["ETag"] != first.headers["ETag"]
    assert len(other.content) < len(first.content)


def test_pictures_are_counted_in_bytes_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(load_application(Settings(server.data), server.url))
    path = f"/dicom-web{instance_path(server)}/frames/1,2/rendered"
    assert client.get(path).status_code == 200
    monkeypatch.setattr(rendered, "MOST_PICTURE_BYTES", 1000)
    assert client.get(path).status_code == 413


@pytest.mark.req("REQ-REN-01")
@pytest.mark.parametrize(
    ("viewport", "shape"),
    [
        ("100,100,20,30,50,50", (100, 100)),
        ("200,200,1500,1100,50,50", (64, 64)),  # four pixels are in the image, 16 times magnified
        ("1600,1600", (1174, 1600)),
    ],
)
def test_what_is_smaller_than_the_viewport_is_magnified(
    server: Server, viewport: str, shape: tuple[int, int]
) -> None:
    answer = server.get(f"{instance_path(server)}/rendered?viewport={viewport}", "image/png")
    assert shown(answer).shape[:2] == shape


@pytest.mark.req("REQ-REN-02")
def test_a_series_is_rendered_in_parts_or_as_its_slide(server: Server) -> None:
    series = instance_path(server).rsplit("/", 2)[0]
    instances = found(server, f"{series}/instances")
    parts = parts_of(server.get(f"{series}/rendered", 'multipart/related; type="image/jpeg"'))
    assert len(parts) == len(instances)
    assert shown(server.get(f"{series}/rendered", "image/jpeg")).shape == (1104, 1504, 3)
    study = series.rsplit("/", 2)[0]
    assert shown(server.get(f"{study}/rendered?viewport=80,80", "image/jpeg")).shape[1] == 80
