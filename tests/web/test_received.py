"""Images that others made, in a browser: right colours, whatever their bit streams say of them."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import UID

from gateway.core.instances import JPEG_BASELINE
from tests.conftest import serving, slidegate
from tests.factories import SvsTruth
from tests.streams import encapsulated
from tests.web.browser import browsing

Pixels = NDArray[np.uint8]


def nameless_jpeg(pixels: Pixels) -> bytes:
    """Return a JPEG of R, G and B that does not say so."""
    named = imagecodecs.jpeg8_encode(
        pixels, level=95, subsampling="444", colorspace="RGB", outcolorspace="RGB"
    )
    start = named.index(b"\xff\xee")  # APP14
    bare = bytearray(named[:start] + named[start + 2 + named[start + 3] :])
    frame, scan = bare.index(b"\xff\xc0") + 10, bare.index(b"\xff\xda") + 5
    for number in range(3):
        bare[frame + 3 * number] = bare[scan + 2 * number] = number + 1
    return bytes(bare)


def lossless_jpeg(pixels: Pixels) -> bytes:
    return bytes(
        imagecodecs.jpeg8_encode(
            pixels, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB"
        )
    )


def jpeg_ls(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.jpegls_encode(pixels))


@pytest.mark.parametrize(
    ("encode", "transfer_syntax"),
    [
        (nameless_jpeg, JPEG_BASELINE),
        (lossless_jpeg, "1.2.840.10008.1.2.4.70"),
        (jpeg_ls, "1.2.840.10008.1.2.4.80"),
    ],
)
def test_a_browser_shows_the_colours_of_the_header(
    encode: Callable[[Pixels], bytes],
    transfer_syntax: str,
    svs: tuple[Path, SvsTruth],
    tmp_path: Path,
) -> None:
    level = svs[1].levels[0]
    slidegate("convert", svs[0], tmp_path / "converted")
    file = max((tmp_path / "converted").iterdir(), key=lambda path: path.stat().st_size)
    dataset = dcmread(file)
    assert dataset.PhotometricInterpretation == "RGB"
    del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    frames = [[encode(tile)] for tile in level.decoded]
    (tmp_path / "other.dcm").write_bytes(buffer.getvalue() + encapsulated(frames))
    data = tmp_path / "data"
    slidegate("add", tmp_path / "other.dcm", "--data", data)
    with serving(data) as server, browsing(tmp_path / "chromium") as page:
        view = f"study={dataset.StudyInstanceUID}&series={dataset.SeriesInstanceUID}"
        page.open(f"{server.url}/view?{view}")
        page.ask("document.getElementById('map').focus()")
        page.press("1")
        page.wait()
        page.point(300, 200)
        words = str(page.ask("document.getElementById('place').innerText")).replace(",", "").split()
        column, row = int(words[1]), int(words[3])
        seen = page.screenshot()[200:600, 300:800]
        assert page.complaints == []
    wanted = level.pixels[row : row + 400, column : column + 500]
    assert np.abs(seen.astype(int) - wanted).max() < 16
