"""JPEG 2000 of Y, Cb and Cr as they are (TIFF compression 33003)."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import pytest
from numpy.typing import NDArray
from PIL import Image
from wsidicom import WsiDicom

from converters.codecs.jpeg_2000 import rgb_image
from gateway.core.bitstreams import jpeg_2000_frame
from gateway.core.errors import SlideUnreadable
from gateway.core.instances import JPEG_2000_LOSSLESS
from tests import codings
from tests.codings import CODINGS, Coding
from tests.conftest import dicom_faults, serving, slidegate, tool
from tests.converters.test_convert import converted
from tests.converters.test_svs import TILE_BYTE_COUNTS, scanned
from tests.dicomweb.test_server import instance_path
from tests.factories import SvsTruth, make_svs, patch_tag, tag_values

Pixels = NDArray[np.uint8]
SUBSAMPLING_TAG = 530


@pytest.fixture
def slide(tmp_path: Path) -> SvsTruth:
    return make_svs(tmp_path / "slide.svs", components="j2k-ycbcr", columns=900, rows=700)


def seen(path: Path, level: int) -> Pixels:
    with openslide.OpenSlide(path) as reader:
        size = reader.level_dimensions[level]
        return np.asarray(reader.read_region((0, 0), level, size).convert("RGB"))


@pytest.mark.filterwarnings("ignore:The odd length pixel data")  # wsidicom cuts the padding off
@pytest.mark.req("REQ-WSI-13", "REQ-WSI-15", "REQ-WSI-16")
def test_colours_are_those_that_openslide_sees_in_the_source(
    slide: SvsTruth, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    datasets = converted(slide.path, out)
    assert dicom_faults(out) == []
    volumes = [one for one in datasets if one.ImageType[2] == "VOLUME"]
    assert len(volumes) == 2
    for dataset in volumes:
        assert dataset.file_meta.TransferSyntaxUID == JPEG_2000_LOSSLESS
        assert dataset.PhotometricInterpretation == "YBR_RCT"
        assert dataset.LossyImageCompression == "01"
        assert dataset.LossyImageCompressionMethod == "ISO_15444_1"
        assert float(dataset.LossyImageCompressionRatio) > 1
        told = dataset.ContributingEquipmentSequence[-1].ContributionDescription
        assert "OpenJPEG" in told or "openjpeg" in told
    with WsiDicom.open(out) as opened:
        for number, level in enumerate(slide.levels):
            mine = seen(next(out.iterdir()), number)
            assert np.array_equal(mine, level.pixels)
            # OpenSlide's table of Cb rounds another way than the one of libjpeg.
            assert np.abs(mine.astype(int) - seen(slide.path, number)).max() <= 1
            region = opened.read_region((0, 0), opened.levels[number].level, mine.shape[1::-1])
            assert np.array_equal(np.asarray(region.convert("RGB")), mine)


def test_an_added_slide_is_served_with_those_colours(slide: SvsTruth, tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = slidegate("add", slide.path, "--data", data)
    assert "materialised" in done.stdout
    slide.path.unlink()  # it is not needed any more
    with serving(data, "--no-materialise") as server:
        answer = server.get(f"{instance_path(server)}/frames/2", "application/octet-stream")
        assert np.array_equal(
            np.frombuffer(answer.content, np.uint8).reshape(240, 240, 3),
            slide.levels[0].decoded[1],
        )
        stream = server.get(f"{instance_path(server)}/frames/2", "image/jp2").content
    frame = jpeg_2000_frame(stream)
    assert frame.reversible and frame.component_transform


def _subsampled(folder: Path) -> Callable[[Pixels], tuple[bytes, bytes]]:
    """Code Cb and Cr with every second column only, as Aperio does."""

    def encode(pixels: Pixels) -> tuple[bytes, bytes]:
        colours = np.asarray(Image.fromarray(pixels).convert("YCbCr"))
        rows, columns = pixels.shape[:2]
        planes = [colours[:, :, 0], colours[:, ::2, 1], colours[:, ::2, 2]]
        raw, coded = folder / "tile.raw", folder / "tile.j2k"
        raw.write_bytes(b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes))
        form = f"{columns},{rows},3,8,u@1x1:2x1:2x1"
        command = [tool("opj_compress", "libopenjp2-tools"), "-i", str(raw), "-o", str(coded)]
        subprocess.run([*command, "-F", form, "-r", "8", "-I"], check=True, capture_output=True)
        return b"", coded.read_bytes()

    return encode


def _from_subsampled(_: bytes, tile: bytes) -> Pixels:
    pixels: Pixels = imagecodecs.jpeg2k_decode(tile)
    return pixels


@pytest.mark.req("REQ-WSI-13")
def test_subsampled_colours_are_those_that_openslide_sees(tmp_path: Path) -> None:
    coding = Coding(
        "J2K/YUV16 Q=70",
        _subsampled(tmp_path),
        _from_subsampled,
        codings.JP2K_YCBCR,
        subsampling=(2, 1),
    )
    path, out = tmp_path / "slide.svs", tmp_path / "out"
    truth = make_svs(path, components=coding, columns=600, rows=400, downsamples=())
    assert jpeg_2000_frame(truth.levels[0].tiles[0]).subsampled
    converted(path, out)
    mine = seen(next(out.iterdir()), 0)
    assert np.abs(mine.astype(int) - seen(path, 0)).max() <= 1


def test_a_single_colour_is_that_colour() -> None:
    red = np.full((64, 64, 3), (200, 30, 40), np.uint8)
    stream = CODINGS["j2k-ycbcr"].encode(red)[1]
    assert np.abs(np.asarray(rgb_image(stream, ycbcr=True)).astype(int) - red).max() <= 2
    assert np.abs(np.asarray(rgb_image(stream, ycbcr=False)).astype(int) - red).max() > 50


@pytest.mark.parametrize("photometric", [2, 6])
def test_photometric_and_subsampling_tags_do_not_matter(tmp_path: Path, photometric: int) -> None:
    coding = CODINGS["j2k-ycbcr"]
    bare = Coding(coding.text, coding.encode, coding.decode, coding.compression, photometric, None)
    path, out = tmp_path / "slide.svs", tmp_path / "out"
    truth = make_svs(path, components=bare, columns=300, rows=300, downsamples=())
    assert not tag_values_or_none(path, SUBSAMPLING_TAG)
    converted(path, out)
    assert np.array_equal(seen(next(out.iterdir()), 0), truth.levels[0].pixels)


def tag_values_or_none(path: Path, code: int) -> list[int] | None:
    try:
        return tag_values(path, 0, code)
    except KeyError:
        return None


# -- what goes wrong


def test_missing_tiles_are_not_made(slide: SvsTruth) -> None:
    counts = tag_values(slide.path, 2, TILE_BYTE_COUNTS)
    patch_tag(slide.path, 2, TILE_BYTE_COUNTS, 0 if len(counts) == 1 else [0, *counts[1:]])
    with pytest.raises(SlideUnreadable, match="no bytes"):
        scanned(slide.path)


def test_a_damaged_tile_is_told_and_nothing_is_left(slide: SvsTruth, tmp_path: Path) -> None:
    data = bytearray(slide.path.read_bytes())
    start = tag_values(slide.path, 0, 324)[5]
    after = start + jpeg_2000_frame(slide.levels[0].tiles[5]).header_bytes
    data[after + 2 : after + 40] = bytes(38)  # the header of a tile-part: nothing looks at it
    slide.path.write_bytes(data)
    done = slidegate("convert", slide.path, tmp_path / "out", fails=True)
    assert "slide.svs" in done.stderr and "cannot be decoded" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
