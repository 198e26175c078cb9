"""Label, overview and thumbnail in every form that software writes them in."""

import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import pydicom
import pytest
from numpy.typing import NDArray

from conformance.bench.slides import draw_scene
from conformance.bench.tiff import JPEG, LIBRARY, RGB, YCBCR, Page, PageFile, describe, encode_rgb
from converters.sources import SlideImage
from gateway.core.errors import SlideUnreadable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, Flavour
from tests.codings import CODINGS, Components
from tests.conftest import dicom_faults, slidegate
from tests.converters.test_svs import frames_of, pixels_of, scanned
from tests.factories import patch_tag, tag_values

Pixels = NDArray[np.uint8]
Encode = Callable[[Pixels], bytes]

LABEL = draw_scene(97, 115, seed=2)
NAME = f"{LIBRARY}label 97x115"
STRIP_OFFSETS, STRIP_BYTE_COUNTS = 273, 279


def write_slide(path: Path, page: Page, pieces: list[bytes]) -> None:
    """Write a slide of one small level, and a label."""
    with PageFile(path) as file:
        tables, tile = encode_rgb(draw_scene(240, 240, seed=1), 80)
        text = describe("240x240 [0,0 240x240] (240x240) JPEG/RGB Q=80")
        file.append_image(Page(240, 240, text, tables, tile=240), [tile])
        file.append_image(page, pieces)


def striped(
    path: Path, encode: Encode, compression: int, photometric: int = RGB, tables: bytes = b""
) -> None:
    page = Page(
        97, 115, NAME, tables, strip_rows=16, subfile_type=1, compression=compression,
        photometric=photometric, subsampling=(2, 1),
    )  # fmt: skip
    write_slide(path, page, [encode(LABEL[row : row + 16]) for row in range(0, 115, 16)])


def tiled(path: Path, components: Components) -> None:
    coding = CODINGS[components]
    padded = np.pad(LABEL, ((0, 128 - 115), (0, 128 - 97), (0, 0)), mode="edge")
    squares = [padded[row : row + 64, left : left + 64] for row in (0, 64) for left in (0, 64)]
    pieces = [coding.encode(np.ascontiguousarray(square)) for square in squares]
    page = Page(
        97, 115, NAME, pieces[0][0], tile=64, subfile_type=1, compression=coding.compression,
        photometric=coding.photometric,
    )  # fmt: skip
    write_slide(path, page, [tile for _, tile in pieces])


def label_of(path: Path) -> SlideImage:
    [image] = [one for one in scanned(path).images if one.flavour is Flavour.LABEL]
    return image


def shown(path: Path) -> Pixels:
    image = label_of(path)
    [frame] = frames_of(path, image)
    return pixels_of(image, frame)


@pytest.mark.req("REQ-WSI-16")
@pytest.mark.parametrize(
    ("compression", "encode"),
    [
        (1, lambda strip: strip.tobytes()),
        (8, lambda strip: zlib.compress(strip.tobytes())),
        (32946, lambda strip: zlib.compress(strip.tobytes())),
        (32773, lambda strip: bytes(imagecodecs.packbits_encode(strip.tobytes()))),
    ],
)
def test_strips_without_loss_stay_without_loss(
    tmp_path: Path, compression: int, encode: Encode
) -> None:
    path = tmp_path / "slide.svs"
    striped(path, encode, compression)
    assert np.array_equal(shown(path), LABEL)
    assert label_of(path).transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN
    assert not label_of(path).lossy and not label_of(path).earlier


@pytest.mark.req("REQ-WSI-13", "REQ-WSI-16")
@pytest.mark.parametrize("quality", [80, 30])
def test_jpeg_strips_that_cannot_be_joined_are_decoded(tmp_path: Path, quality: int) -> None:
    path = tmp_path / "slide.svs"

    def encode(strip: Pixels) -> bytes:
        level = quality if np.array_equal(strip, LABEL[:16]) else 80
        return bytes(imagecodecs.jpeg8_encode(strip, level=level, subsampling="422"))

    striped(path, encode, JPEG, YCBCR)
    with openslide.OpenSlide(path) as slide:
        [image] = slide.associated_images.values()  # as page 1 it is the thumbnail there
        theirs = np.asarray(image.convert("RGB"))
    assert np.array_equal(shown(path), theirs)
    ours = label_of(path)
    if quality == 80:
        assert ours.lossy  # joined: nothing was decoded
    else:
        [step] = ours.earlier
        assert step.method == "ISO_10918_1" and step.ratio > 1
        assert ours.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN and not ours.lossy


