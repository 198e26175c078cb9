"""Watched folders: in a server of its own, and look by look with a clock of the test's."""

import logging
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from converters.convert import convert
from converters.formats.companions import companions
from gateway.bootstrap import Services, adder, open_services
from gateway.core.errors import InvalidInput
from gateway.core.instances import SlideState
from gateway.dicom.streams.part10 import decode_header
from gateway.jobs.hands import Hand, Outcome, attempt
from gateway.jobs.watch import Watch
from gateway.settings import Settings, watched_folders
from gateway.store.files import FileStore
from tests.conftest import process_of, serving, slidegate
from tests.factories import SvsTruth, make_large_svs, make_plain_tiff, make_svs, truncate
from tests.worklists import write_csv

SETTLE_S = 10.0


class Here:
    """Adds in this process, at once."""

    def __init__(self, services: Services) -> None:
        self._add = adder(services)
        self._outcome: Outcome | None = None

    def give(self, path: str) -> None:
        self._outcome = attempt(self._add, path)

    def outcome(self, patience_s: float) -> Outcome | None:
        return self._outcome


class Looker:
    """A watch whose clock only goes when the test lets it."""

    def __init__(self, services: Services, folders: list[Path], excluded: Path) -> None:
        self.now = 0.0
        self.services = services
        paths = [str(folder) for folder in folders]
        self.watch = Watch(
            lambda: [slide.file for slide in services.ingest.slides()],
            [Here(services), Here(services)],
            companions,
            paths,
            SETTLE_S,
            str(excluded),
            lambda: self.now,
        )
        self.watch.recall()

    def after(self, seconds: float) -> list[str]:
        """Look after so many seconds; return the names of all slides that are there then."""
        self.now += seconds
        self.watch.round()
        return sorted(Path(slide.file.path).name for slide in self.services.ingest.slides())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "scans"
    path.mkdir()
    return path


@pytest.fixture
def start(tmp_path: Path, folder: Path) -> Callable[[], Looker]:
    """Return what starts a watch of the folder, as often as a process is started."""
    data = tmp_path / "data"
    return lambda: Looker(open_services(Settings(data)), [folder], data)


@pytest.fixture
def looker(start: Callable[[], Looker]) -> Looker:
    return start()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[str], int]:
    """Return what counts the log lines that hold a text."""
    caplog.set_level(logging.INFO, "gateway.jobs.watch")
    return lambda text: sum(text in record.getMessage() for record in caplog.records)


def put(svs: tuple[Path, SvsTruth], place: Path) -> Path:
    return Path(shutil.copyfile(svs[0], place))


# -- when a file is complete


def test_a_slide_is_added_when_it_has_not_changed_for_a_while(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker
) -> None:
    put(svs, folder / "one.svs")
    assert looker.after(0) == []
    assert looker.after(SETTLE_S - 1) == []
    assert looker.after(1) == ["one.svs"]


