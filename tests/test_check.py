"""`slidegate check` as a person or a program runs it."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from conformance.bench.check import make_instances
from gateway.cli.examining import Result, examine_files, find_files, in_processes
from gateway.dicom.gate import Outcome
from tests.conftest import SHARED, slidegate
from tests.factories import SvsTruth


@pytest.fixture(scope="module")
def converted(svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a converted slide."""
    folder = tmp_path_factory.mktemp("check") / "slide"
    slidegate("convert", svs[0], folder)
    return folder


def checked(*arguments: str | Path, fails: bool = False) -> dict[str, dict[str, Any]]:
    """Run the command for programs; return what it says by the name of the file."""
    done = slidegate("check", "--json", *arguments, fails=fails)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    for record in records:
        assert set(record) == {"file", "verdict", "findings"}
        for finding in record["findings"]:
            assert {"rule", "message", "action"} <= set(finding)
    return {os.path.basename(record["file"]): record for record in records}


@pytest.mark.req("REQ-GATE-02", "REQ-GATE-08")
def test_a_converted_slide_passes_with_status_0(converted: Path) -> None:
    records = checked(converted)
    assert len(records) == 6
    for record in records.values():
        assert (record["verdict"], record["findings"]) == ("passed", [])
        assert Path(record["file"]).exists()


