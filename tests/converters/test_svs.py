"""Aperio SVS as levels of frame recipes."""

import os
import shutil
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import openslide
import pytest
from numpy.typing import NDArray
from PIL import Image

from converters.sources import ScannedSlide, SlideImage, format_of
from gateway.core.errors import SlideUnreadable
from gateway.core.frames import FrameTable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, Flavour
from tests.core.test_frames import reader
from tests.factories import (
    SvsTruth,
    make_plain_tiff,
    make_svs,
    patch_tag,
    tag_values,
    truncate,
)

TILE_OFFSETS, TILE_BYTE_COUNTS = 324, 325


def scanned(path: Path) -> ScannedSlide:
    return format_of(path).read(path)


def frames_of(path: Path, image: SlideImage) -> list[bytes]:
    data = path.read_bytes()
    read = image.built.read if image.built else reader(data)
    assert isinstance(image.frames, FrameTable)
    return [image.frames.bitstream(number, read) for number in range(1, len(image.frames) + 1)]


def pixels_of(image: SlideImage, frame: bytes) -> NDArray[np.uint8]:
    shape = (image.grid.tile_rows, image.grid.tile_columns, 3)
    if image.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN:
        return np.frombuffer(frame, np.uint8).reshape(shape)
    decoded = np.asarray(Image.open(BytesIO(frame)).convert("RGB"))
    assert decoded.shape == shape
    return decoded


@pytest.mark.req("REQ-WSI-12", "REQ-WSI-11")
def test_a_frame_is_soi_tables_app14_and_the_rest_of_the_tile(
    svs: tuple[Path, SvsTruth],
) -> None:
    path, truth = svs
    levels = [one for one in scanned(path).images if one.flavour is Flavour.VOLUME]
    assert len(levels) == len(truth.levels) == 3
    app14 = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    for image, level in zip(levels, truth.levels, strict=True):
        assert (image.grid.matrix_columns, image.grid.matrix_rows) == (level.columns, level.rows)
        wanted = [b"\xff\xd8" + level.tables[2:-2] + app14 + tile[2:] for tile in level.tiles]
        assert frames_of(path, image) == wanted
        assert image.photometric_interpretation == "RGB"


