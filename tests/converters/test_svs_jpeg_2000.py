"""Aperio slides whose tiles are JPEG 2000."""

from pathlib import Path

import numpy as np
import openslide
import pytest
from numpy.typing import NDArray
from wsidicom import WsiDicom

from converters.codecs.jpeg_2000 import common_frame, holds_ycbcr, photometric_of
from converters.sources import SlideImage
from gateway.core.bitstreams import jpeg_2000_frame
from gateway.core.errors import InvalidInput, SlideUnreadable
from gateway.core.frames import TileGrid
from gateway.core.instances import JPEG_2000, JPEG_2000_LOSSLESS, Flavour
from tests.codings import CODINGS, Components
from tests.converters.test_convert import converted
from tests.converters.test_svs import frames_of, scanned
from tests.factories import make_svs, patch_tag, tag_values

GRID = TileGrid(1000, 700, 240, 240)
TILE = np.random.default_rng(0).integers(0, 256, (240, 240, 3), dtype=np.uint8)
PHOTOMETRIC, DESCRIPTION = 262, 270


def volumes(path: Path) -> list[SlideImage]:
    return [one for one in scanned(path).images if one.flavour is Flavour.VOLUME]


@pytest.mark.req("REQ-WSI-13", "REQ-WSI-15", "REQ-WSI-16")
@pytest.mark.parametrize(
    ("components", "photometric", "syntax", "lossy"),
    [
        ("j2k-ict", "YBR_ICT", JPEG_2000, True),
        ("j2k-rct", "YBR_RCT", JPEG_2000_LOSSLESS, False),
        ("j2k-rgb", "RGB", JPEG_2000, True),
    ],
)
def test_code_streams_are_copied_and_called_what_they_are(
    tmp_path: Path, components: Components, photometric: str, syntax: str, lossy: bool
) -> None:
    path = tmp_path / "slide.svs"
    truth = make_svs(path, components=components)
    levels = volumes(path)
    assert len(levels) == len(truth.levels) == 2
    for image, level in zip(levels, truth.levels, strict=True):
        assert frames_of(path, image) == level.tiles
        assert image.photometric_interpretation == photometric
        assert (image.transfer_syntax, image.lossy) == (syntax, lossy)


def whole_level(path: Path, level: int) -> NDArray[np.uint8]:
    with openslide.OpenSlide(path) as slide:
        size = slide.level_dimensions[level]
        return np.asarray(slide.read_region((0, 0), level, size).convert("RGB"))


@pytest.mark.filterwarnings("ignore:The odd length pixel data")  # wsidicom cuts the padding off
@pytest.mark.req("REQ-WSI-13")
@pytest.mark.parametrize("components", ["j2k-ict", "j2k-rct", "j2k-rgb"])
def test_other_readers_see_the_same_colours_in_source_and_result(
    tmp_path: Path, components: Components
) -> None:
    path, out = tmp_path / "slide.svs", tmp_path / "out"
    truth = make_svs(path, components=components)
    datasets = converted(path, out)
    for number, level in enumerate(truth.levels):
        source = whole_level(path, number)
        assert np.array_equal(source, level.pixels)
        assert np.array_equal(whole_level(next(out.iterdir()), number), source)
    with WsiDicom.open(out) as slide:
        for index, level in enumerate(truth.levels):
            size = (level.columns, level.rows)
            region = slide.read_region((0, 0), slide.levels[index].level, size)
            assert np.array_equal(np.asarray(region.convert("RGB")), level.pixels)
    lossy = {one.ImageType[2]: one.LossyImageCompression for one in datasets}
    assert lossy["VOLUME"] == ("00" if components == "j2k-rct" else "01")
    methods = {one.get("LossyImageCompressionMethod") for one in datasets} - {None}
    assert methods == ({"ISO_10918_1"} | ({"ISO_15444_1"} if lossy["VOLUME"] == "01" else set()))


@pytest.mark.req("REQ-WSI-16")
def test_a_stated_quality_makes_reversible_code_streams_lossy(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, components="j2k-rct", downsamples=())
    data = path.read_bytes()
    assert data.count(b"J2K/KDU|AppMag = 20") == 1
    path.write_bytes(data.replace(b"J2K/KDU|AppMag = 20", b"J2K Q=70|AppMag= 20"))
    assert volumes(path)[0].lossy
    assert volumes(path)[0].transfer_syntax == JPEG_2000
    assert volumes(path)[0].photometric_interpretation == "YBR_RCT"
    path.write_bytes(data.replace(b"J2K/KDU|AppMag = 20", b"J2K Q=100|AppMag=20"))
    assert volumes(path)[0].transfer_syntax == JPEG_2000_LOSSLESS


@pytest.mark.req("REQ-WSI-13")
def test_what_tiff_and_code_stream_contradict_each_other_in_is_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, components="j2k-contradiction")
    with pytest.raises(SlideUnreadable, match="33003"):
        scanned(path)
    make_svs(path, components="j2k-rgb", thumbnail=False)
    patch_tag(path, 0, PHOTOMETRIC, 6)
    with pytest.raises(SlideUnreadable, match="33005"):
        scanned(path)
    make_svs(path, components="j2k-ict", thumbnail=False, downsamples=())
    patch_tag(path, 0, PHOTOMETRIC, 6)  # Y, Cb and Cr are what the transform makes
    assert volumes(path)[0].photometric_interpretation == "YBR_ICT"


def test_code_streams_of_a_level_have_to_agree() -> None:
    streams: list[bytes] = []
    for components in ("j2k-ict", "j2k-rct", "j2k-rgb"):
        streams.append(CODINGS[components].encode(TILE)[1])
    for stream in streams:
        assert common_frame([stream, stream], GRID) == jpeg_2000_frame(stream)
    with pytest.raises(InvalidInput, match="differ"):
        common_frame(streams[:2], GRID)
    with pytest.raises(InvalidInput, match="differ"):
        common_frame([streams[0], streams[2]], GRID)


@pytest.mark.req("REQ-WSI-11", "REQ-WSI-14")
def test_code_streams_of_another_kind_are_told() -> None:
    stream = CODINGS["j2k-ict"].encode(TILE)[1]
    with pytest.raises(InvalidInput, match="240 x 240 pixels, not 256 x 240"):
        common_frame([stream], TileGrid(1000, 700, 256, 240))
    sizes = stream.index(b"\xff\x51")
    for place, value in ((40, 11), (43, 0x87)):
        other = bytearray(stream)
        other[sizes + place] = value
        with pytest.raises(InvalidInput, match="unsigned ones of 8 bits"):
            common_frame([bytes(other)], GRID)
    subsampled = bytearray(stream)
    subsampled[sizes + 44] = 2
    with pytest.raises(InvalidInput, match="subsampled"):
        holds_ycbcr(common_frame([bytes(subsampled)], GRID), tiff_ycbcr=False, untransformed=False)


def test_a_damaged_code_stream_is_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, components="j2k-ict")
    data = bytearray(path.read_bytes())
    data[tag_values(path, 0, 324)[0]] = 0
    path.write_bytes(data)
    with pytest.raises(SlideUnreadable, match="does not begin with SOC"):
        scanned(path)


def test_the_transform_says_what_components_are() -> None:
    for components, wanted in (("j2k-ict", "YBR_ICT"), ("j2k-rct", "YBR_RCT"), ("j2k-rgb", "RGB")):
        stream = CODINGS[components].encode(TILE)[1]  # type: ignore[index]
        assert photometric_of(jpeg_2000_frame(stream)) == wanted
