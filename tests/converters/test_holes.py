"""Tiles that a file lists but does not hold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openslide
import pytest
from numpy.typing import NDArray
from wsidicom import WsiDicom

from converters.library import ScannerFiles
from converters.sources import SlideImage
from converters.tiff import holes
from gateway.core.bitstreams import DQT, jpeg_2000_frame, jpeg_frame, jpeg_segments
from gateway.core.errors import SlideUnreadable
from gateway.core.frames import FrameTable
from gateway.core.instances import Flavour
from gateway.core.ports import SlidePlan
from gateway.dicom.images.pixels import decoded
from tests.codings import Components
from tests.conftest import dicom_faults, slidegate
from tests.converters.test_convert import converted
from tests.converters.test_svs import TILE_BYTE_COUNTS, TILE_OFFSETS, frames_of, scanned
from tests.factories import SvsTruth, make_svs, patch_tag, tag_values

Pixels = NDArray[np.uint8]
WHITE = 255
PAGES = (0, 2, 3)
"""Page of each level: the thumbnail follows the base level."""


def empty(path: Path, level: int, tiles: Sequence[int]) -> None:
    """Take the bytes of tiles of a level, counted from 0, out of the file's tables."""
    counts = tag_values(path, PAGES[level], TILE_BYTE_COUNTS)
    for tile in tiles:
        counts[tile] = 0
    patch_tag(path, PAGES[level], TILE_BYTE_COUNTS, counts)


def level_images(path: Path) -> list[SlideImage]:
    return [one for one in scanned(path).images if one.flavour is Flavour.VOLUME]


def pixels_of(path: Path, image: SlideImage, tile: int) -> Pixels:
    frame = frames_of(path, image)[tile]
    shape = (image.grid.tile_rows, image.grid.tile_columns, 3)
    return np.frombuffer(
        decoded(frame, image.transfer_syntax, lambda: image.photometric_interpretation), np.uint8
    ).reshape(shape)


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.fixture
def slide(tmp_path: Path) -> SvsTruth:
    path = tmp_path / "slide.svs"
    return make_svs(path, columns=752, rows=551, tile=112, downsamples=(4, 6))


ALL: list[Components] = ["rgb", "ycbcr", "ycbcr-420", "j2k-ict", "j2k-rct", "j2k-rgb"]


@pytest.mark.req("REQ-WSI-12", "REQ-WSI-13")
@pytest.mark.parametrize("components", ALL)
def test_a_missing_tile_is_made_from_the_level_above(
    tmp_path: Path, components: Components
) -> None:
    path = tmp_path / "slide.svs"
    truth = make_svs(path, components=components, columns=1503, rows=1103, downsamples=(4,))
    before = level_images(path)[1]
    frames = frames_of(path, before)
    empty(path, 1, [0, 3])  # the first, and one at the edge of level 1, which has 2 x 2 tiles
    after = level_images(path)[1]
    assert after.photometric_interpretation == before.photometric_interpretation
    now = frames_of(path, after)
    assert [now[1], now[2]] == [frames[1], frames[2]]
    for tile in (0, 3):
        assert difference(pixels_of(path, after, tile), truth.levels[1].decoded[tile]) < 4


@pytest.mark.parametrize("components", ["rgb", "ycbcr", "ycbcr-420"])
def test_what_is_made_is_coded_as_its_level(tmp_path: Path, components: Components) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, components=components, columns=1504, rows=1104, downsamples=(4,))
    empty(path, 1, [1])
    other, made = frames_of(path, level_images(path)[1])[:2]
    one, two = jpeg_frame(other), jpeg_frame(made)
    assert (one.sampling, one.rows, one.columns) == (two.sampling, two.rows, two.columns)

    def last_tables(stream: bytes) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for part in jpeg_segments(stream):
            if part.marker == DQT:
                payload = stream[part.start + 4 : part.stop]
                for place in range(0, len(payload), 65):
                    found[payload[place]] = payload[place + 1 : place + 65]
        return found

    wanted, coded = last_tables(other), last_tables(made)
    for number in range(3):
        assert coded[two.tables[number]] == wanted[one.tables[number]]


