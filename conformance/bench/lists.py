"""Many frames in one request, beside ``sendfile`` of as many bytes of the same file."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conformance.bench import servers
from conformance.bench.client import VIEWER_ACCEPT, base_level
from conformance.bench.contenders import add
from conformance.bench.programs import warm
from conformance.bench.report import Chapter, Goal, at_least, at_most, median, spread

_FRAMES = 400
_ROUNDS = 30
_GB_S, _TIMES = 1.0, 2.0
_COLUMNS = ("server", "ms", "GB/s")
_NOTE = (
    f"One client gets {_FRAMES} neighbouring frames again and again over one connection and throws "
    "them away; sendfile is asked for as many bytes of the same file, in turn. One of the two "
    "goals has to be met."
)


def compare(work: Path, source: Path) -> Chapter:
    """Measure lists of frames of a linked slide."""
    data = work / "lists"
    shutil.rmtree(data, ignore_errors=True)
    study = add(work, source, data)
    warm(source)
    ours: list[float] = []
    plain: list[float] = []
    with servers.slidegate(data, work / "serve.log") as server:
        level = base_level(server.port, study)
        lists = level.count // _FRAMES
        with (
            _connected(server.port) as mine,
            _sending(source) as (port, reach),
            _connected(port) as other,
        ):
            for number in range(_ROUNDS):
                first = 1 + number % lists * _FRAMES
                listed = ",".join(map(str, range(first, first + _FRAMES)))
                begin = time.perf_counter()
                size = _fetched(mine, f"{level.path}/frames/{listed}")
                ours.append(time.perf_counter() - begin)
                begin = time.perf_counter()
                other.sendall(f"{number * size % (reach - size)} {size}\n".encode())
                _drain(other, size)
                plain.append(time.perf_counter() - begin)
    shutil.rmtree(data, ignore_errors=True)
    chapter = Chapter(f"{_FRAMES} frames in one request, {size / 1e6:.1f} MB", _COLUMNS, [_NOTE])
    for name, times in (("slidegate, linked", ours), ("sendfile", plain)):
        rates = [size / one / 1e9 for one in times]
        chapter.rows.append([name, spread([1e3 * one for one in times], 1), spread(rates, 2)])
    chapter.goals.append(_goal(size / median(ours) / 1e9, median(ours) / median(plain)))
    return chapter


def _goal(rate: float, times: float) -> Goal:
    """Return the goal that is met, or the nearer one."""
    if rate >= _GB_S:
        return at_least("payload", rate, _GB_S, " GB/s")
    return at_most("times as long as sendfile", times, _TIMES, "")


@contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        yield connection


def _fetched(connection: socket.socket, path: str) -> int:
    """Get a resource and throw it away; return the bytes of its body."""
    lines = (f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"Accept: {VIEWER_ACCEPT}", "", "")
    connection.sendall("\r\n".join(lines).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1 << 16)
    head, _, body = head.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").lower().split("\r\n")
    if status.split()[1] != "200":
        raise ValueError(f"{path[:80]} answered {status}")
    (size,) = (int(one.split(":")[1]) for one in fields if one.startswith("content-length:"))
    _drain(connection, size - len(body))
    return size


def _drain(connection: socket.socket, size: int) -> None:
    buffer = bytearray(1 << 20)
    while size > 0:
        count = connection.recv_into(buffer, min(size, len(buffer)))
        if not count:
            raise ConnectionError("the answer broke off")
        size -= count


@contextmanager
def _sending(file: Path) -> Iterator[tuple[int, int]]:
    """Run a process that sends ranges of a file; yield its port and the bytes of the file."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = multiprocessing.get_context("fork").Process(target=_send, args=(listening, file))
        process.start()
        try:
            yield listening.getsockname()[1], file.stat().st_size
        finally:
            process.join(10)
            process.kill()


def _send(listening: socket.socket, file: Path) -> None:
    connection, _ = listening.accept()
    with connection, file.open("rb") as source, connection.makefile("r") as lines:
        for line in lines:
            offset, size = map(int, line.split())
            while size:
                sent = os.sendfile(connection.fileno(), source.fileno(), offset, size)
                offset, size = offset + sent, size - sent