def test_a_file_that_grows_is_waited_for(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker
) -> None:
    whole = svs[0].read_bytes()
    slide = folder / "one.svs"
    for part in range(1, 5):
        slide.write_bytes(whole[: len(whole) * part // 4])
        assert looker.after(SETTLE_S - 1) == []
    assert looker.after(SETTLE_S) == ["one.svs"]


def test_a_file_that_is_written_in_place_is_waited_for(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker
) -> None:
    slide = put(svs, folder / "one.svs")
    for _ in range(4):
        with slide.open("r+b") as file:  # the size stays
            file.write(b"II")
        assert looker.after(SETTLE_S - 1) == []
    assert looker.after(SETTLE_S) == ["one.svs"]


@pytest.mark.parametrize("year", [1971, 2199])
def test_clocks_of_other_machines_do_not_matter(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker, year: int
) -> None:
    slide = put(svs, folder / "one.svs")
    os.utime(slide, ((year - 1970) * 31_557_600,) * 2)
    assert looker.after(0) == []
    assert looker.after(SETTLE_S) == ["one.svs"]


def test_a_slide_that_is_renamed_into_place_is_added(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker
) -> None:
    unfinished = put(svs, folder / "one.svs.part")
    looker.after(0)
    assert looker.after(SETTLE_S) == []
    unfinished.rename(folder / "one.svs")
    looker.after(1)
    assert looker.after(SETTLE_S) == ["one.svs"]


def test_a_slide_waits_for_the_folder_of_the_same_name(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker
) -> None:
    put(svs, folder / "one.mrxs")  # what is in it does not matter to when it is added
    inside = folder / "one"
    inside.mkdir()
    for number in range(3):
        put(svs, inside / f"Data{number}.dat")
        assert looker.after(SETTLE_S - 1) == []
    with (inside / "Data0.dat").open("ab") as file:
        file.write(b"more")
    assert looker.after(SETTLE_S - 1) == []
    assert looker.after(SETTLE_S) == ["one.mrxs"]
    assert looker.after(SETTLE_S) == ["one.mrxs"]  # and the files inside are no slides


def test_a_slide_waits_for_the_images_that_it_lists(folder: Path, looker: Looker) -> None:
    (folder / "one.vms").write_text(
        "[Virtual Microscope Specimen]\r\nNoLayers=1\r\nImageFile=one.jpg\r\n"
        "ImageFile(1,0)=C:\\scans\\two.jpg\r\nMapFile=map.jpg\r\nMacroImage=macro.jpg\r\n"
        "OptimisationFile=one.opt\r\nPhysicalWidth=1\r\n"
    )
    names = ["macro.jpg", "map.jpg", "one.jpg", "one.opt", "two.jpg"]
    assert companions(str(folder / "one.vms")) == [str(folder / name) for name in names]
    for name in names:
        (folder / name).write_bytes(b"x")
        looker.after(SETTLE_S - 1)
        assert looker.watch.waiting > 0
    looker.after(SETTLE_S)
    assert (looker.watch.waiting, looker.watch.handled) == (0, len(names) + 1)
    (folder / "two.jpg").write_bytes(b"another")
    looker.after(1)
    assert looker.watch.waiting == 2  # the image, and the slide that it belongs to
    assert companions(str(folder / "gone.vms")) == []


def test_dicom_files_are_received_each_for_itself(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker, said: Callable[[str], int]
) -> None:
    (one, *others) = convert(svs[0], FileStore(folder))
    whole = (folder / one.name).read_bytes()
    (folder / one.name).write_bytes(whole[: len(whole) // 2])
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    looker.after(0)
    looker.after(SETTLE_S)
    assert said("invalid-dataset") == 1
    assert said("cannot be added") == 1
    assert said("an instance of study") == len(others)
    (folder / one.name).write_bytes(whole)
    for _ in range(3):
        looker.after(SETTLE_S)
    assert said("an instance of study") == len(others) + 1
    study = decode_header(whole).StudyInstanceUID
    assert len(looker.services.retrieve.instances(study)) == len(others) + 1


# -- what is no slide


def test_what_is_hidden_temporary_or_no_file_is_left_alone(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker, said: Callable[[str], int]
) -> None:
    for name in (".one.svs", "~one.svs", "one.svs~", "one.svs.PART", "one.tmp", "$one.svs"):
        put(svs, folder / name)
    for name in (".snapshot", "@eaDir", "copy.part"):
        (folder / name).mkdir()
        put(svs, folder / name / "one.svs")
    (folder / "empty.svs").touch()
    (folder / "folder.svs").mkdir()
    os.mkfifo(folder / "fifo.svs")
    (folder / "nowhere.svs").symlink_to("gone.svs")
    (folder / "circle").symlink_to(folder)
    (folder / "notes.txt").write_text("Not a slide.")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s"))
        looker.after(0)
        assert looker.after(SETTLE_S) == []
    assert said("") == 0


def test_links_to_files_are_followed(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker
) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "link.svs").symlink_to(svs[0])
    looker.after(0)
    assert looker.after(SETTLE_S) == ["link.svs"]


def test_the_data_folder_is_not_watched(svs: tuple[Path, SvsTruth], folder: Path) -> None:
    data = folder / "data"
    looker = Looker(open_services(Settings(data)), [folder], data)
    put(svs, data / "one.svs")
    looker.after(0)
    assert looker.after(SETTLE_S) == []
    with pytest.raises(InvalidInput, match="cannot be watched"):
        watched_folders([data / "blobs"], data)


def test_a_folder_inside_a_watched_one_is_watched_once(tmp_path: Path) -> None:
    outer, inner, other = tmp_path / "a", tmp_path / "a" / "b", tmp_path / "ab"
    folders = watched_folders([inner, outer, other, outer], tmp_path / "data")
    assert folders == (str(outer), str(other))


# -- what is broken


def test_a_broken_slide_is_reported_once_and_tried_again_when_it_changes(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker, said: Callable[[str], int]
) -> None:
    slide = put(svs, folder / "Doe^Jane.svs")
    truncate(slide, slide.stat().st_size // 2)
    looker.after(0)
    for _ in range(5):
        assert looker.after(SETTLE_S) == []
    assert said("slide-unreadable") == 1
    assert said(f"-inum {slide.stat().st_ino}") == 1
    truncate(slide, slide.stat().st_size // 2)
    for _ in range(5):
        assert looker.after(SETTLE_S) == []
    assert said("slide-unreadable") == 2
    put(svs, slide)
    looker.after(0)
    assert looker.after(SETTLE_S) == ["Doe^Jane.svs"]
    assert said("cannot be added") == 2
    assert said("Jane") == 0


def test_a_slide_by_its_name_alone_is_reported(
    folder: Path, looker: Looker, said: Callable[[str], int]
) -> None:
    (folder / "zeros.svs").write_bytes(bytes(100_000))
    make_svs(folder / "silent.svs", mpp=None)
    make_plain_tiff(folder / "plain.svs")
    looker.after(0)
    looker.after(SETTLE_S)
    assert said("slide-unreadable") == 2
    assert said("spacing-unknown") == 1


def test_one_bad_name_does_not_keep_others_waiting(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker
) -> None:
    put(svs, folder / "one.svs")
    make_svs(Path(os.fsdecode(os.fsencode(folder) + b"/\xff.svs")), seed=4)
    looker.after(0)
    assert "one.svs" in looker.after(SETTLE_S)


@contextmanager
def nobody() -> Iterator[Path]:
    """Be a user without rights, with a folder that everyone may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        before = os.geteuid()
        yield Path(name)
        os.seteuid(before)


def test_what_may_not_be_read_is_reported_once_and_read_when_it_may(
    svs: tuple[Path, SvsTruth], tmp_path: Path, said: Callable[[str], int]
) -> None:
    data = tmp_path / "data"
    with nobody() as folder:
        looker = Looker(open_services(Settings(data)), [folder], data)
        slide = put(svs, folder / "one.svs")
        (folder / "closed").mkdir(0)
        slide.chmod(0)
        looker.after(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        for _ in range(4):
            looker.after(4 * SETTLE_S)
        os.seteuid(user)
        assert said("unreadable") == 1
        assert said("a folder in") == 1
        slide.chmod(0o600)
        looker.after(0)
        assert looker.after(4 * SETTLE_S) == ["one.svs"]


def test_a_full_disk_delays_and_loses_nothing(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker, said: Callable[[str], int]
) -> None:
    put(svs, folder / "one.svs")
    looker.after(0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        for _ in range(4):
            looker.after(4 * SETTLE_S)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said("out-of-resources") == 1
    assert looker.after(4 * SETTLE_S) == ["one.svs"]


def test_a_slide_of_nobody_waits_for_its_row_in_the_worklist(
    tmp_path: Path, folder: Path, said: Callable[[str], int]
) -> None:
    data, worklist = tmp_path / "data", write_csv(tmp_path / "w.csv", {"barcode": "B2"})
    looker = Looker(open_services(Settings(data, metadata=worklist)), [folder], data)
    make_svs(folder / "one.svs", extra_description="|Barcode = B1")
    looker.after(0)
    for _ in range(50):
        assert looker.after(SETTLE_S) == []
    assert said("unmatched") == 1
    (waits,) = looker.services.quarantine.waiting()
    assert waits.file.path == str(folder / "one.svs")
    write_csv(worklist, {"barcode": "B2"}, {"barcode": "B1"})
    for _ in range(50):
        looker.after(SETTLE_S)
    assert looker.after(SETTLE_S) == ["one.svs"]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"serial_number": "OTHER"}, "contradicted"),  # than the file's
        ({"spacing_um": "0.25"}, "contradicted"),
        ({"patient_id": "Q"}, "contradicted"),  # than the study's
        ({"accession_issuer": ""}, "invalid-input"),
    ],
)
def test_a_slide_whose_row_is_wrong_waits_for_the_right_one(
    row: dict[str, str], code: str, tmp_path: Path, folder: Path, said: Callable[[str], int]
) -> None:
    order = {"patient_id": "P", "accession": "S1", "accession_issuer": "H"}
    right, first = {"barcode": "B1", **order}, {"barcode": "B2", **order}
    data, worklist = tmp_path / "data", write_csv(tmp_path / "w.csv", right | row, first)
    services = open_services(Settings(data, metadata=worklist))
    make_svs(tmp_path / "first.svs", extra_description="|Barcode = B2", seed=2)
    services.ingest.add(str(tmp_path / "first.svs"))
    looker = Looker(services, [folder], data)
    make_svs(folder / "one.svs", extra_description="|Barcode = B1")
    looker.after(0)
    for _ in range(50):
        assert "one.svs" not in looker.after(SETTLE_S)
    assert said(code) == 1
    write_csv(worklist, right, first)
    for _ in range(50):
        looker.after(SETTLE_S)
    assert "one.svs" in looker.after(SETTLE_S)


# -- what was added


def test_a_slide_is_added_once_also_after_a_start(
    svs: tuple[Path, SvsTruth],
    folder: Path,
    start: Callable[[], Looker],
    said: Callable[[str], int],
) -> None:
    slide = put(svs, folder / "one.svs")
    for _ in range(2):
        looker = start()
        for _ in range(5):
            looker.after(SETTLE_S)
        assert said("added: ") == 1
    os.utime(slide)  # it may be another one now
    for _ in range(5):
        assert looker.after(SETTLE_S) == ["one.svs"]
    assert said("added: ") == 2


def test_another_slide_at_the_same_place_is_added_too(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker
) -> None:
    slide = put(svs, folder / "one.svs")
    looker.after(0)
    looker.after(SETTLE_S)
    make_svs(slide, seed=3)
    looker.after(0)
    assert looker.after(SETTLE_S) == ["one.svs", "one.svs"]


def test_a_slide_that_is_moved_is_linked_to_where_it_lies(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker
) -> None:
    slide = put(svs, folder / "one.svs")
    looker.after(0)
    looker.after(SETTLE_S)
    slide.rename(folder / "two.svs")
    looker.after(0)
    assert looker.after(SETTLE_S) == ["two.svs"]


def test_folders_come_and_go(
    svs: tuple[Path, SvsTruth], folder: Path, looker: Looker, said: Callable[[str], int]
) -> None:
    away = folder.with_name("away")
    put(svs, folder / "one.svs")
    folder.rename(away)
    for _ in range(5):
        assert looker.after(SETTLE_S) == []
    assert said("cannot be read") == 1
    away.rename(folder)
    looker.after(0)
    assert looker.after(SETTLE_S) == ["one.svs"]
    folder.rename(away)
    folder.mkdir()  # where a share is not mounted, there is an empty folder
    looker.after(SETTLE_S)
    folder.rmdir()
    looker.after(SETTLE_S)
    away.rename(folder)
    for _ in range(3):
        looker.after(SETTLE_S)
    assert said("added: ") == 1
    assert said("cannot be read") == 2


def test_what_is_gone_is_forgotten(folder: Path, looker: Looker) -> None:
    for number in range(100):
        (folder / f"{number}.txt").write_text("no slide")
    looker.after(0)
    assert looker.watch.waiting == 100
    looker.after(SETTLE_S)
    assert (looker.watch.waiting, looker.watch.handled) == (0, 100)
    for number in range(99):
        (folder / f"{number}.txt").unlink()
    looker.after(SETTLE_S)
    assert (looker.watch.waiting, looker.watch.handled) == (0, 1)


# -- several at once


def add_as_named(path: str) -> str:
    name = Path(path).name
    if name.startswith("slow"):
        time.sleep(600)
    if name.startswith("fatal"):
        os.kill(os.getpid(), signal.SIGKILL)
    return name


@pytest.fixture
def handed(folder: Path) -> Callable[[], Watch]:
    """Return what looks until all that settled was given to one of three processes."""
    watch = Watch(
        list, [Hand(add_as_named) for _ in range(3)], companions, [str(folder)], 0, "nowhere"
    )

    def look() -> Watch:
        watch.round()
        return watch

    return look


def test_slides_that_take_minutes_keep_others_not_waiting(
    folder: Path, handed: Callable[[], Watch], said: Callable[[str], int]
) -> None:
    for number in range(3):  # slides of several files, and they are slow
        (folder / f"slow{number}.mrxs").write_bytes(b"x")
    handed()
    for number in range(3):
        (folder / f"{number}.svs").write_bytes(b"x")
    assert handed().waiting == 3  # of which two are being added
    assert said("added: ") == 3
    assert handed().waiting == 3
    assert said("added: ") == 3


def test_a_file_that_brings_its_reader_down_is_reported_once(
    folder: Path, handed: Callable[[], Watch], said: Callable[[str], int]
) -> None:
    (folder / "fatal.svs").write_bytes(b"x")
    (folder / "good.svs").write_bytes(b"x")
    for _ in range(3):
        assert handed().waiting == 0
    assert said("brought down") == 1
    assert said("added: ") == 1


# -- in a server


def soon(condition: Callable[[], object], seconds: float = 8) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_slide_is_servable_soon_while_another_is_materialised(
    svs: tuple[Path, SvsTruth], folder: Path, tmp_path: Path
) -> None:
    large, data = tmp_path / "large.svs", tmp_path / "data"
    make_large_svs(large, file_bytes=600_000_000, tiles=2500, sparse=True)
    slidegate("add", large, "--data", data)
    other = tmp_path / "other"
    options = ["--watch", str(folder), "--watch", str(other), "--settle", "0.5"]
    with serving(data, "--materialise-after", "0", *options) as server:
        soon(lambda: any(data.rglob("*.part")), 20)
        worker = process_of(data, "worker")
        os.kill(worker, signal.SIGSTOP)  # nothing else is as slow as this
        try:
            process_of(data, "watch")
            put(svs, folder / "one.svs")
            soon(lambda: len(server.get("/studies").json()) == 2)
            other.mkdir()
            make_svs(other / "two.svs", seed=5)
            soon(lambda: len(server.get("/studies").json()) == 3)
            states = [slide.state for slide in open_services(Settings(data)).ingest.slides()]
            assert set(states) == {SlideState.LINKED}
        finally:
            os.kill(worker, signal.SIGCONT)


def test_the_watching_process_may_be_killed_at_any_point(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    expected = 0
    with serving(data, "--no-materialise", "--watch", str(folder), "--settle", "0.2") as server:
        killed = 0
        for seed in range(4):
            killed = process_of(data, "watch", other_than=killed)
            make_svs(folder / f"{seed}.svs", seed=seed)
            time.sleep(0.15 * seed)
            os.kill(killed, signal.SIGKILL)
            expected += 1
        soon(lambda: len(server.get("/studies").json()) == expected, 20)
        for match in server.get("/instances").json():
            path = match["00081190"]["Value"][0].removeprefix(server.root)
            assert server.get(f"{path}/frames/1", "*/*; transfer-syntax=*").status_code == 200


def test_nothing_watches_when_the_server_was_killed(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "gateway.cli", "serve", "--data", str(data), "--port", "0"]
    command += ["--watch", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        watching = process_of(data, "watch")
        process.kill()
        process.stdout.read()
    soon(lambda: not Path(f"/proc/{watching}").exists())


def test_ctrl_c_ends_all_processes_and_is_no_error(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "gateway.cli", "serve", "--data", str(data), "--port", "0"]
    with subprocess.Popen(
        [*command, "--watch", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        beside = [process_of(data, name) for name in ("watch", "worker")]
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert said.splitlines() == ["No identity provider is configured: only this machine is served."]
    soon(lambda: not any(Path(f"/proc/{one}").exists() for one in beside))


def test_a_folder_that_cannot_be_watched_is_said_at_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = slidegate("serve", "--data", data, "--watch", data / "blobs", fails=True)
    assert "cannot be watched" in done.stderr
    assert "Traceback" not in slidegate("watch", "--data", data, data, fails=True).stderr
