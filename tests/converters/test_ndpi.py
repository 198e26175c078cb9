"""Hamamatsu NDPI as frames: stripes that are joined, and tiles that are cut out of them."""

import os
import shutil
import struct
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import openslide
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from conformance.bench.ndpi import (
    LONG,
    SLONG,
    NdpiWriter,
    Tags,
    append_level,
    append_macro,
    encode_striped,
    make_large_ndpi,
    repeated,
)
from conformance.bench.slides import draw_scene
from converters.codecs import lossless
from converters.codecs.jpeg import blank_interval, sized_header
from converters.formats.ndpi.levels import Scan, Stripes
from converters.formats.ndpi.pages import opened, pages_of
from converters.formats.ndpi.tiles import joined
from converters.sources import (
    Choices,
    Fluorescence,
    FocalStack,
    ScannedSlide,
    SlideImage,
    Tiling,
    format_of,
)
from gateway.core.bitstreams import jpeg_frame
from gateway.core.errors import SlideUnreadable, Unavailable
from gateway.core.frames import Crop, CropTable, FrameTable, TileGrid
from gateway.core.instances import Flavour
from tests.conftest import SHARED
from tests.ndpi import FLUORESCENCE, NdpiTruth, decoded, make_ndpi, whole

REAL = SHARED / "ndpi" / "test3-DAPI-2-387.ndpi"
BOTH = pytest.mark.parametrize("tiling", list(Tiling))
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NdpiTruth:
    return make_ndpi(tmp_path_factory.mktemp("ndpi") / "slide.ndpi")


