"""Slides that only OpenSlide reads are decoded when they are added, and encoded once."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import generate_frames
from wsidicom import WsiDicom

from converters.codecs.encoding import jpeg
from converters.convert import convert
from converters.plan import plan_slide
from converters.sources import format_of
from gateway.bootstrap import Services, open_services
from gateway.core.errors import SlideUnreadable
from gateway.core.instances import Signature, SlideState
from gateway.settings import Settings
from gateway.store.files import FileStore
from tests.conftest import dicom_faults, slidegate
from tests.scanners import VmsTruth, make_vms, make_vmu
from tests.worklists import write_csv


@pytest.fixture(scope="module")
def vms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VmsTruth]:
    path = tmp_path_factory.mktemp("vms") / "slide.vms"
    return path, make_vms(path)


@pytest.fixture(scope="module")
def folder(vms: tuple[Path, VmsTruth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted")
    list(convert(vms[0], FileStore(out)))
    return out


@pytest.fixture(scope="module")
def datasets(folder: Path) -> list[Dataset]:
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    return sorted(found, key=lambda one: int(one.InstanceNumber))


@pytest.fixture
def copy(vms: tuple[Path, VmsTruth], tmp_path: Path) -> Path:
    """A copy of the slide that a test may harm."""
    return Path(shutil.copytree(vms[0].parent, tmp_path / "copy")) / vms[0].name


def opened(data: Path) -> Services:
    return open_services(Settings(data))


# -- what comes out


def test_pixels_are_openslides_within_one_gentle_loss(
    vms: tuple[Path, VmsTruth], folder: Path
) -> None:
    ours, theirs = openslide.OpenSlide(next(folder.iterdir())), openslide.OpenSlide(vms[0])
    with ours, theirs:
        assert ours.level_dimensions == theirs.level_dimensions
        for level, size in enumerate(theirs.level_dimensions):
            mine = np.asarray(ours.read_region((0, 0), level, size).convert("RGB"))
            other = np.asarray(theirs.read_region((0, 0), level, size).convert("RGB"))
            difference = np.abs(mine.astype(int) - other)
            assert difference.mean() < (3 if size[0] > 400 else 7)  # the small are sharp
            assert abs(difference.mean(axis=(0, 1)) - difference.mean()).max() < 2
        macro = np.asarray(ours.associated_images["macro"].convert("RGB"))
        assert np.array_equal(macro, vms[1].macro)


def test_each_frame_is_what_openslide_shows_there(
    vms: tuple[Path, VmsTruth], datasets: list[Dataset]
) -> None:
    with openslide.OpenSlide(vms[0]) as slide:
        for level, one in enumerate(datasets[: slide.level_count]):
            frames = list(generate_frames(one.PixelData, number_of_frames=one.NumberOfFrames))
            across = -(-one.TotalPixelMatrixColumns // 512)
            factor = slide.level_downsamples[level]
            for number, frame in enumerate(frames):
                row, column = divmod(number, across)
                place = (round(column * 512 * factor), round(row * 512 * factor))
                region = slide.read_region(place, level, (512, 512))
                shown = Image.new("RGB", region.size, "white")
                shown.paste(region, mask=region)
                assert frame.rstrip(b"\0") == jpeg().encode(np.asarray(shown)).rstrip(b"\0")


@pytest.mark.req("REQ-WSI-16", "REQ-WSI-03")
def test_pixels_that_lost_twice_say_so_twice(datasets: list[Dataset]) -> None:
    base, macro = datasets[0], datasets[-1]
    assert list(base.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    for one, methods in ((base, ["ISO_10918_1"] * 2), (macro, "ISO_10918_1")):
        assert one.LossyImageCompression == "01"
        assert one.LossyImageCompressionMethod == methods
    first, second = map(float, base.LossyImageCompressionRatio)
    assert first > 1
    assert second > 1
    told = base.ContributingEquipmentSequence[0].ContributionDescription
    assert "OpenSlide 4" in told
    assert "quality 90" in told
    assert "estimated" in told


def test_what_the_file_states_is_kept_and_nothing_else(datasets: list[Dataset]) -> None:
    base = datasets[0]
    measures = base.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [float(one) for one in measures.PixelSpacing] == pytest.approx([0.00045, 0.00046])
    assert float(base.OpticalPathSequence[0].ObjectiveLensPower) == 20
    assert base.Manufacturer == "Hamamatsu"
    assert base.AcquisitionDateTime == "19000101000000"


def test_validators_find_no_error(folder: Path) -> None:
    assert dicom_faults(folder) == []


@pytest.mark.filterwarnings("ignore:The odd length pixel data")
def test_wsidicom_opens_the_folder(vms: tuple[Path, VmsTruth], folder: Path) -> None:
    with WsiDicom.open(folder) as slide:
        assert slide.size.width, slide.size.height == vms[1].pixels.shape[1::-1]
        region = np.asarray(slide.read_region((100, 100), 0, (700, 600)).convert("RGB"))
        assert np.abs(region.astype(int) - vms[1].pixels[100:700, 100:800]).mean() < 2


def test_a_spacing_that_is_not_stated_is_asked_for(tmp_path: Path) -> None:
    make_vms(tmp_path / "slide.vms", physical=False)
    done = slidegate("add", tmp_path / "slide.vms", "--data", tmp_path / "data", fails=True)
    assert "--mpp" in done.stderr


@pytest.mark.req("REQ-WSI-16")
def test_a_slide_without_compression_stays_without_loss(tmp_path: Path) -> None:
    pixels = make_vmu(tmp_path / "slide.vmu")
    list(convert(tmp_path / "slide.vmu", FileStore(tmp_path / "out")))
    assert dicom_faults(tmp_path / "out") == []
    with WsiDicom.open(tmp_path / "out") as slide:
        whole = np.asarray(slide.read_region((0, 0), 0, (768, 512)).convert("RGB"))
    assert np.array_equal(whole, pixels)
    one = pydicom.dcmread(next((tmp_path / "out").iterdir()))
    assert one.LossyImageCompression == "00"
    assert "upper 8" in one.ContributingEquipmentSequence[0].ContributionDescription


def test_another_encoder_makes_other_instances_of_one_study(
    vms: tuple[Path, VmsTruth],
) -> None:
    path = vms[0]
    slide = format_of(path).read(path)
    signature = Signature.of(path.stat())
    one = plan_slide(slide, str(path), signature)
    other = plan_slide(replace(slide, encoder=f"{slide.encoder}+1"), str(path), signature)
    assert (one.study, one.identity) == (other.study, other.identity)
    assert one.series != other.series


# -- adding


def test_it_is_materialised_from_the_start_and_needs_its_files_no_more(
    copy: Path, folder: Path, tmp_path: Path
) -> None:
    record = json.loads(slidegate("add", copy, "--data", tmp_path / "data", "--json").stdout)
    assert record["state"] == "materialised"
    shutil.rmtree(copy.parent)
    services = opened(tmp_path / "data")
    (slide,) = services.ingest.slides()
    assert slide.sha256
    assert not list((tmp_path / "data").rglob("*.built"))
    for one in services.retrieve.instances(slide.study):
        whole = b"".join(services.retrieve.part10(one).pieces)
        assert whole == (folder / f"{one.key.instance}.dcm").read_bytes()
        assert services.retrieve.frame(one, 1) in whole


def test_a_known_slide_is_not_decoded_again(copy: Path, tmp_path: Path) -> None:
    services = opened(tmp_path / "data")
    told: list[tuple[int, int]] = []
    first = services.ingest.add(str(copy), None, lambda *done: told.append(done))
    assert told[-1][0] == told[-1][1] == len(told)
    moved = copy.parent.rename(tmp_path / "moved") / copy.name
    again = services.ingest.add(str(moved), None, lambda *_: pytest.fail("decoded again"))
    assert again == first
    assert again.state is SlideState.MATERIALISED


def test_a_kill_while_it_is_decoded_leaves_nothing_visible(copy: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "gateway.cli", "add", str(copy), "--data", str(data)]
    for delay_ms in range(400, 1600, 150):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for slide in opened(data).ingest.slides():
            assert slide.state is SlideState.MATERIALISED
    slidegate("add", copy, "--data", data)
    assert len(opened(data).ingest.slides()) == 1


@pytest.mark.parametrize(
    ("when", "told"), [("first", "cannot be read|being written"), ("last", "being written")]
)
def test_a_file_that_changes_meanwhile_is_refused(
    copy: Path, tmp_path: Path, when: str, told: str
) -> None:
    services = opened(tmp_path / "data")

    def spoil(done: int, total: int) -> None:
        # At first OpenSlide itself may stumble over the change, and say so in its own words.
        if when == "first" or done == total:
            with copy.with_name("slide-1.jpg").open("ab") as file:
                file.write(b"more")

    with pytest.raises(SlideUnreadable, match=told):
        services.ingest.add(str(copy), None, spoil)
    assert services.ingest.slides() == []


@pytest.mark.parametrize("file", ["slide-1.jpg", "slide-map.jpg", "slide-macro.jpg"])
def test_a_missing_file_of_the_slide_is_named(copy: Path, file: str) -> None:
    copy.with_name(file).unlink()
    with pytest.raises(SlideUnreadable, match=file):
        format_of(copy).read(copy)


def test_every_file_of_the_slide_counts_for_its_fingerprint(copy: Path) -> None:
    before = format_of(copy).fingerprint(copy)
    for file in copy.parent.iterdir():
        kept = file.read_bytes()
        file.write_bytes(kept[:-3] + bytes([kept[-3] ^ 1]) + kept[-2:])
        assert format_of(copy).fingerprint(copy) != before
        file.write_bytes(kept)
    assert format_of(copy).fingerprint(copy) == before


def test_a_full_disk_leaves_nothing(copy: Path, tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    data = tmp_path / "data"
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "add", str(copy), "--data", str(data)],
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is full; make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert opened(data).ingest.slides() == []
    assert not list(data.rglob("*.dcm"))


def test_a_file_that_ends_openslide_does_not_end_us(copy: Path, tmp_path: Path) -> None:
    first, second = copy.with_name("slide-0.jpg"), copy.with_name("slide-1.jpg")
    first.write_bytes(second.read_bytes())
    Image.new("RGB", (1024, 1024)).save(second, "JPEG", restart_marker_blocks=8, subsampling=0)
    services = opened(tmp_path / "data")
    with pytest.raises(SlideUnreadable, match="OpenSlide gave up"):
        services.ingest.add(str(copy))
    assert services.ingest.slides() == []


def test_a_damaged_slide_is_refused_without_a_trace(copy: Path, tmp_path: Path) -> None:
    image = copy.with_name("slide-0.jpg")
    os.truncate(image, image.stat().st_size // 2)
    services = opened(tmp_path / "data")
    with pytest.raises(SlideUnreadable, match="cannot be read"):
        services.ingest.add(str(copy))
    assert services.ingest.slides() == []
    assert not list((tmp_path / "data").rglob("*.dcm"))


def test_a_level_without_pixels_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "flat.vms"
    make_vms(path, columns=1152, rows=64)
    assert "levels that show another area" in format_of(path).read(path).facts.remarks[-1]


def test_a_slide_in_quarantine_is_decoded_when_it_is_matched(copy: Path, tmp_path: Path) -> None:
    data, worklist = tmp_path / "data", tmp_path / "worklist.csv"
    write_csv(worklist, {"barcode": "B1", "patient_id": "P1"})
    done = slidegate("add", copy, "--data", data, "--metadata", worklist, fails=True)
    assert "quarantine" in done.stdout
    assert not list(data.rglob("*.dcm"))
    slidegate("match", copy, "--row", "B1", "--data", data, "--metadata", worklist)
    services = opened(data)
    (slide,) = services.ingest.slides()
    assert slide.state is SlideState.MATERIALISED
    (one, *_) = services.retrieve.instances(slide.study)
    assert isinstance(one.frames, str)
    assert pydicom.dcmread(data / "blobs" / one.frames).PatientID == "P1"


# -- OpenSlide


BLOCKED = """
import sys
sys.modules["openslide"] = None
from gateway.cli import main
main()
"""


def run_blocked(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_missing_openslide_is_told_with_what_to_install(copy: Path, tmp_path: Path) -> None:
    done = run_blocked("add", copy, "--data", tmp_path / "data")
    assert done.returncode == 1
    assert "pip install 'slidegate[formats]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_slides_do_not_load_openslide(svs: tuple[Path, object], tmp_path: Path) -> None:
    done = run_blocked("add", svs[0], "--data", tmp_path / "data")
    assert done.returncode == 0, done.stderr