@pytest.mark.req("REQ-GATE-08")
def test_check_writes_nothing(converted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slide"
    shutil.copytree(converted, folder)
    broken = next(folder.iterdir())
    broken.write_bytes(broken.read_bytes().replace(b"PatientSex", b"")[:-100])

    def state() -> dict[str, tuple[int, int, bytes]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
            for path in folder.rglob("*")
            if path.is_file()
        }

    before = state()
    checked(folder, fails=True)
    assert state() == before


@pytest.mark.req("REQ-GATE-04", "REQ-GATE-08")
def test_findings_of_a_series_are_told_of_the_files_that_they_concern(
    converted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "slide"
    shutil.copytree(converted, folder)
    first, *others = sorted(folder.iterdir())
    serial = first.read_bytes()
    assert serial.count(b"CPAPERIOCS") == 1
    first.write_bytes(serial.replace(b"CPAPERIOCS", b"CPAPERIOC2"))
    records = checked(folder, fails=True)
    for path in (first, *others):
        assert records[path.name]["verdict"] == "held"
        assert {one["rule"] for one in records[path.name]["findings"]} == {"SERIES-UNEQUAL"}
    assert checked(first)[first.name]["verdict"] == "passed"


@pytest.mark.req("REQ-GATE-07", "REQ-GATE-08")
def test_bad_input_is_held_or_skipped_and_never_more(converted: Path, tmp_path: Path) -> None:
    whole = next(converted.iterdir()).read_bytes()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "whole.dcm").write_bytes(whole)
    (inner / "cut.dcm").write_bytes(whole[:2000])
    (inner / "notes.txt").write_text("no DICOM")
    (inner / "empty").write_bytes(b"")
    os.mkfifo(inner / "pipe")
    (inner / "loop").symlink_to(tmp_path)
    done = slidegate("check", "--json", tmp_path, fails=True)
    names = [os.path.basename(json.loads(line)["file"]) for line in done.stdout.splitlines()]
    assert sorted(names) == ["cut.dcm", "whole.dcm"]
    assert "3 files in folders are no DICOM files: skipped." in done.stderr

    named = [inner / name for name in ("notes.txt", "empty", "pipe", "none")]
    records = checked(*named, fails=True)
    assert {one["verdict"] for one in records.values()} == {"held"}
    assert {one["findings"][0]["rule"] for one in records.values()} == {"FILE-UNREADABLE"}
    assert "No such file" in records["none"]["findings"][0]["message"]

    empty = tmp_path / "nothing"
    empty.mkdir()
    assert "there is no DICOM file" in slidegate("check", empty, fails=True).stderr


@pytest.mark.req("REQ-GATE-07")
def test_no_damage_is_more_than_held(converted: Path, tmp_path: Path) -> None:
    whole = min(converted.iterdir(), key=lambda path: path.stat().st_size).read_bytes()
    dice = random.Random(7)
    for number in range(150):
        stream = bytearray(whole)
        for _ in range(dice.choice((1, 3, 30))):
            stream[dice.randrange(132, 6000)] = dice.randrange(256)
        (tmp_path / f"{number}.dcm").write_bytes(stream)
    examined = examine_files(find_files([str(tmp_path)]).paths, None)
    assert len(examined) == 150
    for one in examined:
        assert not any("cannot be examined" in found.message for found in one.findings), one


def test_many_files_are_examined_by_several_processes(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    make_instances(folder, 200)
    told: list[tuple[int, int]] = []
    paths = find_files([str(folder)]).paths
    examined = examine_files(paths, lambda done, of: told.append((done, of)))
    assert [one.path for one in examined] == paths
    assert all(one.outcome is Outcome.PASSED for one in examined)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (200, 200)


def dies_of_one(paths: Sequence[str]) -> list[Result]:
    """End the process if a file is the bad one."""
    if "17" in paths:
        os._exit(9)
    return [((), None) for _ in paths]


@pytest.mark.req("REQ-GATE-07")
def test_what_ends_a_process_is_held_and_nothing_else_suffers() -> None:
    batches = [[str(number) for number in range(first, first + 4)] for first in range(0, 40, 4)]
    results = [result for batch in in_processes(batches, dies_of_one) for result in batch]
    assert len(results) == 40
    assert [number for number, (found, _) in enumerate(results) if found] == [17]
    assert "was ended" in results[17][0][0].message


@pytest.mark.req("REQ-GATE-07", "REQ-GATE-08")
def test_a_folder_that_cannot_be_read_is_held(
    converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    shutil.copy(next(converted.iterdir()), tmp_path)

    def refuse(listed: Callable[[str], Any]) -> Callable[[str], Any]:
        def listing(path: str) -> Any:
            if os.fspath(path) == str(locked):  # the super-user reads anything
                raise PermissionError(errno.EACCES, "Permission denied", str(locked))
            return listed(path)

        return listing

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, refuse(getattr(os, name)))
    one, other = examine_files(find_files([str(tmp_path)]).paths, None)
    assert one.outcome is Outcome.PASSED
    assert (other.path, other.outcome) == (str(locked), Outcome.HELD)
    assert "Permission denied" in other.findings[0].message


def test_a_copy_is_the_same_object_and_no_second_one(converted: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(converted, tmp_path / name)
    assert {one["verdict"] for one in checked(tmp_path).values()} == {"passed"}
    changed = min((tmp_path / "two").iterdir(), key=lambda path: path.stat().st_size)
    changed.write_bytes(changed.read_bytes().replace(b"CPAPERIOCS", b"CPAPERIOC2"))
    records = checked(tmp_path, fails=True)
    assert "STUDY-TWICE" in {one["rule"] for one in records[changed.name]["findings"]}


def test_people_read_what_is_wrong_and_what_to_do(converted: Path, tmp_path: Path) -> None:
    whole = next(converted.iterdir()).read_bytes()
    path = tmp_path / "cut.dcm"
    path.write_bytes(whole[:2000])
    lines = slidegate("check", path, fails=True).stdout.splitlines()
    assert lines[0] == f"{path}: held"
    assert lines[1].startswith("  error FILE-UNREADABLE: ")
    assert lines[2].startswith("    Have the sender send it again")


def test_the_gate_does_not_import_the_library_whose_tables_it_reads() -> None:
    code = "import sys; from gateway.dicom.gate import prepare; prepare(); "
    code += "print([name for name in sys.modules if name.split('.')[0] == 'highdicom'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_real_objects_pass_together() -> None:
    if not SHARED.exists():
        pytest.skip("the folder with real objects is not beside the project")
    records = checked(SHARED / "dicom_wsi", SHARED / "dicom_ann", SHARED / "dicom_sr")
    assert len(records) == 8
