"""The drawn slide and the slides of the factories are Aperio slides to readers not our own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray

from conformance.bench.slides import make_large_svs
from converters.synthetic import abbreviate, draw_slide
from tests.codings import Components
from tests.factories import (
    make_plain_tiff,
    make_svs,
    patch_tag,
    tag_values,
    truncate,
)

REAL_SLIDE = Path(__file__).parents[3] / "shared/data/svs/CMU-1-Small-Region.svs"
ASSOCIATED = {"thumbnail", "label", "macro"}


def read_level(path: Path, level: int) -> NDArray[np.uint8]:
    """Read a whole level with OpenSlide."""
    with openslide.OpenSlide(path) as slide:
        size = slide.level_dimensions[level]
        return np.asarray(slide.read_region((0, 0), level, size).convert("RGB"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "drawn.svs"
    draw_slide(path, columns=3000, rows=2100, seed=7)
    return path


def test_openslide_takes_the_drawn_slide_for_an_aperio_slide(drawn: Path) -> None:
    with openslide.OpenSlide(drawn) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert slide.level_dimensions == ((3000, 2100), (750, 525), (187, 131))
        assert set(slide.associated_images) == ASSOCIATED
        assert slide.properties["openslide.mpp-x"] == "0.25"
        assert slide.properties["openslide.objective-power"] == "40"
        assert slide.properties["aperio.Date"] == "01/15/26"
        assert slide.associated_images["label"].size == (387, 463)


def test_tifffile_finds_the_series_of_the_drawn_slide(drawn: Path) -> None:
    with tifffile.TiffFile(drawn) as file:
        assert [series.name for series in file.series] == [
            "Baseline",
            "Thumbnail",
            "Label",
            "Macro",
        ]
        assert [level.shape for level in file.series[0].levels] == [
            (2100, 3000, 3),
            (525, 750, 3),
            (131, 187, 3),
        ]


def test_pages_of_the_drawn_slide_are_stored_as_a_scanner_stores_them(drawn: Path) -> None:
    with tifffile.TiffFile(drawn) as file:
        kinds = [(page.aspage().subfiletype, page.aspage().is_tiled) for page in file.pages]
        assert kinds == [(0, True), (0, False), (0, True), (0, True), (1, False), (9, False)]
        label = file.pages[4].aspage()
        assert (label.compression, label.predictor) == (5, 2)
        assert [file.pages[page].aspage().rowsperstrip for page in (1, 5)] == [16, 16]
        assert all(
            file.pages[page].aspage().jpegtables == file.pages[0].aspage().jpegtables
            for page in (1, 2, 3, 5)
        )


def test_lower_levels_of_the_drawn_slide_show_the_base_level(drawn: Path) -> None:
    base = read_level(drawn, 0).astype(np.float64)
    for level, factor in ((1, 4), (2, 16)):
        lower = read_level(drawn, level).astype(np.float64)
        rows, columns = lower.shape[:2]
        means = base[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
        difference = np.abs(means.mean(axis=(1, 3)) - lower)
        assert difference.mean() < 4
        assert lower.std() > 15


def test_the_same_seed_draws_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again.svs", tmp_path / "other.svs"
    calls: list[tuple[int, int]] = []
    draw_slide(again, columns=3000, rows=2100, seed=7, progress=lambda *state: calls.append(state))
    draw_slide(other, columns=700, rows=500, seed=8)
    assert again.read_bytes() == drawn.read_bytes()
    assert calls == [(done, 9) for done in range(1, 10)]
    assert not np.array_equal(read_level(other, 0), read_level(drawn, 0)[:500, :700])


def test_a_slide_too_small_for_its_levels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too small"):
        draw_slide(tmp_path / "tiny.svs", columns=63, rows=2000)
    assert not (tmp_path / "tiny.svs").exists()


@pytest.mark.parametrize("components", ["rgb", "ycbcr"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_openslide_reads_the_pixels_that_the_factory_states(
    tmp_path: Path, components: Components, bigtiff: bool
) -> None:
    truth = make_svs(
        tmp_path / "made.svs", components=components, bigtiff=bigtiff, downsamples=(4, 16)
    )
    with openslide.OpenSlide(truth.path) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert slide.level_dimensions == ((1000, 700), (250, 175), (62, 43))
        assert set(slide.associated_images) == ASSOCIATED
        assert slide.properties["openslide.mpp-x"] == "0.499"
        assert truth.label is not None
        label = np.asarray(slide.associated_images["label"].convert("RGB"))
        np.testing.assert_array_equal(label, truth.label)
    for number, level in enumerate(truth.levels):
        np.testing.assert_array_equal(read_level(truth.path, number), level.pixels)


def test_tiles_of_the_factory_lie_in_the_file_as_stated(tmp_path: Path) -> None:
    truth = make_svs(tmp_path / "made.svs")
    with tifffile.TiffFile(truth.path) as file:
        for page, level in zip((0, 2), truth.levels, strict=True):
            stored = file.pages[page].aspage()
            assert stored.jpegtables == level.tables
            places = zip(stored.dataoffsets, stored.databytecounts, strict=True)
            data = truth.path.read_bytes()
            assert [data[start : start + size] for start, size in places] == level.tiles
            assert len(level.tiles) == level.tile_columns * level.tile_rows
    assert {len(tile) % 2 for tile in truth.levels[0].tiles} == {0, 1}


def test_tifffile_reads_the_slide_of_the_factory(tmp_path: Path) -> None:
    truth = make_svs(tmp_path / "made.svs", icc=b"not a profile")
    with tifffile.TiffFile(truth.path) as file:
        assert [series.name for series in file.series] == [
            "Baseline",
            "Thumbnail",
            "Label",
            "Macro",
        ]
        assert file.pages[0].aspage().tags[34675].value == b"not a profile"
        np.testing.assert_array_equal(file.series[0].asarray(), truth.levels[0].pixels)


def test_what_is_left_out_is_not_there(tmp_path: Path) -> None:
    truth = make_svs(
        tmp_path / "bare.svs",
        downsamples=(),
        mpp=None,
        app_mag=None,
        thumbnail=False,
        label=False,
        macro=False,
        extra_description="|Title = odd||no value",
    )
    with openslide.OpenSlide(truth.path) as slide:
        assert slide.level_count == 1
        assert not slide.associated_images
        assert "openslide.mpp-x" not in slide.properties
        assert "openslide.objective-power" not in slide.properties
        assert slide.properties["aperio.Title"] == "odd"


@pytest.mark.skipif(not REAL_SLIDE.exists(), reason="needs the real slides of shared/data")
def test_the_factory_uses_the_tags_and_types_of_a_real_slide(tmp_path: Path) -> None:
    truth = make_svs(tmp_path / "made.svs", downsamples=())
    with tifffile.TiffFile(REAL_SLIDE) as real, tifffile.TiffFile(truth.path) as made:
        for real_page, made_page in zip(real.pages, made.pages, strict=True):
            assert [(tag.code, tag.dtype) for tag in made_page.aspage().tags] == [
                (tag.code, tag.dtype) for tag in real_page.aspage().tags
            ]
        assert made.pages[0].aspage().dataoffsets[0] == real.pages[0].aspage().dataoffsets[0]
        assert len(truth.levels[0].tables) == len(real.pages[0].aspage().jpegtables or b"")


@pytest.mark.parametrize("sparse", [False, True])
def test_a_large_slide_has_the_size_and_the_tiles_asked_for(tmp_path: Path, sparse: bool) -> None:
    path = tmp_path / "large.svs"
    make_large_svs(path, file_bytes=30_000_000, tiles=900, sparse=sparse)
    assert path.stat().st_size == pytest.approx(30_000_000, rel=0.15 if sparse else 0.03)
    assert len(tag_values(path, 0, 324)) == 900
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert slide.level_count == 3
        assert set(slide.associated_images) == ASSOCIATED
        for level, (columns, rows) in enumerate(slide.level_dimensions):
            factor = round(slide.level_downsamples[level])
            corner = ((columns - 90) * factor, (rows - 90) * factor)
            assert np.asarray(slide.read_region(corner, level, (90, 90))).std() > 10
    if sparse:
        assert path.stat().st_blocks * 512 < 10_000_000


def test_a_mean_tile_size_out_of_reach_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bytes, not"):
        make_large_svs(tmp_path / "large.svs", file_bytes=10**9, tiles=100)
    with pytest.raises(ValueError, match="no holes"):
        make_large_svs(tmp_path / "large.svs", file_bytes=10**6, tiles=900, sparse=True)


def test_the_large_slide_can_be_made_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "large.svs"
    command = [sys.executable, "-m", "conformance.bench.slides", str(path)]
    subprocess.run(
        [*command, "--bytes", "4e6", "--tiles", "100"],
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert openslide.OpenSlide.detect_format(path) == "aperio"


def test_broken_slides_are_broken(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "made.svs").path
    offsets = tag_values(path, 0, 324)
    patch_tag(path, 0, 324, [10**9, *offsets[1:]])
    assert tag_values(path, 0, 324) == [10**9, *offsets[1:]]
    with pytest.raises(openslide.OpenSlideError):
        read_level(path, 0)

    path = make_svs(tmp_path / "empty.svs").path
    patch_tag(path, 2, 325, [0, *tag_values(path, 2, 325)[1:]])
    assert tag_values(path, 2, 325)[0] == 0

    truncate(path, 5000)
    assert path.stat().st_size == 5000
    assert openslide.OpenSlide.detect_format(path) is None


def test_a_plain_tiff_is_no_slide(tmp_path: Path) -> None:
    make_plain_tiff(tmp_path / "plain.tif")
    assert openslide.OpenSlide.detect_format(tmp_path / "plain.tif") is None


def test_abbreviated_tiles_share_nothing_but_the_tables(tmp_path: Path) -> None:
    level = make_svs(tmp_path / "made.svs", components="ycbcr").levels[0]
    whole = level.tables[:-2] + level.tiles[0][2:]
    assert abbreviate(whole) == (level.tables, level.tiles[0])
