"""Slides from the command line: added, served, materialised, and what happens to their files."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests

from gateway.bootstrap import Services, open_services
from gateway.core.errors import SourceChanged, SourceMissing
from gateway.core.instances import SlideState
from gateway.settings import Settings
from tests.conftest import Server, process_of, serving, slidegate
from tests.factories import SvsTruth, make_large_svs, make_plain_tiff, make_svs
from tests.ndpi import make_ndpi

Record = dict[str, Any]


@pytest.fixture
def slide(svs: tuple[Path, SvsTruth], tmp_path: Path) -> Path:
    """A copy of the slide that a test may harm."""
    return Path(shutil.copyfile(svs[0], tmp_path / "slide.svs"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def added(slide: Path, data: Path) -> Record:
    record: Record = json.loads(slidegate("add", slide, "--data", data, "--json").stdout)
    return record


def opened(data: Path) -> Services:
    return open_services(Settings(data))


def everything(services: Services) -> dict[str, tuple[bytes, list[bytes]]]:
    """Return the Part 10 bytes and all frames of each instance."""
    found: dict[str, tuple[bytes, list[bytes]]] = {}
    for slide in services.ingest.slides():
        for one in services.retrieve.instances(slide.study):
            whole = b"".join(services.retrieve.part10(one).pieces)
            numbers = range(1, one.number_of_frames + 1)
            frames = [services.retrieve.frame(one, number) for number in numbers]
            assert frames == list(services.retrieve.frames(one, numbers).bitstreams)
            found[one.key.instance] = (whole, frames)
    return found


# -- adding


def test_adding_twice_or_elsewhere_gives_the_same_uids(slide: Path, data: Path) -> None:
    first = added(slide, data)
    assert first == added(slide, data)
    copy = Path(shutil.copyfile(slide, slide.with_name("copy.svs")))
    again, other = added(copy, data), added(copy, data.with_name("other"))
    assert first | {"path": str(copy)} == again == other
    (kept,) = opened(data).ingest.slides()
    assert kept.file.path == str(slide)  # it is intact where it was
    slide.unlink()
    added(copy, data)
    (kept,) = opened(data).ingest.slides()
    assert kept.file.path == str(copy)


def test_adding_at_once_from_many_processes_adds_one(slide: Path, data: Path) -> None:
    command = [sys.executable, "-m", "gateway.cli", "add", str(slide), "--data", str(data)]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    assert len(opened(data).ingest.slides()) == 1


def test_good_slides_are_added_beside_bad_ones(slide: Path, data: Path) -> None:
    plain, silent = slide.with_name("plain.tif"), slide.with_name("silent.svs")
    make_plain_tiff(plain)
    make_svs(silent, mpp=None)
    done = slidegate("add", plain, slide, silent, "--data", data, "--json", fails=True)
    assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == [str(slide)]
    assert "no slide of a known format" in done.stderr
    assert "--mpp" in done.stderr


def test_a_slide_keeps_the_spacing_it_was_added_with(slide: Path, data: Path) -> None:
    make_svs(slide, mpp=None)
    slidegate("add", slide, "--data", data, "--mpp", "0.5")
    slidegate("add", slide, "--data", data, "--mpp", "0.5")
    done = slidegate("add", slide, "--data", data, "--mpp", "0.25", fails=True)
    assert "another stated pixel spacing" in done.stderr


@pytest.mark.parametrize("other", [["--tile-by", "crop"], ["--focal-planes", "all"]])
def test_a_slide_keeps_the_frames_it_was_added_with(
    other: list[str], tmp_path: Path, data: Path
) -> None:
    path = tmp_path / "slide.ndpi"
    make_ndpi(path, columns=512, rows=128, stripe=512, factors=(1,), plain=(), planes_nm=(0, 900))
    slidegate("add", path, "--data", data, "--tile-by", "stripes")
    slidegate("add", path, "--data", data, "--tile-by", "stripes")
    slidegate("add", path, "--data", data)  # nobody chooses: as it was
    done = slidegate("add", path, "--data", data, *other, fails=True)
    assert "leave --tile-by and --focal-planes away" in done.stderr


# -- materialising


@pytest.mark.parametrize("which", ["made", "real"])
def test_materialising_changes_no_byte(
    which: str, slide: Path, data: Path, request: pytest.FixtureRequest
) -> None:
    source: Path = slide if which == "made" else request.getfixturevalue("real_svs")
    record = added(source, data)
    before = everything(opened(data))
    assert len(before) == record["instances"]
    assert "materialised" in slidegate("materialise", record["study"], "--data", data).stdout
    assert added(source, data)["state"] == "materialised"

    services = opened(data)
    assert everything(services) == before
    for one in services.retrieve.instances(record["study"]):
        assert isinstance(one.frames, str)
        file = data / "blobs" / one.frames
        assert file.read_bytes() == before[one.key.instance][0]
        assert pydicom.dcmread(file).SOPInstanceUID == one.key.instance

    out = data.with_name("converted")
    done = slidegate("convert", source, out, "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["sop_instance"]: Path(one["file"]).read_bytes() for one in lines} == {
        uid: whole for uid, (whole, _) in before.items()
    }
    keys = {"file", "sop_instance", "image_type", "frames", "empty", "provenance"}
    assert keys == set(lines[0])


def test_the_scanners_file_is_not_needed_afterwards(slide: Path, data: Path) -> None:
    added(slide, data)
    before = everything(opened(data))
    slidegate("materialise", "--data", data)
    slide.unlink()
    assert everything(opened(data)) == before
    assert "where they were" in slidegate("check-links", "--data", data).stdout


def test_the_full_digest_is_recorded(slide: Path, data: Path) -> None:
    added(slide, data)
    services = opened(data)
    (linked,) = services.ingest.slides()
    told: list[tuple[int, int]] = []
    services.ingest.materialise(linked, lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert linked.sha256 is None
    assert services.ingest.slides()[0].sha256 == hashlib.sha256(slide.read_bytes()).hexdigest()


def test_an_unknown_study_is_told(slide: Path, data: Path) -> None:
    added(slide, data)
    assert "no slide of study" in slidegate("materialise", "1.2", "--data", data, fails=True).stderr


def test_a_full_disk_loses_nothing(slide: Path, data: Path) -> None:
    added(slide, data)
    before = everything(opened(data))
    files = sorted(data.rglob("*"))

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "materialise", "--data", str(data)],
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is full; make room" in done.stderr
    assert "Traceback" not in done.stderr
    kept = [path for path in sorted(data.rglob("*")) if path.suffix not in (".dcm", ".frames")]
    assert [path for path in kept if "slidegate.db" not in path.name] == [
        path for path in files if "slidegate.db" not in path.name
    ]
    assert everything(opened(data)) == before
    slidegate("materialise", "--data", data)
    assert everything(opened(data)) == before


def test_it_can_be_killed_at_any_point_and_run_again(slide: Path, data: Path) -> None:
    added(slide, data)
    before = everything(opened(data))
    command = [sys.executable, "-m", "gateway.cli", "materialise", "--data", str(data)]
    for delay_ms in range(300, 800, 50):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert everything(opened(data)) == before
    slidegate("materialise", "--data", data)
    assert everything(opened(data)) == before
    assert not list(data.rglob("*.part"))


def test_a_server_materialises_by_itself(slide: Path, data: Path) -> None:
    added(slide, data)
    services = opened(data)
    with serving(data, "--materialise-after", "1000"):
        time.sleep(5)
    assert services.ingest.slides()[0].state is SlideState.LINKED
    with serving(data, "--materialise-after", "1"):
        deadline = time.monotonic() + 30
        while services.ingest.slides()[0].state is SlideState.LINKED:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_materialising_process_is_started_again(slide: Path, data: Path) -> None:
    with serving(data, "--materialise-after", "0", "--database", ""):
        first = process_of(data, "worker")
        os.kill(first, signal.SIGKILL)
        assert process_of(data, "worker", other_than=first) != first
        added(slide, data)
        services = opened(data)
        while services.ingest.slides()[0].state is SlideState.LINKED:
            time.sleep(0.1)


# -- the scanner's file after it was added


def base_frame(server: Server, study: str) -> str:
    (base, *_) = server.get(f"/studies/{study}/instances?InstanceNumber=1").json()
    url: str = base["00081190"]["Value"][0]
    return f"{url.removeprefix(server.root)}/frames/1"


def harm(slide: Path, how: str) -> None:
    if how == "moved":
        slide.rename(slide.with_name("moved.svs"))
    elif how == "truncated":
        os.truncate(slide, slide.stat().st_size // 2)
    elif how == "overwritten":
        make_svs(slide, columns=1504, rows=1104, downsamples=(4, 16), seed=9)
    elif how == "replaced":
        other = slide.with_name("other.svs")
        make_svs(other, seed=9)
        other.rename(slide)
    elif how == "garbage":
        slide.write_bytes(bytes(1000))


@pytest.mark.req("REQ-HTTP-16")
@pytest.mark.parametrize("how", ["moved", "truncated", "overwritten", "replaced", "garbage"])
def test_a_source_that_is_gone_or_another_never_gives_pixels(
    slide: Path, data: Path, how: str
) -> None:
    record = added(slide, data)
    with serving(data, "--no-materialise") as server:
        path = base_frame(server, record["study"])
        good = server.get(path, "image/jpeg")
        assert good.status_code == 200
        harm(slide, how)
        state = "source-missing" if how == "moved" else "source-changed"
        instance = path.split("/frames")[0]
        for _ in range(2):
            for asked in (path, f"{path},2", instance):
                answer = server.get(asked, 'multipart/related; type="*/*"')
                assert answer.status_code == 503
                assert answer.json()["type"] == f"urn:slidegate:{state}"
                assert "Retry-After" in answer.headers
        assert server.get(f"{instance}/metadata").status_code == 200

        told = slidegate("check-links", "--data", data, "--json", fails=True).stdout
        line = json.loads(told)
        assert (line["study"], line["path"], line["state"]) == (record["study"], str(slide), state)
        done = slidegate("materialise", "--data", data, fails=True)
        assert record["study"] in done.stderr

        if how == "moved":  # added where it is now, it is the same slide
            again = added(slide.with_name("moved.svs"), data)
            assert again["study"] == record["study"]
            assert server.get(path, "image/jpeg").content == good.content


def test_a_file_that_was_merely_touched_is_served(slide: Path, data: Path) -> None:
    added(slide, data)
    before = everything(opened(data))
    os.utime(slide, (1, 1))
    assert everything(opened(data)) == before
    shutil.copyfile(slide, slide.with_name("copy.svs"))
    slide.with_name("copy.svs").rename(slide)
    assert everything(opened(data)) == before
    slidegate("check-links", "--data", data)


def test_two_slides_at_one_place_are_told_apart(slide: Path, data: Path) -> None:
    first = added(slide, data)
    other = slide.with_name("other.svs")
    make_svs(other, seed=3)
    other.replace(slide)
    second = added(slide, data)
    assert first["study"] != second["study"]
    with serving(data, "--no-materialise") as server:
        for _ in range(2):
            os.utime(slide)
            assert server.get(base_frame(server, first["study"])).status_code == 503
            assert server.get(base_frame(server, second["study"])).status_code == 200
    (line,) = slidegate("check-links", "--data", data, "--json", fails=True).stdout.splitlines()
    assert json.loads(line)["study"] == first["study"]


def test_a_list_of_frames_that_breaks_off_is_not_taken_for_a_whole_one(data: Path) -> None:
    slide = data.with_name("large.svs")
    make_large_svs(slide, file_bytes=60_000_000, tiles=2500)
    record = added(slide, data)
    with serving(data, "--no-materialise") as server:
        path = base_frame(server, record["study"]).removesuffix("/1")
        numbers = ",".join(map(str, range(1, 2501)))
        url = f"{server.root}{path}/{numbers}"
        with requests.get(url, stream=True, timeout=30) as answer:
            assert answer.status_code == 200
            slide.write_bytes(b"another")
            with pytest.raises(requests.RequestException):
                assert len(answer.content) < 0


def test_slow_clients_leave_room_for_others(data: Path) -> None:
    slide = data.with_name("large.svs")
    make_large_svs(slide, file_bytes=60_000_000, tiles=2500)
    record = added(slide, data)
    with serving(data, "--no-materialise") as server, ExitStack() as stack:
        frame = base_frame(server, record["study"])
        url = server.root + frame.removesuffix("/frames/1")
        statuses = [
            stack.enter_context(requests.get(url, stream=True, timeout=30)).status_code
            for _ in range(24)
        ]
        assert set(statuses) == {200}
        for _ in range(20):
            assert server.get(frame).status_code == 200
    with serving(data, "--no-materialise") as server:
        url = server.root + base_frame(server, record["study"]).removesuffix("/frames/1")
        for _ in range(24):  # clients that go away give their place back
            with requests.get(url, stream=True, timeout=30) as answer:
                assert answer.status_code == 200
            time.sleep(0.02)


def test_what_is_no_file_is_refused_and_never_waited_for(slide: Path, data: Path) -> None:
    fifo = slide.with_name("fifo.svs")
    os.mkfifo(fifo)
    assert "is no file" in slidegate("add", fifo, "--data", data, fails=True).stderr
    record = added(slide, data)
    with serving(data, "--no-materialise") as server:
        path = base_frame(server, record["study"])
        fifo.replace(slide)
        assert server.get(path).status_code == 503


def test_states_have_their_own_errors(slide: Path, data: Path) -> None:
    added(slide, data)
    services = opened(data)
    (one,) = services.ingest.slides()
    slide.write_bytes(b"another")
    with pytest.raises(SourceChanged):
        services.links.verified(one.file)
    slide.unlink()
    with pytest.raises(SourceMissing):
        services.links.verified(one.file)


def test_nothing_is_left_when_the_server_is_killed(slide: Path, data: Path) -> None:
    added(slide, data)
    command = [sys.executable, "-m", "gateway.cli", "serve", "--data", str(data), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        process.kill()
        process.stdout.read()  # ends when the last of its processes has
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/health", timeout=5)
