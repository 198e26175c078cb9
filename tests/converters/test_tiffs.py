"""TIFFs of other scanners: tiles are copied where they can be, and nothing is invented."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import generate_frames
from wsidicom import WsiDicom

from converters.convert import convert
from converters.library import ScannerFiles
from converters.sources import ScannedSlide, format_of
from gateway.bootstrap import open_services
from gateway.core.errors import SlideUnreadable, SpacingUnknown
from gateway.core.instances import JPEG_2000_LOSSLESS, JPEG_BASELINE, Flavour, SlideState
from gateway.dicom.geometry import read_matrix
from gateway.settings import Settings
from gateway.store.files import FileStore
from tests.conftest import dicom_faults
from tests.factories import make_svs, patch_tag, tag_values, truncate
from tests.scanners import (
    LZW,
    RGB,
    YCBCR,
    draw_levels,
    make_generic,
    make_leica,
    make_ome,
    make_philips,
    make_qptiff,
    make_trestle,
    make_ventana,
)

Make = Callable[[Path], object]

COPIED: dict[str, tuple[str, Make]] = {
    "generic": ("pyramidal TIFF", make_generic),
    "generic-rgb": ("pyramidal TIFF", partial(make_generic, **RGB)),
    "generic-subifds": ("pyramidal TIFF", partial(make_generic, below=True)),
    "ome": ("OME-TIFF", make_ome),
    "philips": ("Philips TIFF", make_philips),
    "leica": ("Leica SCN", make_leica),
    "qptiff": ("Akoya QPTIFF", make_qptiff),
    "trestle": ("Trestle", make_trestle),
    "ventana": ("Ventana BIF", partial(make_ventana, overlapping=False)),
}


@pytest.fixture(scope="module", params=COPIED)
def copied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, list[Dataset]]:
    """A slide whose tiles are copied: its kind, its file, and what it became."""
    folder = tmp_path_factory.mktemp(request.param)
    path = folder / "slide.tif"
    COPIED[request.param][1](path)
    return request.param, path, converted(path, folder / "out")


def converted(path: Path, out: Path) -> list[Dataset]:
    list(convert(path, FileStore(out)))
    found = [pydicom.dcmread(one) for one in out.iterdir()]
    return sorted(found, key=lambda one: int(one.InstanceNumber))


def volumes(datasets: list[Dataset]) -> list[Dataset]:
    return [one for one in datasets if one.ImageType[2] == "VOLUME"]


def pixels_of(dataset: Dataset) -> NDArray[np.uint8]:
    """Return the whole matrix, decoded frame by frame."""
    columns, rows = dataset.TotalPixelMatrixColumns, dataset.TotalPixelMatrixRows
    across = -(-columns // dataset.Columns)
    whole = np.zeros((rows + dataset.Rows, columns + dataset.Columns, 3), np.uint8)
    frames = generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames)
    for number, frame in enumerate(frames):
        row, column = (
            place * size
            for place, size in zip(
                divmod(number, across), (dataset.Rows, dataset.Columns), strict=True
            )
        )
        tile = np.asarray(Image.open(BytesIO(frame)).convert("RGB"))
        whole[row : row + tile.shape[0], column : column + tile.shape[1]] = tile
    return whole[:rows, :columns]


def levels_of(path: Path) -> list[NDArray[np.uint8]]:
    """Return the levels as tifffile decodes them, the largest first."""
    with tifffile.TiffFile(path) as file:
        pages = [*file.pages, *(below for page in file.pages for below in page.pages or ())]
        tiled = [page.asarray() for page in pages if page.is_tiled]
    return sorted(tiled, key=lambda one: -one.shape[1])


# -- what is copied


def test_each_format_is_known_by_its_content(copied: tuple[str, Path, list[Dataset]]) -> None:
    kind, path, _ = copied
    assert format_of(path).name == COPIED[kind][0]


@pytest.mark.req("REQ-WSI-12", "REQ-WSI-13")
def test_pixels_are_the_sources_without_a_difference(
    copied: tuple[str, Path, list[Dataset]],
) -> None:
    kind, path, datasets = copied
    sources = {one.shape[1]: one for one in levels_of(path)}
    found = volumes(datasets)
    assert len(found) == (2 if kind == "ventana" else 3)
    for one in found:
        mine = pixels_of(one)
        across, down = -(-mine.shape[1] // one.Columns), -(-mine.shape[0] // one.Rows)
        padded = across * one.Columns
        source = sources.get(mine.shape[1], sources.get(padded))
        assert source is not None
        assert down * one.Rows >= mine.shape[0]
        assert np.array_equal(mine, source[: mine.shape[0], : mine.shape[1]])
        assert one.LossyImageCompression == "01"
        assert one.LossyImageCompressionMethod == "ISO_10918_1"
        assert one.file_meta.TransferSyntaxUID == JPEG_BASELINE
        assert one.PhotometricInterpretation == ("RGB" if "rgb" in kind else "YBR_FULL_422")


def test_pixels_are_what_openslide_shows(copied: tuple[str, Path, list[Dataset]]) -> None:
    kind, path, datasets = copied
    with openslide.OpenSlide(path) as slide:
        left, top = (int(slide.properties.get(f"openslide.bounds-{name}", 0)) for name in "xy")
        if kind not in ("ome", "generic-subifds", "qptiff"):  # there it sees the base level only
            assert slide.level_count == len(volumes(datasets))
        for level, one in enumerate(volumes(datasets)[: slide.level_count]):
            mine = pixels_of(one)
            region = slide.read_region((left, top), level, mine.shape[1::-1])
            difference = np.abs(mine.astype(int) - np.asarray(region.convert("RGB")))
            # Where chroma is sub-sampled, decoders differ in how they fill it in.
            assert difference[8:-8, 8:-8].mean() < 1.5


def test_validators_find_no_error(copied: tuple[str, Path, list[Dataset]]) -> None:
    assert dicom_faults(copied[1].parent / "out") == []


@pytest.mark.filterwarnings("ignore:The odd length pixel data")
def test_wsidicom_opens_the_folder(copied: tuple[str, Path, list[Dataset]]) -> None:
    _, path, datasets = copied
    with WsiDicom.open(path.parent / "out") as slide:
        assert len(slide.levels) == len(volumes(datasets))
        region = np.asarray(slide.read_region((30, 40), 0, (300, 260)).convert("RGB"))
        assert np.array_equal(region, pixels_of(datasets[0])[40:300, 30:330])


def test_adding_links_and_materialising_changes_nothing(
    copied: tuple[str, Path, list[Dataset]], tmp_path: Path
) -> None:
    _, path, datasets = copied
    services = open_services(Settings(tmp_path / "data"))
    slide = services.ingest.add(str(path))
    assert slide.state is SlideState.LINKED
    assert services.ingest.add(str(path)) == slide
    linked = [
        b"".join(services.retrieve.part10(one).pieces)
        for one in services.retrieve.instances(slide.study)
    ]
    services.ingest.materialise(slide)
    written = [
        b"".join(services.retrieve.part10(one).pieces)
        for one in services.retrieve.instances(slide.study)
    ]
    assert linked == written
    assert len(written) == len(datasets)


def test_a_file_that_is_cut_off_is_refused(
    copied: tuple[str, Path, list[Dataset]], tmp_path: Path
) -> None:
    path = tmp_path / "cut.tif"
    content = copied[1].read_bytes()
    for keep in (len(content) // 3, len(content) // 2, len(content) - 2000):
        path.write_bytes(content)
        truncate(path, keep)
        with pytest.raises(SlideUnreadable):
            format_of(path).read(path)


@pytest.mark.parametrize("seed", range(24))
def test_random_damage_is_read_or_refused(
    copied: tuple[str, Path, list[Dataset]], tmp_path: Path, seed: int
) -> None:
    random = np.random.default_rng(seed)
    data = bytearray(copied[1].read_bytes())
    start = 0 if seed % 2 else len(data) - 6000
    for place in random.integers(start, start + 6000, 20):
        data[place] = random.integers(256)
    path = tmp_path / "damaged.tif"
    path.write_bytes(data)
    try:
        slide = format_of(path).read(path)
    except SlideUnreadable:
        return
    assert slide.images or slide.decode


# -- what they state


def scanned(path: Path) -> ScannedSlide:
    return format_of(path).read(path)


def test_a_generic_tiff_states_little(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    make_generic(path, um=0.4)
    facts = scanned(path).facts
    assert facts.spacing_um == pytest.approx((0.4, 0.4))
    assert (facts.manufacturer, facts.model, facts.acquired) == ("", None, None)
    for habit in (None, 25_400 / 72, 25_400 / 300):  # dots to the inch that mean nothing
        make_generic(path, um=habit)
        assert scanned(path).facts.spacing_um is None
        with pytest.raises(SpacingUnknown, match="--mpp"):
            ScannerFiles().plan(str(path))


def test_ome_states_spacing_objective_scanner_and_date(tmp_path: Path) -> None:
    path = tmp_path / "slide.ome.tif"
    make_ome(path)
    slide = scanned(path)
    assert slide.facts.spacing_um == pytest.approx((0.26, 0.25))
    assert slide.facts.objective_power == 20
    assert (slide.facts.manufacturer, slide.facts.model) == ("Zeiss", "Axioscan")
    assert slide.facts.acquired is not None
    assert slide.facts.acquired.isoformat() == "2024-05-06T07:08:09"
    label = slide.images[-1]
    assert (label.flavour, label.lossy) == (Flavour.LABEL, False)


def test_philips_states_spacing_barcode_and_scanner(tmp_path: Path) -> None:
    path = tmp_path / "slide.tiff"
    make_philips(path)
    facts = scanned(path).facts
    assert facts.spacing_um == pytest.approx((0.23, 0.25))
    assert (facts.barcode, facts.serial_number) == ("S26-1", "FMT0107")
    assert facts.software == "1.6.6186 20150402"
    assert facts.acquired is not None
    assert facts.acquired.isoformat() == "2024-05-06T07:08:09"
    assert {one.flavour for one in scanned(path).images} == {
        Flavour.VOLUME,
        Flavour.LABEL,
        Flavour.OVERVIEW,
    }


def test_tiles_that_philips_leaves_out_are_background(tmp_path: Path) -> None:
    path = tmp_path / "slide.tiff"
    make_philips(path)
    counts = tag_values(path, 0, 325)
    whole = volumes(converted(path, tmp_path / "whole"))
    patch_tag(
        path, 0, 325, [0 if number in (1, 4) else count for number, count in enumerate(counts)]
    )
    datasets = volumes(converted(path, tmp_path / "sparse"))
    mine, other = pixels_of(datasets[0]), pixels_of(whole[0])
    for row, column in ((0, 1), (1, 1)):
        tile = mine[row * 512 :, column * 512 :][:512, :512]
        assert tile.min() >= 254
    assert np.array_equal(mine[:, :512], other[:, :512])
    assert np.array_equal(mine[:, 1024:], other[:, 1024:])
    assert dicom_faults(tmp_path / "sparse") == []


def test_a_view_of_leica_lies_where_the_scanner_says(tmp_path: Path) -> None:
    path = tmp_path / "slide.scn"
    make_leica(path)
    (base, *_, overview) = converted(path, tmp_path / "out")
    assert overview.ImageType[2] == "OVERVIEW"
    facts = scanned(path).facts
    assert facts.spacing_um == pytest.approx((0.25, 0.25))
    assert (facts.barcode, facts.model, facts.objective_power) == ("S26-1", "Leica SCN400", 20)
    # 3 mm and 20 mm from the corner of a collection of 26 x 76 mm, whose corner is the slide's.
    corner = read_matrix(base).to_slide(np.zeros((1, 2)))[0]
    assert corner == pytest.approx([76 - 20, 26 - 3])


def test_qptiff_states_scanner_and_barcode(tmp_path: Path) -> None:
    path = tmp_path / "slide.qptiff"
    make_qptiff(path)
    slide = scanned(path)
    assert slide.facts.spacing_um == pytest.approx((0.5, 0.5))
    assert (slide.facts.barcode, slide.facts.objective_power) == ("S26-1", 20)
    assert [one.flavour for one in slide.images[3:]] == [
        Flavour.LABEL,
        Flavour.OVERVIEW,
        Flavour.THUMBNAIL,
    ]


def test_trestle_states_micrometres_in_the_tags_of_resolution(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    make_trestle(path)
    facts = scanned(path).facts
    assert (facts.spacing_um, facts.objective_power) == ((0.5, 0.5), 20)


def test_ventana_states_scanner_spacing_and_barcode(tmp_path: Path) -> None:
    for overlapping in (False, True):
        path = tmp_path / "slide.bif"
        make_ventana(path, overlapping=overlapping)
        facts = scanned(path).facts
        assert facts.spacing_um == pytest.approx((0.465, 0.465))
        assert (facts.barcode, facts.model, facts.serial_number) == ("S26-1", "DP 200", "1001")
        assert facts.acquired is not None
        assert facts.acquired.isoformat() == "2024-05-06T07:08:09"


def test_colours_are_those_of_the_drawing(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    for coding in (YCBCR, RGB):
        make_generic(path, **coding)
        (base, *_) = converted(path, tmp_path / coding["photometric"] / str(len(coding)))
        assert np.abs(pixels_of(base).astype(int) - draw_levels()[0]).mean() < 6


# -- what must be decoded


@pytest.mark.req("REQ-WSI-16")
@pytest.mark.parametrize("make", [make_generic, make_ome])
def test_tiles_without_loss_stay_without(tmp_path: Path, make: Callable[..., object]) -> None:
    path, out = tmp_path / "slide.tif", tmp_path / "out"
    levels = draw_levels()
    make(path, levels, **LZW)
    datasets = volumes(converted(path, out))
    for one, level in zip(datasets, levels, strict=True):
        assert np.array_equal(pixels_of(one), level)
        assert one.LossyImageCompression == "00"
        assert one.file_meta.TransferSyntaxUID == JPEG_2000_LOSSLESS
        assert one.PhotometricInterpretation == "YBR_RCT"
    assert datasets[0].ImageType[0] == "ORIGINAL"
    assert dicom_faults(out) == []
    services = open_services(Settings(tmp_path / "data"))
    assert services.ingest.add(str(path)).state is SlideState.MATERIALISED


@pytest.mark.parametrize("kind", ["leica", "trestle", "ventana"])
def test_tiles_that_overlap_and_several_views_are_drawn_by_openslide(
    tmp_path: Path, kind: str
) -> None:
    path, out = tmp_path / "slide.tif", tmp_path / "out"
    made: dict[str, Make] = {
        "leica": partial(make_leica, views=2),
        "trestle": partial(make_trestle, overlaps="32 32 16 16 8 8"),
        "ventana": make_ventana,
    }
    made[kind](path)
    base, *_ = datasets = converted(path, out)
    with openslide.OpenSlide(path) as slide:
        left, top = (int(slide.properties.get(f"openslide.bounds-{name}", 0)) for name in "xy")
        mine = pixels_of(base)
        region = slide.read_region((left, top), 0, mine.shape[1::-1])
        shown = Image.new(
            "RGB", region.size, "#" + slide.properties.get("openslide.background-color", "FFFFFF")
        )
        shown.paste(region, mask=region)
    assert np.abs(mine.astype(int) - np.asarray(shown)).mean() < 3
    assert list(base.LossyImageCompressionMethod) == ["ISO_10918_1"] * 2
    sizes = [(one.TotalPixelMatrixColumns, one.TotalPixelMatrixRows) for one in volumes(datasets)]
    for columns, rows in sizes:  # all levels show the same area
        assert abs(sizes[0][0] / columns - sizes[0][1] / rows) < 0.02
    assert dicom_faults(out) == []


# -- what is refused


@pytest.mark.req("REQ-WSI-14")
@pytest.mark.parametrize("make", [make_generic, make_ome])
@pytest.mark.parametrize("kind", ["grey", "deep"])
def test_pixels_that_are_no_rgb_of_8_bits_are_refused(
    tmp_path: Path, make: Callable[..., object], kind: str
) -> None:
    path = tmp_path / "slide.tif"
    levels: list[NDArray[np.uint8]] = draw_levels()
    options: dict[str, object] = {}
    if kind == "grey":
        levels = [np.ascontiguousarray(level[..., 0]) for level in levels]
        options = {"photometric": "minisblack", "compression": "jpeg"}
    else:
        levels = [level.astype(np.uint16) for level in levels]
        options = {"photometric": "rgb", "compression": "zlib"}
    make(path, levels, **options)
    with pytest.raises(SlideUnreadable, match=r"samples of|uint16|channels"):
        scanned(path)


def test_channels_apart_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "slide.qptiff"
    make_qptiff(path, channels=4)
    with pytest.raises(SlideUnreadable, match="4 channels"):
        scanned(path)


def test_views_that_are_not_bright_field_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "slide.scn"
    make_leica(path, illumination="fluorescence")
    with pytest.raises(SlideUnreadable, match="bright field"):
        scanned(path)


@pytest.mark.parametrize("text", ["<!DOCTYPE x [<!ENTITY a 'b'>]><OME>&a;</OME>", "<OME><OME>"])
def test_a_description_that_is_no_plain_xml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "slide.tif"
    scene = draw_levels()[0]
    with tifffile.TiffWriter(path) as file:
        file.write(scene, tile=(256, 256), description=text, metadata=None, **RGB)
    with pytest.raises(SlideUnreadable, match="description"):
        scanned(path)


def test_an_aperio_slide_is_not_taken_for_a_generic_one(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    make_svs(path)
    assert format_of(path).name == "Aperio SVS"


def test_adding_an_aperio_slide_loads_none_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    make_svs(path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom converters.sources import format_of\n"
        f"format_of(Path({str(path)!r})).read(Path({str(path)!r}))\n"
        "print(*sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = {
        "openslide",
        "converters.openslide",
        "converters.tiff.layout",
        "converters.formats.generic",
    }
    assert others.isdisjoint(told.stdout.split())