@pytest.fixture
def no_turbojpeg(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without libjpeg-turbo's binding."""
    lossless._library.cache_clear()
    monkeypatch.setitem(sys.modules, "turbojpeg", None)
    yield
    lossless._library.cache_clear()


def scanned(path: Path, tiling: Tiling | None = None) -> ScannedSlide:
    return format_of(path).read(path, Choices(tiling))


def levels_of(slide: ScannedSlide) -> list[SlideImage]:
    return [image for image in slide.images if image.flavour is Flavour.VOLUME]


def reader(path: Path) -> Callable[[int, int], bytes]:
    descriptor = os.open(path, os.O_RDONLY)
    return lambda offset, length: os.pread(descriptor, length, offset)


def frame_of(path: Path, image: SlideImage, number: int) -> bytes:
    read, frames = reader(path), image.frames
    if isinstance(frames, FrameTable):
        return frames.bitstream(number, read)
    block, inside = frames.crop.place(number)
    return lossless.cut(frames.blocks.bitstream(block, read), frames.crop)[inside]


def tiles_of(path: Path, image: SlideImage) -> Iterator[tuple[slice, slice, Pixels]]:
    """Yield the rows and columns of each tile and its pixels, padding included."""
    grid, cuts = image.grid, {}
    for number in range(1, len(image.frames) + 1):
        frames = image.frames
        if isinstance(frames, CropTable):
            block, inside = frames.crop.place(number)
            if block not in cuts:
                stream = frames.blocks.bitstream(block, reader(path))
                cuts[block] = lossless.cut(stream, frames.crop)
            pixels = decoded(cuts[block][inside])
        else:
            pixels = decoded(frame_of(path, image, number))
        assert pixels.shape == (grid.tile_rows, grid.tile_columns, 3)
        row, column = grid.position(number)
        top, left = row * grid.tile_rows, column * grid.tile_columns
        yield slice(top, top + grid.tile_rows), slice(left, left + grid.tile_columns), pixels


def openslide_level(path: Path, image: SlideImage) -> Pixels:
    size = (image.grid.matrix_columns, image.grid.matrix_rows)
    with openslide.OpenSlide(path) as slide:
        level = slide.level_dimensions.index(size)
        return np.asarray(slide.read_region((0, 0), level, size).convert("RGB"))


# -- pixels


@BOTH
@pytest.mark.parametrize("which", ["made", "real"])
@pytest.mark.req("REQ-WSI-11", "REQ-WSI-12")
def test_every_frame_shows_what_openslide_shows(
    which: str, tiling: Tiling, made: NdpiTruth
) -> None:
    path = made.path if which == "made" else REAL
    if not path.exists():
        pytest.skip("the folder with real slides is not beside the project")
    levels = levels_of(scanned(path, tiling))
    assert len(levels) == (3 if tiling is Tiling.STRIPES and which == "made" else 4)
    assert len({(one.grid.tile_columns, one.grid.tile_rows) for one in levels}) == 1
    for image in levels:
        theirs = openslide_level(path, image)
        for rows, columns, pixels in tiles_of(path, image):
            shown = theirs[rows, columns]
            assert np.array_equal(pixels[: shown.shape[0], : shown.shape[1]], shown)


@BOTH
@pytest.mark.req("REQ-WSI-11")
@pytest.mark.parametrize(("tags", "background"), [(None, 255), (FLUORESCENCE, 0)])
def test_what_lies_beyond_the_stripes_is_blank(
    tags: Tags | None, background: int, tiling: Tiling, tmp_path: Path
) -> None:
    path = tmp_path / "slide.ndpi"
    make_ndpi(path, columns=1000, rows=600, stripe=1000, tags=tags)
    for image in levels_of(scanned(path, tiling)):
        grid = image.grid
        for rows, columns, pixels in tiles_of(path, image):
            beyond_row = -(-grid.matrix_rows // 8) * 8 - rows.start
            beyond_column = -(-grid.matrix_columns // 8) * 8 - columns.start
            for part in (pixels[beyond_row:], pixels[:, beyond_column:]):
                assert (np.abs(part.astype(int) - background) <= 2).all()


def test_joined_frames_are_the_stripes_of_the_file_byte_for_byte(made: NdpiTruth) -> None:
    base = levels_of(scanned(made.path, Tiling.STRIPES))[0]
    level = made.levels[0]
    assert (base.grid.tile_columns, base.grid.tile_rows) == (1024, 512)
    header = sized_header(level.header, 1024, 512, 128)
    stripes = [level.stripes[3 * row + 1] for row in range(64)]
    joints = [bytes((0xFF, 0xD0 + number % 8)) for number in range(63)] + [b"\xff\xd9"]
    scan = b"".join(part for pair in zip(stripes, joints, strict=True) for part in pair)
    assert frame_of(made.path, base, 2) == header + scan


@BOTH
def test_shared_colour_samples_are_kept(tiling: Tiling, tmp_path: Path) -> None:
    path = tmp_path / "slide.ndpi"
    truth = make_ndpi(path, rows=1096, subsampling="4:2:0")
    for image, level in zip(levels_of(scanned(path, tiling)), truth.levels, strict=False):
        theirs = whole(level)
        for rows, columns, pixels in tiles_of(path, image):
            shown = theirs[rows, columns]
            inside = (slice(1, shown.shape[0] - 1), slice(1, shown.shape[1] - 1))
            # At its edges a decoder spreads colour without what lies beyond them.
            assert np.array_equal(pixels[inside], shown[inside])


@BOTH
def test_sides_that_a_jpeg_cannot_state_are_read_from_the_page(
    tiling: Tiling, tmp_path: Path
) -> None:
    path = tmp_path / "slide.ndpi"
    pool = encode_striped(draw_scene(2048, 512, seed=1), 2048)
    wide = repeated(pool, 34 * 2048, 520, seed=1)
    assert jpeg_frame(wide.header).columns == 0
    with NdpiWriter(path) as file:
        append_level(file, wide, lens=20)
        append_macro(file, draw_scene(1188, 406, seed=2))
    (image,) = levels_of(scanned(path, tiling))
    assert image.grid.matrix_columns == 34 * 2048
    with openslide.OpenSlide(path) as slide:
        for number in (1, image.grid.across // 2, image.grid.across, len(image.frames)):
            row, column = image.grid.position(number)
            place = (column * image.grid.tile_columns, row * image.grid.tile_rows)
            size = (image.grid.tile_columns, min(512, 520 - place[1]))
            theirs = np.asarray(slide.read_region(place, 0, size).convert("RGB"))
            assert np.array_equal(decoded(frame_of(path, image, number))[: size[1]], theirs)


def test_a_file_over_4_gib_is_read_in_no_time(tmp_path: Path) -> None:
    path = tmp_path / "large.ndpi"
    make_large_ndpi(path, file_bytes=4_700_000_000, sparse=True)
    assert path.stat().st_size > 1 << 32
    started = time.process_time()
    slide = scanned(path, Tiling.STRIPES)
    assert time.process_time() - started < 1
    base = levels_of(slide)[0]
    assert isinstance(base.frames, FrameTable)
    assert int(base.frames.offsets.max()) > 1 << 32
    with openslide.OpenSlide(path) as theirs:
        for image in levels_of(slide):
            grid, size = image.grid, (image.grid.matrix_columns, image.grid.matrix_rows)
            row, column = grid.position(len(image.frames) // grid.across * grid.across)
            place = (column * grid.tile_columns, row * grid.tile_rows)
            kept = (min(grid.tile_columns, size[0] - place[0]), min(512, size[1] - place[1]))
            level = theirs.level_dimensions.index(size)
            scale = round(theirs.level_downsamples[level])
            region = theirs.read_region((place[0] * scale, place[1] * scale), level, kept)
            frame = decoded(frame_of(path, image, grid.frame_number(row, column)))
            assert np.array_equal(frame[: kept[1], : kept[0]], np.asarray(region.convert("RGB")))


# -- what a slide has and has not


def test_a_level_that_is_not_stored_is_not_invented(made: NdpiTruth) -> None:
    with openslide.OpenSlide(made.path) as slide:
        assert len(slide.level_dimensions) > 4
    sizes = [(one.grid.matrix_columns, one.grid.matrix_rows) for one in scanned(made.path).images]
    assert sizes == [(3072, 1088), (1536, 544), (768, 272), (384, 136), (1188, 406)]


def test_joined_without_restart_markers_a_level_is_left_out_and_that_is_said(
    made: NdpiTruth,
) -> None:
    joined_slide, cut_slide = (scanned(made.path, one) for one in Tiling)
    assert [len(levels_of(slide)) for slide in (joined_slide, cut_slide)] == [3, 4]
    (told,) = [text for text in joined_slide.facts.remarks if "left out" in text]
    assert told == "The level of 384 x 136 pixels has no restart markers and is left out."


@pytest.mark.req("REQ-WSI-29")
def test_the_macro_is_the_overview_and_there_is_no_label(made: NdpiTruth) -> None:
    (macro,) = [one for one in scanned(made.path).images if one.flavour is not Flavour.VOLUME]
    assert macro.flavour is Flavour.OVERVIEW
    frame = frame_of(made.path, macro, 1)
    assert frame == made.path.read_bytes()[macro.frames.offsets[0] :][: len(frame)]  # type: ignore[union-attr]
    with openslide.OpenSlide(made.path) as slide:
        theirs = np.asarray(slide.associated_images["macro"].convert("RGB"))
    assert np.array_equal(decoded(frame), theirs)


@pytest.mark.req("REQ-WSI-28")
@pytest.mark.parametrize(
    ("planes", "chosen"), [((-3000, 0, 3000), 0), ((9000, -4000, 4000), -4000)]
)
def test_of_several_focal_planes_the_middle_one_is_taken(
    planes: tuple[int, ...], chosen: int, tmp_path: Path
) -> None:
    path = tmp_path / "slide.ndpi"
    truth = make_ndpi(path, columns=1024, rows=512, planes_nm=planes)
    slide = scanned(path, Tiling.STRIPES)
    assert len(levels_of(slide)) == 3
    ((_, _, pixels),) = tiles_of(path, levels_of(slide)[0])
    assert np.array_equal(pixels, whole(truth.levels[0]))
    assert f"Of 3 focal planes, the one at {chosen} nm is here." in slide.facts.remarks


@BOTH
def test_all_focal_planes_follow_one_another_from_the_glass_upwards(
    tiling: Tiling, tmp_path: Path
) -> None:
    path = tmp_path / "slide.ndpi"
    planes = (0, 4000, -4000)
    make_ndpi(path, columns=1280, rows=600, stripe=640, planes_nm=planes)
    alone = {}
    for focus in planes:  # the same slide with that plane alone
        one = make_ndpi(tmp_path / "one.ndpi", columns=1280, rows=600, stripe=640, dimmed=focus)
        alone[focus] = one.levels
    slide = format_of(path).read(path, Choices(tiling, all_focal_planes=True))
    assert slide.tiling != scanned(path, tiling).tiling
    assert len(slide.images) == (3 if tiling is Tiling.STRIPES else 4)  # no overview
    for image, *levels in zip(
        slide.images, *(alone[focus] for focus in sorted(alone)), strict=False
    ):
        grid = image.grid
        assert image.stack == FocalStack(3, 4.0)
        assert len(image.frames) == 3 * grid.count
        for plane, level in enumerate(levels):
            theirs = whole(level)
            for number in range(1, grid.count + 1):
                row, column = grid.position(number)
                top, left = row * grid.tile_rows, column * grid.tile_columns
                shown = theirs[top : top + grid.tile_rows, left : left + grid.tile_columns]
                pixels = decoded(frame_of(path, image, plane * grid.count + number))
                assert pixels.shape == (grid.tile_rows, grid.tile_columns, 3)
                assert np.array_equal(pixels[: shown.shape[0], : shown.shape[1]], shown)


def test_a_scan_of_one_focal_plane_is_no_stack(made: NdpiTruth) -> None:
    slide = format_of(made.path).read(made.path, Choices(all_focal_planes=True))
    assert slide.tiling == scanned(made.path).tiling
    assert all(image.stack is None for image in slide.images)


@pytest.mark.parametrize("change", ["uneven", "tables"])
def test_focal_planes_that_are_no_stack_are_refused(change: str, tmp_path: Path) -> None:
    path = tmp_path / "slide.ndpi"
    if change == "uneven":
        make_ndpi(path, columns=512, rows=256, stripe=512, planes_nm=(0, 2000, 3000))
    else:
        pixels = draw_scene(512, 256, seed=1)
        with NdpiWriter(path) as file:
            for focus, quality in ((0, 80), (1000, 70)):
                level = encode_striped(pixels, 512, quality=quality)
                append_level(file, level, lens=20, tags={65424: (SLONG, [focus])})
    with pytest.raises(SlideUnreadable, match="focal planes"):
        format_of(path).read(path, Choices(all_focal_planes=True))


def test_what_the_file_states_is_read(tmp_path: Path) -> None:
    path = tmp_path / "slide.ndpi"
    make_ndpi(path, tags={65468: (2, b"B-77"), 283: (5, [50_000, 1])})
    facts = scanned(path).facts
    assert facts.spacing_um == (0.2, 0.25)
    assert (facts.manufacturer, facts.model, facts.serial_number, facts.software) == (
        "Hamamatsu",
        "C9600-12",
        "950291",
        "NDP.scan 2.5.89",
    )
    assert (facts.objective_power, facts.barcode) == (20, "B-77")
    assert facts.acquired == datetime(2017, 2, 7, 13, 6, 43)
    assert facts.fluorescence is None


def test_the_centre_lies_where_the_file_states_it_from_the_centre_of_the_glass(
    made: NdpiTruth,
) -> None:
    placement = scanned(made.path).facts.placement
    assert placement is not None
    matrix = placement.matrix(3072, 1088, (0.25 / 1000, 0.25 / 1000))
    ((x_mm, y_mm),) = matrix.to_slide(np.array([[1536.0, 544.0]]))
    # 12.54 mm to the right of the centre and 0.1 mm above it, the label to the left.
    assert (x_mm, y_mm) == pytest.approx((13 + 0.096063, 38 - 12.53872))


def test_a_fluorescence_slide_is_never_called_bright_field(tmp_path: Path) -> None:
    path = tmp_path / "slide.ndpi"
    make_ndpi(path, tags=FLUORESCENCE)
    assert scanned(path).facts.fluorescence == Fluorescence("DAPI 2 (387)", 387.0, 455.0)


# -- how frames are made


def test_another_way_to_make_frames_is_another_recipe(made: NdpiTruth) -> None:
    joined_slide, cut_slide = (scanned(made.path, one) for one in Tiling)
    assert joined_slide.fingerprint == cut_slide.fingerprint
    assert joined_slide.tiling != cut_slide.tiling
    assert scanned(made.path).tiling == cut_slide.tiling
    assert any("joined at their restart markers" in one for one in joined_slide.facts.remarks)
    assert any("cut out" in one for one in cut_slide.facts.remarks)


@pytest.mark.usefixtures("no_turbojpeg")
def test_without_libturbojpeg_stripes_are_joined(made: NdpiTruth) -> None:
    assert scanned(made.path).tiling == Tiling.STRIPES.value


def test_without_libturbojpeg_tiles_are_refused_and_the_package_is_named(
    made: NdpiTruth, no_turbojpeg: None
) -> None:
    with pytest.raises(Unavailable, match=r"slidegate\[formats\].*libturbojpeg0"):
        scanned(made.path, Tiling.CROP)


def test_a_node_without_libturbojpeg_never_serves_other_bytes(
    made: NdpiTruth, request: pytest.FixtureRequest
) -> None:
    image = levels_of(scanned(made.path, Tiling.CROP))[0]
    request.getfixturevalue("no_turbojpeg")
    with pytest.raises(Unavailable, match=r"slidegate\[formats\].*libturbojpeg0") as told:
        frame_of(made.path, image, 1)
    assert told.value.http_status == 503


def test_a_block_without_quantisation_is_not_cut() -> None:
    stream = BytesIO()
    Image.fromarray(draw_scene(64, 64, seed=0)).save(stream, "JPEG", restart_marker_blocks=2)
    block = bytearray(stream.getvalue())
    tables = block.index(b"\xff\xdb") + 5
    block[tables : tables + 64] = bytes(64)
    with pytest.raises(SlideUnreadable, match="cannot be cut"):
        lossless.cut(bytes(block), Crop(TileGrid(64, 64, 48, 48), 2, 2))


def test_a_block_that_is_damaged_is_not_cut(made: NdpiTruth) -> None:
    image = levels_of(scanned(made.path, Tiling.CROP))[0]
    assert isinstance(image.frames, CropTable)
    block = image.frames.blocks.bitstream(1, reader(made.path))
    for damaged in (block[:300], block[: len(block) // 2], b"no JPEG"):
        with pytest.raises(SlideUnreadable, match="cannot be cut"):
            lossless.cut(damaged, image.frames.crop)


@given(
    across=st.integers(1, 5),
    down=st.integers(1, 200),
    mcus=st.sampled_from([1, 3, 16, 32]),
    narrow=st.sampled_from([1, 2, 4]),
)
def test_each_stripe_gets_its_place_in_one_frame(
    across: int, down: int, mcus: int, narrow: int
) -> None:
    pixels = np.full((8, 8 * mcus * narrow, 3), 99, np.uint8)
    wide = encode_striped(pixels, 8 * mcus * narrow)
    small = encode_striped(pixels[:, : 8 * mcus], 8 * mcus)
    base = _scan(0, wide.header, mcus * narrow, 1, 1)
    lower = _scan(1, small.header, mcus, across, down)
    tiles = joined([base, lower], 255)
    assert tiles[0].grid.tile_columns == 8 * mcus * narrow
    frames, grid = tiles[1].frames, tiles[1].grid
    assert isinstance(frames, FrameTable)
    offsets, lengths = frames.ranges
    high = grid.tile_rows // 8
    seen = set()
    for number in range(1, grid.count + 1):
        row, column = grid.position(number)
        for piece in range(high * narrow):
            down_at, across_at = divmod(piece, narrow)
            stripe = (row * high + down_at, column * narrow + across_at)
            place = int(offsets[number - 1, piece])
            if stripe[0] < down and stripe[1] < across:
                assert place == 1000 + 10 * (stripe[0] * across + stripe[1])
                assert int(lengths[number - 1, piece]) == 8
                seen.add(place)
            else:
                assert place == -1
                assert int(lengths[number - 1, piece]) == len(frames.literals) > 0
    assert len(seen) == across * down


def _scan(page: int, header: bytes, mcus: int, across: int, down: int) -> Scan:
    offsets = 1000 + 10 * np.arange(across * down)
    stripes = Stripes(8 * mcus, 8, across, down, offsets, np.full_like(offsets, 8))
    size = (8 * mcus * across, 8 * down)
    return Scan(page, *size, header, jpeg_frame(header), mcus, 0, 10, stripes)


@given(
    mcus=st.integers(1, 300),
    quality=st.integers(5, 100),
    luminance=st.sampled_from([0, 255]),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
)
def test_a_blank_interval_decodes_to_black_or_white(
    mcus: int, quality: int, luminance: int, subsampling: str
) -> None:
    noise = np.random.default_rng(mcus).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    jpeg = encode_striped(noise, 16, quality=quality, subsampling=subsampling)
    columns, rows = jpeg_frame(jpeg.header).mcu
    header = sized_header(jpeg.header, mcus * columns, rows, mcus)
    pixels = decoded(header + blank_interval(jpeg.header, mcus, luminance) + b"\xff\xd9")
    assert (pixels == luminance).all()


# -- detection and fingerprint


@pytest.mark.parametrize("name", ["slide.svs", "slide.tif", "slide"])
def test_it_is_known_by_its_content(name: str, made: NdpiTruth, tmp_path: Path) -> None:
    path = Path(shutil.copy(made.path, tmp_path / name))
    assert format_of(path).name == "Hamamatsu NDPI"
    assert scanned(path).fingerprint == scanned(made.path).fingerprint
    assert format_of(path).fingerprint(path) == scanned(path).fingerprint


@pytest.mark.parametrize("place", ["base", "macro", "tag"])
def test_another_slide_has_another_fingerprint(place: str, made: NdpiTruth, tmp_path: Path) -> None:
    path = Path(shutil.copy(made.path, tmp_path / "slide.ndpi"))
    slide = scanned(made.path, Tiling.STRIPES)
    frames = slide.images[0 if place == "base" else -1].frames
    assert isinstance(frames, FrameTable)
    data = bytearray(path.read_bytes())
    at = data.index(b"950291") if place == "tag" else int(frames.offsets.ravel()[0]) + 700
    data[at] ^= 1
    path.write_bytes(data)
    assert format_of(path).fingerprint(path) != slide.fingerprint


# -- tables that are missing or wrong, and damage


@pytest.mark.parametrize("damage", ["missing", "short", "shifted", "unsorted", "beyond"])
def test_stripes_are_found_without_a_true_table(damage: str, tmp_path: Path) -> None:
    truth, path = make_ndpi(tmp_path / "good.ndpi"), tmp_path / "bad.ndpi"
    level = truth.levels[0]
    starts = np.cumsum([len(level.header), *(len(one) + 2 for one in level.stripes[:-1])])
    wrong = {
        "missing": starts[:0],
        "short": starts[:-1],
        "shifted": starts + 3 * (np.arange(len(starts)) > 0),
        "unsorted": starts[::-1],
        "beyond": starts * 1000,
    }[damage]
    tags = {65426: (LONG, wrong.astype(np.uint32))}
    with NdpiWriter(path) as file:
        append_level(file, level, lens=20, tags=tags)
        append_macro(file, truth.macro)
    good, bad = (levels_of(scanned(one, Tiling.STRIPES))[0] for one in (truth.path, path))
    for number in range(1, len(good.frames) + 1):
        ours, theirs = frame_of(path, bad, number), frame_of(truth.path, good, number)
        assert np.array_equal(decoded(ours), decoded(theirs))


@pytest.mark.parametrize("marker", [None, 5])
def test_stripes_that_are_not_all_there_are_refused(marker: int | None, tmp_path: Path) -> None:
    path = tmp_path / "bad.ndpi"
    level = encode_striped(draw_scene(1024, 512, seed=3), 1024)
    with NdpiWriter(path) as file:
        append_level(file, level, lens=20, tags={65426: (LONG, np.zeros(3, np.uint32))})
    data = path.read_bytes()
    old = b"\xff\xd3" + level.stripes[4][:6]
    assert data.count(old) == 1
    new = bytes((0, 0)) if marker is None else bytes((0xFF, 0xD0 + marker))
    path.write_bytes(data.replace(old, new + old[2:]))
    with pytest.raises(SlideUnreadable, match="damaged"):
        scanned(path)


@pytest.mark.parametrize("kept", [3, 11, 12, 400, 5_000, -200_000, -2_000, -1])
def test_a_slide_cut_anywhere_is_refused(kept: int, made: NdpiTruth, tmp_path: Path) -> None:
    path = tmp_path / "slide.ndpi"
    path.write_bytes(made.path.read_bytes()[:kept])
    with pytest.raises(SlideUnreadable):
        scanned(path)


def test_a_macro_that_cannot_be_read_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "slide.ndpi"
    with NdpiWriter(path) as file:
        append_level(file, encode_striped(draw_scene(512, 256, seed=1), 512), lens=20)
        begin = file.place
        append_macro(file, draw_scene(1188, 406, seed=2))
    data = bytearray(path.read_bytes())
    data[begin : begin + 2] = b"no"
    path.write_bytes(data)
    slide = scanned(path)
    assert [image.flavour for image in slide.images] == [Flavour.VOLUME]
    assert any("macro cannot be read and is left out" in one for one in slide.facts.remarks)


def test_directories_in_a_circle_are_refused(made: NdpiTruth, tmp_path: Path) -> None:
    data = bytearray(made.path.read_bytes())
    (first,) = struct.unpack_from("<Q", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<Q", data, first + 2 + 12 * count, first)
    path = tmp_path / "slide.ndpi"
    path.write_bytes(data)
    with pytest.raises(SlideUnreadable, match="no end"):
        scanned(path)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({259: (3, [22610])}, "JPEG XR"),
        ({273: (4, [1 << 40])}, "past the end"),
        ({279: (4, [0])}, "past the end"),
        ({256: (4, [1 << 30])}, "pixels"),
        ({257: (4, [1 << 21])}, "stripes"),
        ({65421: (11, [-3.0])}, "no level"),
    ],
)
def test_what_cannot_be_is_refused(tags: Tags, message: str, tmp_path: Path) -> None:
    path = tmp_path / "slide.ndpi"
    make_ndpi(path, columns=1024, rows=512, factors=(1,), plain=(), tags=tags)
    with pytest.raises(SlideUnreadable, match=message):
        scanned(path)


def test_a_stripe_that_is_larger_than_pixels_can_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slide.ndpi"
    level = encode_striped(draw_scene(512, 64, seed=1), 512)
    with NdpiWriter(path) as file:
        append_level(file, level, lens=20, gap=100_000)
    with pytest.raises(SlideUnreadable, match="more bytes than its pixels"):
        scanned(path)


def test_a_base_level_without_markers_needs_libturbojpeg(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "slide.ndpi"
    truth = make_ndpi(path, columns=1000, rows=700, factors=(), plain=(1, 2))
    base = levels_of(scanned(path))[0]
    theirs = whole(truth.levels[0])
    for rows, columns, pixels in tiles_of(path, base):
        shown = theirs[rows, columns]
        assert np.array_equal(pixels[: shown.shape[0], : shown.shape[1]], shown)
    request.getfixturevalue("no_turbojpeg")
    with pytest.raises(SlideUnreadable, match=r"no restart markers.*slidegate\[formats\]"):
        scanned(path)


@given(
    changes=st.lists(
        st.tuples(st.sampled_from(["pages", "anywhere"]), st.integers(0), st.integers(0, 255)),
        min_size=1,
        max_size=8,
    )
)
def test_random_damage_is_read_or_refused(
    changes: list[tuple[str, int, int]], small: tuple[Path, list[int]]
) -> None:
    path, pages = small
    data = bytearray(path.read_bytes())
    for where, place, value in changes:
        data[pages[place % len(pages)] if where == "pages" else place % len(data)] = value
    damaged = path.with_name("damaged.ndpi")
    damaged.write_bytes(data)
    try:
        slide = format_of(damaged).read(damaged)
    except SlideUnreadable:
        return
    assert slide.images


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A small slide, and the places of the bytes of its directories."""
    path = tmp_path_factory.mktemp("small") / "small.ndpi"
    make_ndpi(path, columns=256, rows=128, stripe=128, factors=(1, 2), plain=(), macro=False)
    places: list[int] = list(range(12))
    with opened(path) as file:
        for page in pages_of(file):
            (entry,) = (page.entries[code] for code in (256,))
            begin = entry.offset - 8 - 2
            places += range(begin, begin + 2 + 16 * len(page.entries) + 8)
    return path, places
