"""Storing an instance of a gigabyte by STOW-RS, beside Orthanc's and beside cp."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from conformance.bench import peers, servers
from conformance.bench.programs import ProgramFailed, measure, slide, warm
from conformance.bench.report import Chapter, at_least, at_most, median, spread

_BOUNDARY = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
_HEAD = (
    "POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/dicom+json\r\n"
    f'Content-Type: multipart/related; type="application/dicom"; boundary="{_BOUNDARY}"\r\n'
    "Connection: close\r\n{length}\r\n\r\n"
)
_PART = f"\r\n--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
_END = f"\r\n--{_BOUNDARY}--".encode()
_HEADER_BYTES = 1 << 20
_CHUNK = 1 << 20
_LIMIT_S = 300.0
_SAMPLE_S = 0.05
_FIRST = 6
"""Small objects that are stored before anything is measured: processes read tables once."""

_GOAL_MB_S, _GOAL_OF_CP = 300.0, 0.7
_GOAL_MB, _GOAL_CROWD_MB = 200.0, 400.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to store, and how often.

    Parameters
    ----------
    slide_bytes, tiles
        Of the slide whose base level is stored.
    rounds
        Stores of one client by each server, in turn.
    crowd
        Clients that store at once.
    """

    slide_bytes: int = 1_070_000_000
    tiles: int = 40_000
    rounds: int = 5
    crowd: int = 8


SMALL = Plan(110_000_000, 4_000, 1, 4)


@dataclass(slots=True)
class _Contender:
    """A way to bring the instance to the disk, and what was measured of it."""

    name: str
    start: Callable[[], AbstractContextManager[servers.Server]]
    chunked: bool = False
    crowded: bool = True
    alone_s: list[float] = field(default_factory=list)
    alone_mb: list[float] = field(default_factory=list)
    crowd_s: list[float] = field(default_factory=list)
    crowd_mb: list[float] = field(default_factory=list)


class _Object:
    """A Part 10 file, sent under a new SOP Instance UID each time.

    Parameters
    ----------
    path
        The file; UIDs of ours end in digits, of which the last six count copies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        with path.open("rb") as file:
            self._header = file.read(_HEADER_BYTES)
        stated = re.search(rb"\x02\x00\x03\x00UI..([\d.]+)", self._header, re.DOTALL)
        assert stated
        self._uid = stated[1]
        self._numbers = count(1)

    def send(self, port: int, *, chunked: bool) -> None:
        """Store a copy."""
        uid = self._uid[:-6] + b"%06d" % next(self._numbers)
        header = self._header.replace(self._uid, uid)
        size = len(_PART) + self.size + len(_END)
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        with (
            socket.create_connection(("127.0.0.1", port), timeout=_LIMIT_S) as connection,
            self.path.open("rb") as file,
        ):
            connection.sendall(_HEAD.format(length=length).encode())
            if chunked:
                self._send_chunks(connection, header)
            else:
                connection.sendall(_PART + header)
                connection.sendfile(file, len(header))
                connection.sendall(_END)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ProgramFailed(f"a store was answered with {answer[:500]!r}")

    def _send_chunks(self, connection: socket.socket, header: bytes) -> None:
        first = _PART + header
        connection.sendall(b"%x\r\n%s\r\n" % (len(first), first))
        with self.path.open("rb") as file:
            place = len(header)
            while place < self.size:
                length = min(_CHUNK, self.size - place)
                connection.sendall(b"%x\r\n" % length)
                connection.sendfile(file, place, length)
                connection.sendall(b"\r\n")
                place += length
        connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(_END), _END))


def run(work: Path, plan: Plan) -> list[Chapter]:
    """Measure stores of one client and of several at once."""
    source = slide(work, plan.slide_bytes, plan.tiles)
    folder = work / "objects"
    shutil.rmtree(folder, ignore_errors=True)
    measure((peers.slidegate(), "convert", source, folder), work / "convert.log")
    by_size = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)
    small, sent = _Object(by_size[0]), _Object(by_size[-1])
    warm(sent.path)
    notes: list[str] = []
    copies: list[float] = []
    contenders = list(_contenders(work, notes))
    for _ in range(plan.rounds):
        copies.append(_copied(sent.path, work / "copy"))
        for one in contenders:
            with one.start() as server:
                _crowd(small, server, _FIRST, chunked=False)
                with _memory(server) as peaks_mb:
                    one.alone_s.append(_crowd(sent, server, 1, chunked=one.chunked))
            one.alone_mb += peaks_mb
    for one in contenders:
        if one.crowded:
            with one.start() as server, _memory(server) as peaks_mb:
                one.crowd_s.append(_crowd(sent, server, plan.crowd, chunked=one.chunked))
            one.crowd_mb += peaks_mb
    return [_chapter(plan, sent.size / 1e6, copies, contenders, notes)]


def _contenders(work: Path, notes: list[str]) -> Iterator[_Contender]:
    data = work / "data"

    @contextmanager
    def ours() -> Iterator[servers.Server]:
        shutil.rmtree(data, ignore_errors=True)
        with servers.slidegate(data, work / "serve.log") as server:
            yield server
        shutil.rmtree(data)

    yield _Contender("slidegate", ours)
    yield _Contender("slidegate, chunked", ours, chunked=True, crowded=False)
    peer = peers.orthanc()
    if (program := peer.program) is None:
        notes.append(peer.skipped)
        return

    @contextmanager
    def theirs() -> Iterator[servers.Server]:
        shutil.rmtree(work / "orthanc", ignore_errors=True)
        with servers.orthanc(program, work / "orthanc") as server:
            yield server
        shutil.rmtree(work / "orthanc")

    notes.append("Orthanc holds a request in memory three times over: it is not sent several.")
    yield _Contender("Orthanc", theirs, crowded=False)


def _crowd(sent: _Object, server: servers.Server, clients: int, *, chunked: bool) -> float:
    """Store a copy from each of several clients at once; return the seconds until all are done."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: sent.send(server.port, chunked=chunked), range(clients)))
    return time.perf_counter() - begun


