"""``slidegate serve`` killed at random moments while objects are stored over STOW-RS."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from itertools import count
from pathlib import Path

from pydicom import dcmread

from conformance.bench.slides import make_large_svs
from converters.convert import convert
from gateway.bootstrap import Services, open_services
from gateway.core.queries import Query, QueryLevel
from gateway.settings import Settings
from gateway.store.files import FileStore

KILLS = 200
_CLIENTS = 3
_LATEST_S = 0.25
"""Seconds after the first answer of a server within which it is killed."""

_BOUNDARY = "soak"
_HEADERS = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'}


def run(folder: Path, scale: float) -> str:
    """Kill the server hundreds of times; what it has acknowledged is there, what is there is whole.

    Returns
    -------
    What was done, for people. Anything lost or half there is an AssertionError.
    """
    archive = _Archive(folder / "data", _volume(folder))
    kills = max(3, round(KILLS * scale))
    left = 0
    for _ in range(kills):
        archive.store_and_kill()
        archive.check_new()
        left += archive.temporaries()
    archive.store_all_again()
    archive.check_all()
    assert not archive.temporaries(), "a start did not sweep"
    return (
        f"{kills} kills during {archive.sent} stores of {len(archive.stream) / 1e6:.1f} MB, "
        f"{len(archive.acknowledged)} acknowledged, {len(archive.cut)} cut off, of which "
        f"{archive.whole_all_the_same} were whole all the same; {left} temporaries were swept; "
        "nothing was lost, and nothing was there by half"
    )


def _volume(folder: Path) -> bytes:
    """Return the base level of a slide."""
    slide, out = folder / "slide.svs", folder / "out"
    make_large_svs(slide, file_bytes=4_000_000, tiles=160)
    list(convert(slide, FileStore(out)))
    return max((path.read_bytes() for path in out.glob("*.dcm")), key=len)


class _Archive:
    """A data folder, and what was sent to it.

    Parameters
    ----------
    data
        The folder.
    stream
        A Part 10 stream, which is sent under a new SOP Instance UID each time.
    """

    def __init__(self, data: Path, stream: bytes) -> None:
        self.stream = stream
        self.sent = self.whole_all_the_same = 0
        self.acknowledged: set[str] = set()
        self.cut: set[str] = set()
        self._data = data
        self._numbers = count(1)
        self._uid = str(dcmread(BytesIO(stream), stop_before_pixels=True).SOPInstanceUID)
        self._checked: set[str] = set()

    def store_and_kill(self) -> None:
        """Start a server, store from several threads, and kill it within a moment."""
        server = _Server(self._data)
        first = threading.Event()
        threads = [
            threading.Thread(target=self._store, args=(server, first)) for _ in range(_CLIENTS)
        ]
        for thread in threads:
            thread.start()
        first.wait(20)
        threading.Event().wait(random.uniform(0, _LATEST_S))
        server.kill()
        for thread in threads:
            thread.join()

    def _store(self, server: _Server, first: threading.Event) -> None:
        """Store one object after the other until the server is gone; then begin with the last."""
        while True:
            uid = f"{self._uid[:-6]}{next(self._numbers):06}"
            self.sent += 1
            stored = server.store(self._copy(uid))
            first.set()
            if not stored:
                self.cut.add(uid)
                return
            self.acknowledged.add(uid)

    def store_all_again(self) -> None:
        """Store what was cut off; all of it is taken, whatever was there of it."""
        server = _Server(self._data)
        try:
            assert all(server.store(self._copy(uid)) for uid in self.cut)
        finally:
            server.kill()

    def check_new(self) -> None:
        """Check what was acknowledged, and what is visible, since the last time."""
        services = open_services(Settings(self._data))
        visible = set(_visible(services))
        assert self.acknowledged <= visible, "an acknowledged instance was lost"
        for uid in visible - self._checked:
            self._check(services, uid)
        self.whole_all_the_same = len(visible & self.cut)
        self._checked = visible

    def check_all(self) -> None:
        """Check that all that was ever sent is there and whole."""
        services = open_services(Settings(self._data))
        visible = set(_visible(services))
        assert visible == self.acknowledged | self.cut
        for uid in visible:
            self._check(services, uid)

    def _check(self, services: Services, uid: str) -> None:
        holding = services.index.holding(uid)
        assert holding is not None
        digest = hashlib.sha256()
        for piece in services.retrieve.part10(holding.instance).pieces:
            digest.update(piece)
        assert digest.digest() == hashlib.sha256(self._copy(uid)).digest(), "half an instance"

    def temporaries(self) -> int:
        """Return how many temporaries there are."""
        return sum(1 for _ in self._data.rglob("*.part"))

    def _copy(self, uid: str) -> bytes:
        return self.stream.replace(self._uid.encode(), uid.encode())


class _Server:
    """A server that can be killed with all of its processes."""

    def __init__(self, data: Path) -> None:
        command = [sys.executable, "-m", "gateway.cli", "serve", "--data", str(data)]
        self._process = subprocess.Popen(
            [*command, "--port", "0", "--no-materialise"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline().rsplit(":", 1)[1])

    def store(self, stream: bytes) -> bool:
        """Store an object; return whether it was acknowledged."""
        head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = head + stream + f"\r\n--{_BOUNDARY}--".encode()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("POST", "/dicom-web/studies", body, _HEADERS)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        assert answer.status == 200, answer.status
        return True

    def kill(self) -> None:
        """Kill all processes at once."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _visible(services: Services) -> Iterator[str]:
    for found in services.search.find(Query(QueryLevel.INSTANCE)):
        yield str(found.match["SOPInstanceUID"])
