"""DICOM files and folders from the command line, and read back over HTTP by others."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGBaseline8Bit
from wsidicom import WsiDicom, WsiDicomWebClient

from gateway.bootstrap import open_services
from gateway.core.queries import Query, QueryLevel
from gateway.settings import Settings
from tests.conftest import SHARED, Server, serving, slidegate
from tests.factories import SvsTruth

Record = dict[str, Any]


@pytest.fixture(scope="session")
def converted(svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the DICOM files of a slide."""
    folder = tmp_path_factory.mktemp("converted")
    slidegate("convert", svs[0], folder)
    return folder


@pytest.fixture
def folder(converted: Path, tmp_path: Path) -> Path:
    """A copy of the folder that a test may harm."""
    return Path(shutil.copytree(converted, tmp_path / "slides"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder with objects that others made."""
    path = SHARED / "dicom_wsi"
    if not path.exists():
        pytest.skip("the folder with real slides is not beside the project")
    return path


def added(data: Path, *paths: Path, fails: bool = False) -> list[Record]:
    done = slidegate("add", *paths, "--data", data, "--json", fails=fails)
    return [json.loads(line) for line in done.stdout.splitlines()]


def whole(data: Path) -> dict[str, bytes]:
    """Return all instances that are visible, as they leave."""
    services = open_services(Settings(data))
    found: dict[str, bytes] = {}
    for study in services.search.find(Query(QueryLevel.STUDY)):
        for one in services.retrieve.instances(str(study.match["StudyInstanceUID"])):
            found[one.key.instance] = b"".join(services.retrieve.part10(one).pieces)
    return found


# -- files and folders


def test_a_folder_is_added_file_by_file_in_the_order_of_names(folder: Path, data: Path) -> None:
    below = folder / "b" / "c"
    below.mkdir(parents=True)
    files = sorted(folder.glob("*.dcm"))
    files[0].rename(below / "0")  # a name need not end in .dcm
    (folder / "README.txt").write_text("no DICOM")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    os.mkfifo(folder / "fifo")
    records = added(data, folder)
    assert [record["path"] for record in records] == [
        *map(str, files[1:]),
        str(below / "0"),
    ]
    wanted = {"study", "series", "instance", "instances", "state", "verdict", "path"}
    assert all(record.keys() == wanted for record in records)
    assert {record["state"] for record in records} == {"received"}
    assert {record["verdict"] for record in records} == {"passed"}
    assert {record["verdict"] for record in added(data, folder)} == {"known"}
    assert sorted(whole(data).values()) == sorted(
        path.read_bytes() for path in [*files[1:], below / "0"]
    )
    told = slidegate("add", folder, "--data", data).stdout
    assert f"{len(files)} instances received" in told
    assert "3 files that are no DICOM images were skipped" in told


def test_a_single_file_is_added(folder: Path, data: Path) -> None:
    (file, *_) = sorted(folder.iterdir())
    (record,) = added(data, file)
    assert record["instance"] == str(dcmread(file, stop_before_pixels=True).SOPInstanceUID)


def test_good_files_are_added_beside_bad_ones(folder: Path, data: Path) -> None:
    files = sorted(folder.iterdir())
    files[0].write_bytes(files[0].read_bytes()[:-100])
    done = slidegate("add", folder, folder / "nothing", "--data", data, "--json", fails=True)
    assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == [
        str(file) for file in files[1:]
    ]
    assert f"{files[0]}: The DICOM stream ends" in done.stderr
    assert "nothing cannot be read" in done.stderr


def test_what_was_repaired_is_told(folder: Path, data: Path) -> None:
    (file, *others) = sorted(folder.iterdir())
    dataset = dcmread(file)
    del dataset.PatientSex
    dataset.save_as(file)
    told = slidegate("add", folder, "--data", data).stdout
    assert f"{len(others) + 1} instances received" in told
    assert "1 of them were repaired" in told


def test_a_slide_and_its_dicom_files_may_be_added_together(
    folder: Path, svs: tuple[Path, SvsTruth], data: Path
) -> None:
    (slide, *records) = added(data, svs[0], folder)
    assert slide["state"] == "linked"
    assert {record["verdict"] for record in records} == {"known"}
    assert {record["series"] for record in records} == {slide["series"]}


def test_a_folder_without_dicom_is_said(tmp_path: Path, data: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = slidegate("add", tmp_path / "empty", "--data", data, fails=True)
    assert "without DICOM files; name the slide" in done.stderr


def test_the_parts_of_a_slide_of_several_files_are_not_taken_for_dicom(
    folder: Path, data: Path
) -> None:
    part = folder / "slide"
    part.mkdir()
    shutil.copy(next(folder.glob("*.dcm")), part / "Data0001.dat")
    (folder / "slide.mrxs").write_bytes(b"")
    records = added(data, folder)
    assert str(part / "Data0001.dat") not in [record["path"] for record in records]
    done = slidegate("add", part, "--data", data, fails=True)
    assert f"is a part of the slide {folder / 'slide.mrxs'}" in done.stderr


# -- what befalls it


def test_a_full_disk_leaves_nothing_half(converted: Path, data: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    slidegate("add", converted, "--data", data.with_name("whole"))
    open_services(Settings(data))  # the index has its size from the start
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "add", str(converted), "--data", str(data)],
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is full; make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(data.rglob("*.part"))
    assert 0 < len(whole(data)) < len(list(converted.iterdir()))
    slidegate("add", converted, "--data", data)
    assert whole(data) == whole(data.with_name("whole"))


def test_it_can_be_killed_at_any_point_and_run_again(converted: Path, data: Path) -> None:
    files = {path.read_bytes() for path in converted.iterdir()}
    command = [sys.executable, "-m", "gateway.cli", "add", str(converted), "--data", str(data)]
    for delay_ms in range(300, 900, 100):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (data / "slidegate.db").exists():
            assert set(whole(data).values()) <= files
    slidegate("add", converted, "--data", data)
    assert set(whole(data).values()) == files
    open_services(Settings(data)).store.sweep()
    assert not list(data.rglob("*.part"))


# -- read back by others


@pytest.fixture(scope="module")
def served(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with objects that others made."""
    data = tmp_path_factory.mktemp("real") / "data"
    slidegate("add", real, "--data", data)
    with serving(data) as running:
        yield running


def test_dicomweb_client_gets_back_what_was_added(served: Server, real: Path) -> None:
    client = DICOMwebClient(served.root)
    for path in sorted(real.glob("*.dcm")):
        before = dcmread(path)
        uids = (before.StudyInstanceUID, before.SeriesInstanceUID, before.SOPInstanceUID)
        assert client.retrieve_instance(*uids) == before
        answer = served.get(
            "/studies/{}/series/{}/instances/{}".format(*uids),
            "application/dicom; transfer-syntax=*",
        )
        assert answer.content == path.read_bytes()
        (metadata,) = client.search_for_instances(search_filters={"SOPInstanceUID": uids[2]})
        assert metadata["00280008"]["Value"] == [int(before.NumberOfFrames)]
        numbers = list(range(1, int(before.NumberOfFrames) + 1))
        (first, *_) = frames = client.retrieve_instance_frames(
            *uids, frame_numbers=numbers, media_types=("application/octet-stream",)
        )
        assert len(frames) == len(numbers)
        if before.file_meta.TransferSyntaxUID == JPEGBaseline8Bit:
            (stored, *_) = generate_frames(before.PixelData, number_of_frames=len(numbers))
            assert first == Image.open(BytesIO(stored)).convert("RGB").tobytes()
        else:
            assert b"".join(frames) == before.PixelData


@pytest.mark.req("REQ-WSI-35")
def test_names_in_any_script_are_found_over_http(
    converted: Path, tmp_path: Path, data: Path
) -> None:
    names: dict[str, str | list[str]] = {
        "Müller^Jürg": "ISO_IR 100",
        "Yamada^Tarou=山田^太郎": ["", "ISO 2022 IR 87"],
        "山田^太郎": "ISO_IR 192",
    }
    original = dcmread(min(converted.iterdir(), key=lambda path: path.stat().st_size))
    for number, (name, character_set) in enumerate(names.items(), 1):
        original.SpecificCharacterSet, original.PatientName = character_set, name
        original.StudyInstanceUID = f"2.25.{number}"
        original.SeriesInstanceUID = f"2.25.{number}.1"
        original.SOPInstanceUID = f"2.25.{number}.1.1"
        original.file_meta.MediaStorageSOPInstanceUID = original.SOPInstanceUID
        original.save_as(tmp_path / f"{number}.dcm")
    slidegate("add", *sorted(tmp_path.glob("*.dcm")), "--data", data)
    with serving(data) as running:
        for sought, studies in {"MÜLLER*": ["2.25.1"], "*山田*": ["2.25.2", "2.25.3"]}.items():
            found = running.get(f"/studies?PatientName={sought}").json()
            assert [one["0020000D"]["Value"][0] for one in found] == studies
        (metadata,) = running.get("/studies/2.25.2/metadata").json()
        assert metadata["00080005"]["Value"] == ["ISO_IR 192"]
        assert metadata["00100010"]["Value"] == [
            {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}
        ]


@pytest.mark.filterwarnings("ignore:The odd length pixel data")  # wsidicom cuts the padding off
def test_wsidicom_reads_it_as_it_reads_the_files(served: Server, real: Path) -> None:
    files = sorted(real.glob("cytomine*.dcm"))
    first = dcmread(files[0], stop_before_pixels=True)
    client = WsiDicomWebClient.create_client(served.root)
    uids = (first.StudyInstanceUID, first.SeriesInstanceUID)
    with (
        WsiDicom.open_web(client, *uids, [JPEGBaseline8Bit]) as remote,
        WsiDicom.open(files) as local,
    ):
        assert remote.size == local.size
        place, size = (300, 200), (700, 500)
        mine = remote.read_region(place, 0, size)
        assert np.array_equal(mine, local.read_region(place, 0, size))
        assert np.array_equal(remote.read_label(), local.read_label())