@pytest.mark.req("REQ-WSI-12", "REQ-WSI-13")
@pytest.mark.parametrize("components", ["rgb", "ycbcr"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_each_frame_alone_decodes_to_the_sources_pixels(
    tmp_path: Path, components: str, bigtiff: bool
) -> None:
    path = tmp_path / "slide.svs"
    truth = make_svs(path, components=components, bigtiff=bigtiff)  # type: ignore[arg-type]
    levels = [one for one in scanned(path).images if one.flavour is Flavour.VOLUME]
    photometric = {"rgb": "RGB", "ycbcr": "YBR_FULL_422"}[components]
    for image, level in zip(levels, truth.levels, strict=True):
        assert image.photometric_interpretation == photometric
        for frame, wanted in zip(frames_of(path, image), level.decoded, strict=True):
            difference = np.abs(pixels_of(image, frame).astype(int) - wanted)
            assert difference.max() == 0


@pytest.mark.req("REQ-WSI-12")
def test_the_real_slide_decodes_as_openslide_sees_it(real_svs: Path) -> None:
    base = scanned(real_svs).images[0]
    with openslide.OpenSlide(real_svs) as slide:
        assert slide.dimensions == (base.grid.matrix_columns, base.grid.matrix_rows)
        for number, frame in enumerate(frames_of(real_svs, base), 1):
            tile_row, tile_column = base.grid.position(number)
            if tile_row == base.grid.down - 1 or tile_column == base.grid.across - 1:
                continue
            region = slide.read_region((tile_column * 240, tile_row * 240), 0, (240, 240))
            assert np.array_equal(np.asarray(region.convert("RGB")), pixels_of(base, frame))


@pytest.mark.parametrize("which", ["made", "real"])
def test_strips_become_one_image_with_the_same_pixels(
    which: str, svs: tuple[Path, SvsTruth], request: pytest.FixtureRequest
) -> None:
    path: Path = svs[0] if which == "made" else request.getfixturevalue("real_svs")
    images = {one.flavour: one for one in scanned(path).images[1:]}
    names = {"label": Flavour.LABEL, "macro": Flavour.OVERVIEW, "thumbnail": Flavour.THUMBNAIL}
    with openslide.OpenSlide(path) as slide:
        for name, flavour in names.items():
            image = images[flavour]
            (frame,) = frames_of(path, image)
            wanted = np.asarray(slide.associated_images[name].convert("RGB"))
            assert np.array_equal(pixels_of(image, frame), wanted)
    assert images[Flavour.LABEL].transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN
    assert not images[Flavour.LABEL].lossy


def test_the_description_is_read(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    make_svs(
        path,
        mpp="0,2521",
        app_mag="40",
        date="01/15/2026",
        extra_description="|Time Zone = GMT-05:00|Barcode = S26-1234;A1|no value||ScannerType = X",
    )
    facts = scanned(path).facts
    assert facts.spacing_um == (0.2521, 0.2521)
    assert facts.objective_power == 40
    assert facts.acquired is not None
    assert facts.acquired.isoformat() == "2026-01-15T09:59:15-05:00"
    assert facts.acquired.utcoffset() == timedelta(hours=-5)
    assert (facts.barcode, facts.model) == ("S26-1234;A1", "X")


@pytest.mark.parametrize(
    ("written", "bytes_there"),
    [
        ("|Filename = \xe4\xf6|Barcode = B\xdf", None),  # UTF-8
        ("|Filename = XX|Barcode = BY", b"|Filename = \xe4\xf6|Barcode = B\xdf"),  # Windows-1252
        ("|Filename = XX|Barcode = BY", b"|Filename = \x81\x8d|Barcode = B\xdf"),  # neither
        ("|Barcode = B\xdf\0\0\0", None),
        ("|Barcode\t= B\xdf\r\n", None),
        ("||no value|= |Barcode = B\xdf||", None),
        ("|Barcode = B\xdf|Barcode = other", None),
    ],
)
def test_descriptions_as_software_really_writes_them(
    tmp_path: Path, written: str, bytes_there: bytes | None
) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, extra_description=written, mpp="0,2500")
    if bytes_there:
        path.write_bytes(path.read_bytes().replace(written.encode(), bytes_there))
    facts = scanned(path).facts
    assert (facts.barcode, facts.spacing_um) == ("B\xdf", (0.25, 0.25))


@pytest.mark.parametrize("mpp", [None, "", "0", "-1", "nan", "much", "inf"])
def test_a_spacing_that_is_not_stated_is_unknown(tmp_path: Path, mpp: str | None) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, mpp=mpp, thumbnail=False, macro=False)
    assert scanned(path).facts.spacing_um is None


@pytest.mark.req("REQ-WSI-08")
@pytest.mark.parametrize("factor", [1, 4])
def test_a_thumbnail_of_a_levels_size_is_left_out(tmp_path: Path, factor: int) -> None:
    path = tmp_path / "slide.svs"
    downsamples = () if factor == 1 else (factor,)
    for odd, flavours in ((0, []), (factor, [Flavour.THUMBNAIL])):
        columns, rows = factor * 300 + odd, factor * 210
        truth = make_svs(path, columns=columns, rows=rows, downsamples=downsamples)
        assert truth.thumbnail is not None
        assert truth.thumbnail.shape == (210, 300, 3)
        found = [one.flavour for one in scanned(path).images]
        assert [one for one in found if one is Flavour.THUMBNAIL] == flavours


# -- the fingerprint


def test_a_copy_elsewhere_has_the_same_fingerprint(
    svs: tuple[Path, SvsTruth], tmp_path: Path
) -> None:
    copy = tmp_path / "other name.tif"
    shutil.copyfile(svs[0], copy)
    assert scanned(copy).fingerprint == scanned(svs[0]).fingerprint
    assert format_of(copy).fingerprint(copy) == scanned(svs[0]).fingerprint


def test_the_name_of_a_file_says_nothing(svs: tuple[Path, SvsTruth], tmp_path: Path) -> None:
    named = Path(shutil.copy(svs[0], tmp_path / "slide.ndpi"))
    assert scanned(named).fingerprint == scanned(svs[0]).fingerprint


@pytest.mark.parametrize("place", ["label", "tile", "description"])
def test_another_slide_has_another_fingerprint(tmp_path: Path, place: str) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path)
    before = scanned(path).fingerprint
    data = bytearray(path.read_bytes())
    if place == "description":
        offset = data.index(b"AppMag = 20")
        data[offset : offset + 11] = b"AppMag = 21"
    elif place == "tile":
        data[tag_values(path, 0, TILE_OFFSETS)[0] + 200] ^= 1
    else:
        with openslide.OpenSlide(path) as slide:
            assert "label" in slide.associated_images
        page = next(n for n in range(9) if tag_values(path, n, 254) == [1])
        data[tag_values(path, page, 273)[-1] + 3] ^= 1
    path.write_bytes(data)
    assert format_of(path).fingerprint(path) != before


