"""JPEG tiles of Aperio slides in all the forms that scanners give them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import pytest
from numpy.typing import NDArray

from converters.codecs.jpeg import ADOBE_RGB
from converters.synthetic import abbreviate
from gateway.core.bitstreams import states_rgb
from gateway.core.errors import SlideUnreadable
from gateway.core.instances import Flavour
from tests.codings import CODINGS, Coding, Components
from tests.converters.test_convert import converted
from tests.converters.test_svs import frames_of, pixels_of, scanned
from tests.factories import SvsTruth, make_svs

Pixels = NDArray[np.uint8]

JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
ADOBE_YCBCR = ADOBE_RGB[:-1] + b"\x01"


def marked(components: Components, marker: bytes) -> Coding:
    """Return a coding whose tiles have a marker segment of their own."""
    coding = CODINGS[components]

    def encode(pixels: Pixels) -> tuple[bytes, bytes]:
        tables, tile = coding.encode(pixels)
        return tables, tile[:2] + marker + tile[2:]

    return replace(coding, encode=encode)


def assert_pixels(path: Path, truth: SvsTruth) -> None:
    levels = [one for one in scanned(path).images if one.flavour is Flavour.VOLUME]
    for image, level in zip(levels, truth.levels, strict=True):
        for frame, wanted in zip(frames_of(path, image), level.decoded, strict=True):
            assert np.array_equal(pixels_of(image, frame), wanted)


def level_pixels(path: Path, level: int) -> Pixels:
    with openslide.OpenSlide(path) as slide:
        size = slide.level_dimensions[level]
        return np.asarray(slide.read_region((0, 0), level, size).convert("RGB"))


@pytest.mark.req("REQ-WSI-12", "REQ-WSI-13")
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("components", ["ycbcr", "ycbcr-420"])
def test_subsampled_ycbcr_is_what_openslide_sees(
    tmp_path: Path, components: Components, bigtiff: bool
) -> None:
    path, out = tmp_path / "slide.svs", tmp_path / "out"
    truth = make_svs(path, components=components, bigtiff=bigtiff)
    assert len(set(truth.levels[0].tables.split(b"\xff\xdb"))) == 3  # two tables of numbers
    assert_pixels(path, truth)
    datasets = converted(path, out)
    kinds = {one.ImageType[2]: one.PhotometricInterpretation for one in datasets}
    assert kinds["VOLUME"] == "YBR_FULL_422"
    for level in range(2):
        source = level_pixels(path, level)
        assert np.array_equal(level_pixels(next(out.iterdir()), level), source)
        assert np.array_equal(source, truth.levels[level].pixels)


@pytest.mark.req("REQ-WSI-13")
@pytest.mark.parametrize(
    ("components", "marker"),
    [("ycbcr", JFIF), ("ycbcr-420", ADOBE_YCBCR), ("rgb", ADOBE_RGB), ("ycbcr", JFIF + ADOBE_RGB)],
)
def test_markers_that_confirm_the_tiff_are_kept_alone(
    tmp_path: Path, components: Components, marker: bytes
) -> None:
    path = tmp_path / "slide.svs"
    truth = make_svs(path, components=marked(components, marker))
    assert_pixels(path, truth)
    image = scanned(path).images[0]
    for frame, tile in zip(frames_of(path, image), truth.levels[0].tiles, strict=True):
        assert frame.endswith(tile[2:])
        assert frame.count(b"Adobe") == marker.count(b"Adobe")
        assert states_rgb(frame) is (components == "rgb")


@pytest.mark.req("REQ-WSI-13")
@pytest.mark.parametrize(
    ("components", "marker"),
    [("rgb", JFIF), ("rgb", ADOBE_YCBCR), ("ycbcr", ADOBE_RGB), ("ycbcr-420", ADOBE_RGB)],
)
def test_markers_that_contradict_the_tiff_are_told(
    tmp_path: Path, components: Components, marker: bytes
) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, components=marked(components, marker))
    with pytest.raises(SlideUnreadable, match="disagree about what the components are"):
        scanned(path)


def one_of(number: int, encode: Callable[[Pixels], tuple[bytes, bytes]]) -> Coding:
    """Return RGB tiles of which one, counted from 0, is coded otherwise."""
    usual = CODINGS["rgb"]
    done: list[int] = []

    def choose(pixels: Pixels) -> tuple[bytes, bytes]:
        done.append(1)
        return encode(pixels) if len(done) == number + 1 else usual.encode(pixels)

    return replace(usual, encode=choose)


@pytest.mark.req("REQ-WSI-13")
def test_a_single_tile_that_contradicts_the_tiff_is_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, components=one_of(7, marked("rgb", ADOBE_YCBCR).encode))
    with pytest.raises(SlideUnreadable, match="disagree"):
        scanned(path)


@pytest.mark.req("REQ-WSI-12")
def test_a_tile_with_tables_of_its_own_is_decoded_with_them(tmp_path: Path) -> None:
    def whole(pixels: Pixels) -> tuple[bytes, bytes]:
        jpeg = imagecodecs.jpeg8_encode(
            pixels, level=35, colorspace="rgb", outcolorspace="rgb", subsampling="444"
        )
        return b"", bytes(jpeg)

    path, out = tmp_path / "slide.svs", tmp_path / "out"
    truth = make_svs(path, components=one_of(4, whole), downsamples=())
    assert len(truth.levels[0].tables) > 200
    assert truth.levels[0].tiles[4].count(b"\xff\xdb") == 1
    assert_pixels(path, truth)
    converted(path, out)
    assert np.array_equal(level_pixels(next(out.iterdir()), 0), level_pixels(path, 0))


@pytest.mark.req("REQ-WSI-12")
def test_tables_are_those_of_the_page(tmp_path: Path) -> None:
    def encode(pixels: Pixels) -> tuple[bytes, bytes]:
        level = 90 if len(done) < 15 else 40  # the base level has 15 tiles
        done.append(1)
        jpeg = imagecodecs.jpeg8_encode(
            pixels, level=level, colorspace="rgb", outcolorspace="ycbcr", subsampling="422"
        )
        return abbreviate(bytes(jpeg))

    done: list[int] = []
    path = tmp_path / "slide.svs"
    truth = make_svs(path, components=replace(CODINGS["ycbcr"], encode=encode))
    base, lower = (level.tables for level in truth.levels)
    assert base != lower
    assert_pixels(path, truth)


@pytest.mark.req("REQ-WSI-12")
def test_tiles_without_shared_tables_stand_alone_already(tmp_path: Path) -> None:
    def encode(pixels: Pixels) -> tuple[bytes, bytes]:
        tables, tile = CODINGS["ycbcr"].encode(pixels)
        return b"", tables[:-2] + tile[2:]

    path = tmp_path / "slide.svs"
    truth = make_svs(path, components=replace(CODINGS["ycbcr"], encode=encode))
    assert_pixels(path, truth)
    assert frames_of(path, scanned(path).images[0]) == truth.levels[0].tiles


@pytest.mark.req("REQ-WSI-18")
def test_ratios_of_levels_that_are_no_whole_numbers_are_those_of_the_pixels(
    tmp_path: Path,
) -> None:
    path = tmp_path / "slide.svs"
    truth = make_svs(path, columns=1111, rows=889, downsamples=(2, 7), mpp="0.5")
    datasets = [one for one in converted(path, tmp_path / "out") if one.ImageType[2] == "VOLUME"]
    datasets.sort(key=lambda one: -int(one.TotalPixelMatrixColumns))
    for dataset, level in zip(datasets, truth.levels, strict=True):
        [measures] = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        assert float(measures.PixelSpacing[0]) * level.rows == pytest.approx(889 * 0.0005)
        assert float(measures.PixelSpacing[1]) * level.columns == pytest.approx(1111 * 0.0005)
