"""3DHISTECH MIRAX: cropped to what was scanned, encoded once."""

import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import generate_frames

from converters.convert import convert
from converters.sources import format_of
from gateway.core.errors import SlideUnreadable
from gateway.dicom.geometry import read_matrix
from gateway.store.files import FileStore
from tests.conftest import dicom_faults, slidegate
from tests.scanners import MiraxTruth, make_mirax


@pytest.fixture(scope="module")
def mirax(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MiraxTruth]:
    path = tmp_path_factory.mktemp("mirax") / "slide.mrxs"
    return path, make_mirax(path)


@pytest.fixture(scope="module")
def folder(mirax: tuple[Path, MiraxTruth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted")
    list(convert(mirax[0], FileStore(out)))
    return out


@pytest.fixture(scope="module")
def datasets(folder: Path) -> list[Dataset]:
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    return sorted(found, key=lambda one: int(one.InstanceNumber))


def shown(
    path: Path, place: tuple[int, int], level: int, size: tuple[int, int]
) -> NDArray[np.int_]:
    """Return what OpenSlide shows of a slide, over its background."""
    with openslide.OpenSlide(path) as slide:
        region = slide.read_region(place, level, size)
        colour = slide.properties.get("openslide.background-color", "FFFFFF")
        whole = Image.new("RGB", region.size, f"#{colour}")
        whole.paste(region, mask=region)
        return np.asarray(whole).astype(int)


def test_only_what_was_scanned_is_kept_and_shows_the_same_on_every_level(
    mirax: tuple[Path, MiraxTruth], folder: Path, datasets: list[Dataset]
) -> None:
    path, truth = mirax
    for level in range(3):
        one = datasets[level]
        size = (one.TotalPixelMatrixColumns, one.TotalPixelMatrixRows)
        assert size == (976 >> level, 736 >> level)
        wanted = shown(path, (truth.left, truth.top), level, size)
        mine = shown(next(folder.iterdir()), (0, 0), level, size)
        assert np.abs(mine - wanted).mean() < 3
    base = shown(next(folder.iterdir()), (0, 0), 0, (976, 736))
    assert np.abs(base - truth.pixels).mean() < 3


def test_the_cropped_part_keeps_its_place_on_the_slide(
    mirax: tuple[Path, MiraxTruth], datasets: list[Dataset]
) -> None:
    base = read_matrix(datasets[0])
    # The canvas is 1936 x 1456 pixels of 0.25 um, with its corner in that of the slide.
    first = base.to_slide(np.zeros((1, 2)))[0]
    assert first == pytest.approx([(1456 - 480) * 0.00025, (1936 - 480) * 0.00025])
    told = datasets[0].ContributingEquipmentSequence[0].ContributionDescription
    assert "begins at column 480 and row 480" in told


def test_what_was_not_scanned_shows_the_scanners_background(datasets: list[Dataset]) -> None:
    frames = list(generate_frames(datasets[0].PixelData, number_of_frames=4))
    last = np.asarray(Image.open(BytesIO(frames[3])).convert("RGB"))
    beyond = last[-100:, -20:].astype(int)
    assert np.abs(beyond - (0xFF, 0xF8, 0xF0)).max() <= 2


def test_validators_find_no_error(folder: Path) -> None:
    assert dicom_faults(folder) == []


def test_label_and_overview_are_kept(datasets: list[Dataset]) -> None:
    flavours = {one.ImageType[2]: one for one in datasets}
    assert set(flavours) == {"VOLUME", "LABEL", "OVERVIEW"}
    assert flavours["LABEL"].BurnedInAnnotation == "YES"
    assert flavours["LABEL"].LossyImageCompression == "01"


@pytest.mark.req("REQ-WSI-16")
def test_a_slide_without_loss_stays_without(tmp_path: Path) -> None:
    path = tmp_path / "slide.mrxs"
    truth = make_mirax(path, image_format="PNG")
    out = tmp_path / "out"
    list(convert(path, FileStore(out)))
    assert np.array_equal(shown(next(out.iterdir()), (0, 0), 0, (976, 736)), truth.pixels)
    base = min((pydicom.dcmread(one) for one in out.iterdir()), key=lambda one: one.InstanceNumber)
    assert base.LossyImageCompression == "00"
    assert list(base.ImageType) == ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    assert dicom_faults(out) == []


def test_fluorescence_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slide.mrxs"
    make_mirax(path, slide_type="SLIDE_TYPE_FLUORESCENCE")
    with pytest.raises(SlideUnreadable, match="fluorescence"):
        format_of(path).read(path)


def test_a_folder_that_lacks_a_file_is_told(mirax: tuple[Path, MiraxTruth], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(mirax[0].parent, tmp_path / "copy")) / mirax[0].name
    (copy.with_suffix("") / "Data0000.dat").unlink()
    with pytest.raises(SlideUnreadable, match=r"lacks Data0000\.dat"):
        format_of(copy).read(copy)


def test_a_slide_under_another_name_is_the_same(
    mirax: tuple[Path, MiraxTruth], tmp_path: Path
) -> None:
    other = tmp_path / "other.mrxs"
    shutil.copyfile(mirax[0], other)
    shutil.copytree(mirax[0].with_suffix(""), other.with_suffix(""))
    (other.with_suffix("") / "Thumbs.db").write_bytes(b"a file manager's")
    assert format_of(other).fingerprint(other) == format_of(mirax[0]).fingerprint(mirax[0])
    first = json.loads(slidegate("add", mirax[0], "--data", tmp_path / "a", "--json").stdout)
    again = json.loads(slidegate("add", other, "--data", tmp_path / "a", "--json").stdout)
    assert again["study"] == first["study"]