def _copied(source: Path, target: Path) -> float:
    """Return the seconds of cp and fsync."""
    begun = time.perf_counter()
    subprocess.run(["cp", "--reflink=never", source, target], check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    seconds = time.perf_counter() - begun
    target.unlink()
    return seconds


@contextmanager
def _memory(server: servers.Server) -> Iterator[list[float]]:
    """Watch the memory of a server; the list holds the most of it, in 10^6 bytes, at the end."""
    most: list[float] = []
    done = threading.Event()

    def watch() -> None:
        peak = 0.0
        while not done.wait(_SAMPLE_S):
            peak = max(peak, server.proportional_mb())
        most.append(peak)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        done.set()
        watcher.join()


def _chapter(
    plan: Plan,
    size_mb: float,
    copies: list[float],
    contenders: list[_Contender],
    notes: list[str],
) -> Chapter:
    chapter = Chapter(
        f"Storing an instance of {size_mb:,.0f} MB (STOW-RS)",
        ("server", "alone: MB/s", "/ cp", "memory MB", f"{plan.crowd} at once: MB/s", "memory MB"),
        [
            f"n = {plan.rounds} alone, in turn with `cp` and fsync; each under a new UID into an "
            "archive that has stored small objects only, until the answer; the client "
            "sends with sendfile from the page cache. Memory is the most of the proportional set "
            f"size of all of the server's processes, looked at every {_SAMPLE_S * 1000:.0f} ms.",
            *notes,
        ],
    )
    rate = [size_mb / seconds for seconds in copies]
    chapter.rows.append(("cp and fsync", spread(rate, 0), "1", "-", "-", "-"))
    for one in contenders:
        alone = [size_mb / seconds for seconds in one.alone_s]
        together = [plan.crowd * size_mb / seconds for seconds in one.crowd_s]
        chapter.rows.append(
            (
                one.name,
                spread(alone, 0),
                f"{median(alone) / median(rate):.2f}",
                f"{max(one.alone_mb):.0f}",
                spread(together, 0),
                f"{max(one.crowd_mb):.0f}" if one.crowd_mb else "-",
            )
        )
    ours = contenders[0]
    reached = median([size_mb / seconds for seconds in ours.alone_s])
    wanted = min(_GOAL_MB_S, _GOAL_OF_CP * median(rate))
    chapter.goals += [
        at_least("a store alone, 300 MB/s or 0.7 of cp and fsync", reached, wanted, " MB/s"),
        at_most("memory, one store", max(ours.alone_mb), _GOAL_MB, " MB"),
        at_most(f"memory, {plan.crowd} stores", max(ours.crowd_mb), _GOAL_CROWD_MB, " MB"),
    ]
    return chapter