@pytest.mark.req("REQ-WSI-13", "REQ-WSI-16")
@pytest.mark.parametrize(
    ("components", "method", "largest"),
    [
        ("rgb", "ISO_10918_1", 60),
        ("ycbcr", "ISO_10918_1", 100),
        ("j2k-ict", "ISO_15444_1", 8),
        ("j2k-rct", "ISO_15444_1", 0),
        ("j2k-ycbcr", "ISO_15444_1", 20),
    ],
)
def test_tiles_are_decoded_in_their_own_colours(
    tmp_path: Path, components: Components, method: str, largest: int
) -> None:
    path = tmp_path / "slide.svs"
    tiled(path, components)
    difference = np.abs(shown(path).astype(int) - LABEL)
    assert difference.max() <= largest
    assert difference.mean() < 8
    assert [step.method for step in label_of(path).earlier] == [method]


def test_what_was_decoded_is_valid_and_says_that_it_lost_something(tmp_path: Path) -> None:
    path, out = tmp_path / "slide.svs", tmp_path / "out"
    tiled(path, "j2k-ycbcr")
    slidegate("convert", path, out)
    assert dicom_faults(out) == []
    datasets = {one.ImageType[2]: one for one in map(pydicom.dcmread, out.iterdir())}
    label = datasets["LABEL"]
    assert (label.LossyImageCompression, label.LossyImageCompressionMethod) == (
        "01",
        "ISO_15444_1",
    )
    assert np.array_equal(label.pixel_array, shown(path))


# -- what cannot be read


def left_out(path: Path) -> str:
    slide = scanned(path)
    assert [one.flavour for one in slide.images] == [Flavour.VOLUME]
    [remark] = slide.facts.remarks[-1:]
    return remark


def test_a_label_of_an_unknown_kind_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    striped(path, lambda strip: strip.tobytes(), 50000)
    told = "The label was left out: Page 1 has TIFF compression 50000"
    assert left_out(path).startswith(told)
    done = slidegate("add", path, "--data", tmp_path / "data")
    assert told in done.stdout


def test_samples_that_are_not_rgb_are_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    striped(path, lambda strip: strip.tobytes(), 1)
    patch_tag(path, 1, 277, 1)
    assert "was left out: Page 1 has 1 samples" in left_out(path)


@pytest.mark.parametrize("components", ["j2k-ict", "rgb"])
def test_a_damaged_label_is_left_out_and_told(tmp_path: Path, components: Components) -> None:
    path = tmp_path / "slide.svs"
    tiled(path, components)
    data = bytearray(path.read_bytes())
    start = tag_values(path, 1, 324)[2]
    length = tag_values(path, 1, 325)[2]
    data[start : start + length] = bytes(length)
    path.write_bytes(data)
    assert left_out(path).startswith("The label was left out: ")


def test_damaged_deflate_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    striped(path, lambda strip: b"nothing of the kind", 8)
    assert "cannot be decoded" in left_out(path)


def test_a_label_without_bytes_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    striped(path, lambda strip: strip.tobytes(), 1)
    counts = tag_values(path, 1, STRIP_BYTE_COUNTS)
    patch_tag(path, 1, STRIP_BYTE_COUNTS, [0, *counts[1:]])
    assert "have no bytes" in left_out(path)


def test_a_label_past_the_end_is_of_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    striped(path, lambda strip: strip.tobytes(), 1)
    offsets = tag_values(path, 1, STRIP_OFFSETS)
    patch_tag(path, 1, STRIP_OFFSETS, [*offsets[:-1], path.stat().st_size - 10])
    with pytest.raises(SlideUnreadable, match="truncated"):
        scanned(path)


def test_a_giant_label_is_left_out_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    page = Page(60_000, 2_000, NAME, strip_rows=2_000, subfile_type=1, compression=8)
    write_slide(path, page, [zlib.compress(bytes(1000))])
    assert "larger than a label" in left_out(path)


def test_a_second_label_takes_the_place_of_one_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    strips = [LABEL[row : row + 16].tobytes() for row in range(0, 115, 16)]
    with PageFile(path) as file:
        tables, tile = encode_rgb(draw_scene(240, 240, seed=1), 80)
        file.append_image(Page(240, 240, describe("x"), tables, tile=240), [tile])
        for compression in (50000, 1):
            page = Page(97, 115, NAME, subfile_type=1, compression=compression)
            file.append_image(page, strips)
    assert np.array_equal(shown(path), LABEL)
    assert not any("left out" in remark for remark in scanned(path).facts.remarks)


def test_a_tiled_page_is_no_label_unless_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    tiled(path, "rgb")
    path.write_bytes(path.read_bytes().replace(b"label 97x115", b"other 97x115"))
    assert [one.flavour for one in scanned(path).images] == [Flavour.VOLUME]
