"""Two hundred clients that read slowly, and some that do not; then all hang up."""

from __future__ import annotations

import json
import re
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from conformance.bench.client import Frames, base_level
from conformance.bench.slides import make_large_svs

CLIENTS = 200
SECONDS = 60.0
_BYTES_A_SECOND = 10_000
_LIST = 400
_P99_MS = {True: 50.0, False: 1000.0}
"""Of single frames meanwhile, in the whole run and in a slice of it on a busy machine."""

_MEMORY_KB = 700_000
_DICOM = "application/dicom; transfer-syntax=*"
_OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


def run(folder: Path, scale: float) -> str:
    """Let slow clients take a big instance and lists of frames while others ask for frames.

    Returns
    -------
    What was done, for people. A client that is neither served nor told to come again, frames that
    take long, or what stays open when the clients are gone, is an AssertionError.
    """
    slide, data = folder / "slide.svs", folder / "data"
    make_large_svs(
        slide, file_bytes=round(150e6 * min(1, 4 * scale)), tiles=round(9e3 * min(1, 4 * scale))
    )
    study = _added(slide, data)
    whole = scale >= 1
    clients = max(24, round(CLIENTS * scale))
    with _serving(data) as (port, server):
        level = base_level(port, study)
        listed = ",".join(map(str, range(1, _LIST + 1)))
        paths = [(level.path, _DICOM), (f"{level.path}/frames/{listed}", _OCTETS)]
        expected = [_whole(port, *path) for path in paths]
        threads = _threads(server)
        told: list[str] = []
        for _ in range(2):  # whoever hung up has left his place to the next
            with _Quick(port, level) as quick, ExitStack() as stack:
                slow = [
                    stack.enter_context(_slow(port, *paths[number % len(paths)]))
                    for number in range(clients)
                ]
                _read_slowly(slow, max(2.0, SECONDS * scale / 2))
                served = [client for client in slow if client.status == 200]
                assert all(client.status in (200, 503) for client in slow)
                assert all("retry-after" in one.head for one in slow if one.status == 503)
                assert len(served) >= 0.9 * clients, f"{len(served)} of {clients} were served"
                for number in range(len(paths)):  # who takes long gets the same as others
                    assert _rest(slow[number]) == expected[number]
                memory_kb = sum(_peak_kb(process) for process in _processes(server))
            told.append(f"{len(served)} of {clients} served, single frames {quick.told}")
            assert quick.p99_ms < _P99_MS[whole], quick.told
        assert memory_kb < _MEMORY_KB, f"{memory_kb / 1000:.0f} MB"
        # Each worker keeps the frames of the instance that was asked for last open.
        _settled(lambda: _files(server) <= 4 and not _connections(port))
        if whole:  # idle threads stay for a while
            _settled(lambda: _threads(server) <= threads + 8)
    return f"slow clients: {'; '.join(told)}; peak {memory_kb / 1000:.0f} MB; nothing stayed open"


@dataclass(slots=True)
class _Slow:
    """A client that reads a little each second."""

    connection: socket.socket
    body: bytearray = field(default_factory=bytearray)
    head: str = ""

    def read(self, most: int) -> bool:
        """Take some bytes; whether there may be more."""
        data = self.connection.recv(most)
        self.body += data
        if not self.head and b"\r\n\r\n" in self.body:
            head, _, rest = bytes(self.body).partition(b"\r\n\r\n")
            self.head, self.body = head.decode("latin-1").lower(), bytearray(rest)
        return bool(data)

    @property
    def status(self) -> int:
        return int(self.head.split()[1]) if self.head else 0


@contextmanager
def _slow(port: int, path: str, accept: str) -> Iterator[_Slow]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", port))
        lines = (f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"Accept: {accept}", "", "")
        connection.sendall("\r\n".join(lines).encode())
        yield _Slow(connection)


def _read_slowly(clients: Sequence[_Slow], seconds: float) -> None:
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.connection, selectors.EVENT_READ, client)
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end or not all(client.head for client in clients):
            assert now < end + 60, "some clients got no answer"
            for key, _ in selector.select(0.1):
                reader: _Slow = key.data
                if not reader.read(_BYTES_A_SECOND):
                    selector.unregister(reader.connection)
            time.sleep(max(0.0, now + 1 - time.monotonic()))


def _rest(client: _Slow) -> bytes:
    (length,) = map(int, re.findall(r"content-length: (\d+)", client.head))
    while len(client.body) < length and client.read(1 << 20):
        pass
    return _without_boundary(client.head, bytes(client.body))


def _whole(port: int, path: str, accept: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Accept": accept})
    answer = connection.getresponse()
    assert answer.status == 200
    body = answer.read()
    connection.close()
    return _without_boundary(str(answer.headers).lower(), body)


def _without_boundary(head: str, body: bytes) -> bytes:
    found = re.search(r"boundary=(\w+)", head)
    return body.replace(found[1].encode(), b"") if found else body


class _Quick:
    """A client that asks for one frame after the other, as fast as they come."""

    def __init__(self, port: int, level: Frames) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._level = level
        self._took: list[float] = []
        self._failed = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        number = 1
        while not self._end.is_set():
            begin = time.perf_counter()
            self._connection.request("GET", self._level.frame(number), headers={"Accept": _OCTETS})
            answer = self._connection.getresponse()
            answer.read()
            self._took.append(time.perf_counter() - begin)
            self._failed += answer.status != 200
            number = number * 7919 % self._level.count + 1

    @property
    def p99_ms(self) -> float:
        return sorted(self._took)[round(0.99 * (len(self._took) - 1))] * 1e3

    @property
    def told(self) -> str:
        return f"{len(self._took)}, p99 {self.p99_ms:.1f} ms"

    def __enter__(self) -> _Quick:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join()
        self._connection.close()
        assert not self._failed


def _added(slide: Path, data: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "gateway.cli",
        "add",
        str(slide),
        "--data",
        str(data),
        "--json",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    study: str = json.loads(done.stdout)["study"]
    return study


@contextmanager
def _serving(data: Path) -> Iterator[tuple[int, int]]:
    """Serve; yield the port and the number of the server's process."""
    command = [sys.executable, "-m", "gateway.cli", "serve", "--no-materialise", "--port", "0"]
    with subprocess.Popen(
        [*command, "--data", str(data)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline().rsplit(":", 1)[1]), server.pid
        finally:
            server.terminate()


def _files(server: int) -> int:
    """Count the files with pixels that the server's processes have open."""
    links = [link for one in _processes(server) for link in Path(f"/proc/{one}/fd").iterdir()]
    names = [str(link.readlink()) for link in links]
    return sum(name.endswith(".svs") or "/blobs/" in name for name in names)


def _connections(port: int) -> int:
    """Count the connections that the server has not closed."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        place.endswith(f":{port:04X}") and state in "01 08" for _, place, _, state, *_ in lines
    )


def _threads(server: int) -> int:
    return sum(len(list(Path(f"/proc/{one}/task").iterdir())) for one in _processes(server))


def _processes(server: int) -> list[int]:
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    return [server, *map(int, children)]


def _peak_kb(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def _settled(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "something stayed open"
        time.sleep(0.1)