def test_code_streams_that_are_made_are_as_the_others(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    for components in ("j2k-ict", "j2k-rct", "j2k-rgb"):
        make_svs(path, components=components)
        empty(path, 1, [0])
        made, other = (jpeg_2000_frame(one) for one in frames_of(path, level_images(path)[1])[:2])
        assert made.component_transform == other.component_transform
        assert made.reversible == other.reversible


def test_openslide_makes_nearly_the_same(slide: SvsTruth) -> None:
    tile, level = 112, slide.levels[1]
    assert (level.columns, level.rows) == (188, 137)
    empty(slide.path, 1, [0, 3])
    image = level_images(slide.path)[1]
    with openslide.OpenSlide(slide.path) as reader:
        theirs = np.asarray(reader.read_region((0, 0), 1, (188, 137)).convert("RGB"))
    for number, columns, rows in ((0, tile, tile), (3, 188 - tile, 137 - tile)):
        row, column = image.grid.position(number + 1)
        mine = pixels_of(slide.path, image, number)[:rows, :columns]
        region = theirs[row * tile :, column * tile :][:rows, :columns]
        inner = np.s_[2:-2, 2:-2]  # at its edges OpenSlide blends with what is beyond
        assert difference(mine[inner], region[inner]) < 3


def test_what_is_missing_in_the_level_above_too_was_made_there_first(slide: SvsTruth) -> None:
    empty(slide.path, 1, [0])
    empty(slide.path, 2, [0])
    images = level_images(slide.path)
    assert difference(pixels_of(slide.path, images[2], 0), slide.levels[2].decoded[0]) < 6


def test_what_lies_below_a_made_tile_is_made_too(slide: SvsTruth) -> None:
    offsets = tag_values(slide.path, PAGES[2], TILE_OFFSETS)
    counts = tag_values(slide.path, PAGES[2], TILE_BYTE_COUNTS)
    assert len(offsets) == 2
    patch_tag(slide.path, PAGES[2], TILE_OFFSETS, [offsets[1]] * 2)  # the first is spoilt
    patch_tag(slide.path, PAGES[2], TILE_BYTE_COUNTS, [counts[1]] * 2)
    spoilt = pixels_of(slide.path, level_images(slide.path)[2], 0)
    assert difference(spoilt, slide.levels[2].decoded[0]) > 6
    empty(slide.path, 1, [0])  # columns 0 to 111 of 188: columns 0 to 74 of 125
    images = level_images(slide.path)
    assert difference(pixels_of(slide.path, images[2], 0), slide.levels[2].decoded[0]) < 6
    assert frames_of(slide.path, images[2])[1].endswith(slide.levels[2].tiles[1][2:])


def test_what_lies_below_a_tile_that_the_base_level_lacks_is_kept(slide: SvsTruth) -> None:
    before = [frames_of(slide.path, image) for image in level_images(slide.path)]
    empty(slide.path, 0, [0])
    after = [frames_of(slide.path, image) for image in level_images(slide.path)]
    assert after[1:] == before[1:]
    assert after[0][1:] == before[0][1:] and after[0][0] != before[0][0]


def test_where_nothing_is_above_there_is_background(slide: SvsTruth) -> None:
    column = range(0, 35, 7)
    empty(slide.path, 0, column)
    images = level_images(slide.path)
    frames = frames_of(slide.path, images[0])
    assert len({frames[tile] for tile in column}) == 1
    assert (pixels_of(slide.path, images[0], 7) == WHITE).all()
    assert isinstance(images[0].frames, FrameTable)
    assert len(images[0].frames.literals) < 3000  # one tile, not five
    assert np.array_equal(pixels_of(slide.path, images[0], 1), slide.levels[0].decoded[1])
    empty(slide.path, 1, [0])
    made = pixels_of(slide.path, level_images(slide.path)[1], 0)
    assert (made[:, :24] == WHITE).all()  # what the first column covers, in whole blocks of 8
    assert difference(made[:, 32:], slide.levels[1].decoded[0][:, 32:]) < 4


def test_level_ratios_that_are_no_whole_numbers_shift_nothing(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    truth = make_svs(path, columns=1111, rows=871, tile=112, downsamples=(2, 7))
    assert [(one.columns, one.rows) for one in truth.levels[1:]] == [(555, 435), (158, 124)]
    empty(path, 1, [1])
    empty(path, 2, [0])
    images = level_images(path)
    for level, tile in ((1, 1), (2, 0)):
        made = pixels_of(path, images[level], tile)
        wanted = truth.levels[level].decoded[tile]
        still = difference(made, wanted)
        assert still < 6
        for axis in (0, 1):
            for shift in (-1, 1):
                assert (
                    difference(np.roll(made, shift, axis)[4:-4, 4:-4], wanted[4:-4, 4:-4]) > still
                )


# -- it is said


def remarks(path: Path) -> str:
    return " ".join(scanned(path).facts.remarks)


def test_what_was_made_is_told_with_the_first_places(slide: SvsTruth) -> None:
    assert "without bytes" not in remarks(slide.path)
    empty(slide.path, 1, [2])
    empty(slide.path, 0, [8])
    told = remarks(slide.path)
    assert "2 from the level above and 1 of the base level with white background" in told
    assert "level 0 row 1 column 1, level 1 row 1 column 0, level 2 row 0 column 0)" in told
    empty(slide.path, 0, range(20))
    told = remarks(slide.path)
    assert "20 of the base level" in told and told.endswith("column 3, ...).")
    assert len(told) < 500


def test_headers_and_the_command_tell_it(slide: SvsTruth, tmp_path: Path) -> None:
    empty(slide.path, 2, [1])
    datasets = converted(slide.path, tmp_path / "out")
    for dataset in datasets:
        [equipment] = dataset.ContributingEquipmentSequence
        assert "1 from the level above" in equipment.ContributionDescription
    done = slidegate("add", slide.path, "--data", tmp_path / "data")
    assert "1 from the level above (counted from 0: level 2 row 0 column 1)" in done.stdout
    done = slidegate("convert", slide.path, tmp_path / "other")
    assert "1 from the level above" in done.stdout


def test_too_many_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path, columns=1040, rows=1040, tile=16, downsamples=())
    empty(path, 0, range(holes.MOST_HOLES + 1))
    with pytest.raises(SlideUnreadable, match=r"257 tiles have no bytes; up to 256"):
        scanned(path)


def test_what_would_take_minutes_is_refused(
    slide: SvsTruth, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty(slide.path, 1, [0])
    scanned(slide.path)
    for limit in ("_MOST_EFFORT", "_MOST_PIXELS"):
        with monkeypatch.context() as lowered:
            lowered.setattr(holes, limit, 100_000)
            with pytest.raises(SlideUnreadable, match="too large to make"):
                scanned(slide.path)


def test_a_level_without_any_tile_is_refused(slide: SvsTruth) -> None:
    empty(slide.path, 2, [0, 1])
    with pytest.raises(SlideUnreadable, match="no bytes"):
        scanned(slide.path)


# -- identity, and other readers


def planned(path: Path) -> SlidePlan:
    plan = ScannerFiles().plan(str(path))
    assert isinstance(plan, SlidePlan)
    return plan


@pytest.mark.req("REQ-WSI-32")
def test_other_bytes_of_another_encoder_are_another_instance(
    slide: SvsTruth, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty(slide.path, 0, [1])
    one, again = planned(slide.path), planned(slide.path)
    assert [it.key for it in one.instances] == [it.key for it in again.instances]
    monkeypatch.setattr(holes, "BACKGROUND", (254, 254, 254))  # stands for another encoder
    other = planned(slide.path)
    assert (other.study, other.series) == (one.study, one.series)
    changed = [a.key != b.key for a, b in zip(one.instances, other.instances, strict=True)]
    assert changed == [True, False, False, False, False, False]


@pytest.mark.filterwarnings("ignore:The odd length pixel data")  # wsidicom cuts the padding off
@pytest.mark.parametrize("components", ["rgb", "ycbcr-420", "j2k-ict"])
def test_other_readers_take_what_was_made(tmp_path: Path, components: Components) -> None:
    path, out = tmp_path / "slide.svs", tmp_path / "out"
    truth = make_svs(path, components=components, columns=1504, rows=1104, downsamples=(4,))
    empty(path, 1, [0])
    converted(path, out)
    assert dicom_faults(out) == []
    with openslide.OpenSlide(next(out.iterdir())) as reader:
        size = reader.level_dimensions[1]
        theirs = np.asarray(reader.read_region((0, 0), 1, size).convert("RGB"))
    assert difference(theirs, truth.levels[1].pixels) < 4
    with WsiDicom.open(out) as opened:
        region = opened.read_region((0, 0), opened.levels[1].level, size)
    assert np.array_equal(np.asarray(region.convert("RGB")), theirs)


def test_a_served_slide_gives_what_was_made(slide: SvsTruth, tmp_path: Path) -> None:
    empty(slide.path, 1, [1])
    datasets = converted(slide.path, tmp_path / "out")
    level = next(one for one in datasets if one.InstanceNumber == 2)
    assert np.abs(level.pixel_array[1].astype(int) - slide.levels[1].decoded[1]).mean() < 4