# -- what is damaged


def test_a_slide_cut_anywhere_is_refused(svs: tuple[Path, SvsTruth], tmp_path: Path) -> None:
    path = tmp_path / "cut.svs"
    size = svs[0].stat().st_size
    for keep in [1, 3, 8, 17, 100, size // 3, size // 2, size - 300, size - 2]:
        shutil.copyfile(svs[0], path)
        truncate(path, keep)
        with pytest.raises(SlideUnreadable):
            scanned(path)


def test_tiles_past_the_end_are_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path)
    offsets = tag_values(path, 0, TILE_OFFSETS)
    patch_tag(path, 0, TILE_OFFSETS, [*offsets[:-1], 2**31])
    with pytest.raises(SlideUnreadable, match="past the end"):
        scanned(path)


@pytest.mark.parametrize(("tag", "value"), [(TILE_BYTE_COUNTS, 1), (TILE_OFFSETS, 2**63 - 100)])
def test_a_single_impossible_tile_is_told(tmp_path: Path, tag: int, value: int) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, columns=4800, rows=4800, tile=240, bigtiff=True, downsamples=())
    values = tag_values(path, 0, tag)
    patch_tag(path, 0, tag, [*values[:207], value, *values[208:]])
    with pytest.raises(SlideUnreadable):
        scanned(path)


@pytest.mark.req("REQ-WSI-11")
@pytest.mark.parametrize("tile", [0, -1, -2])
def test_tiles_of_another_size_are_told(tmp_path: Path, tile: int) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path)
    offset = tag_values(path, 0, TILE_OFFSETS)[tile]
    data = bytearray(path.read_bytes())
    head = data.index(b"\xff\xc0\x00\x11\x08\x00\xf0\x00\xf0", offset)
    data[head + 5 : head + 7] = (232).to_bytes(2)
    path.write_bytes(data)
    with pytest.raises(SlideUnreadable, match="240 x 232 pixels, not 240 x 240"):
        scanned(path)


@pytest.mark.req("REQ-WSI-13")
def test_jpeg_that_contradicts_its_tiff_is_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, components="ycbcr", thumbnail=False, macro=False)
    patch_tag(path, 0, 262, 2)
    patch_tag(path, 1, 262, 2)
    assert scanned(path).images[0].photometric_interpretation == "RGB"  # nothing says otherwise
    data = path.read_bytes()
    start, length = tag_values(path, 0, TILE_OFFSETS)[0], tag_values(path, 0, TILE_BYTE_COUNTS)[0]
    tile = data[start : start + length]
    head = tile.index(b"\xff\xc0")
    named = bytearray(tile)
    for number, name in enumerate(b"RGB"):
        named[head + 10 + 3 * number] = name
    patch_tag(path, 0, 262, 6)
    path.write_bytes(path.read_bytes().replace(tile, bytes(named)))
    with pytest.raises(SlideUnreadable, match="disagree"):
        scanned(path)


def test_a_tiff_that_is_no_slide_is_told(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    make_plain_tiff(path)
    with pytest.raises(SlideUnreadable, match="no slide of a known format"):
        scanned(path)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"\x89PNG\r\n\x1a\n", bytes(4096)])
def test_what_is_no_tiff_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.svs"
    path.write_bytes(content)
    with pytest.raises(SlideUnreadable):
        scanned(path)


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(SlideUnreadable, match="No such file"):
        format_of(tmp_path / "nothing.svs")
    with pytest.raises(SlideUnreadable, match="is a folder"):
        format_of(tmp_path)
    locked = tmp_path / "locked.svs"
    locked.write_bytes(b"II*\0")
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        return  # the super-user reads anything
    with pytest.raises(SlideUnreadable, match="Permission denied"):
        format_of(locked)


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_is_read_or_refused(
    svs: tuple[Path, SvsTruth], tmp_path: Path, seed: int
) -> None:
    random = np.random.default_rng(seed)
    data = bytearray(svs[0].read_bytes())
    headers = len(data) - 12_000 if seed % 2 else 0
    for place in random.integers(headers, len(data), 30):
        data[place] = random.integers(256)
    path = tmp_path / "damaged.svs"
    path.write_bytes(data)
    try:
        slide = scanned(path)
    except SlideUnreadable:
        return
    for image in slide.images:
        if image.built is None:
            assert isinstance(image.frames, FrameTable)
            assert (image.frames.offsets + image.frames.lengths <= len(data)).all()
