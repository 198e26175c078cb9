"""A server that is told to stop ends what it has begun."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.conftest import Server, slidegate
from tests.factories import SvsTruth

CHUNK = 1 << 16


@contextmanager
def stoppable(data: Path) -> Iterator[tuple[subprocess.Popen[str], Server]]:
    """Serve a data folder by a process that the test may stop."""
    command = [sys.executable, "-m", "gateway.cli", "serve", "--data", str(data), "--port", "0"]
    with subprocess.Popen(
        [*command, "--no-materialise"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, Server(process.stdout.readline().split()[1], data)
        finally:
            process.kill()


def test_a_long_answer_that_is_under_way_is_whole_when_the_server_stops(
    svs: tuple[Path, SvsTruth], tmp_path: Path
) -> None:
    slidegate("add", svs[0], "--data", tmp_path / "data")
    with stoppable(tmp_path / "data") as (process, server):
        volume = server.get("/instances?ImageType=VOLUME").json()[0]["00081190"]["Value"][0]
        place = urlsplit(f"{volume}/frames/" + ",".join(["1"] * 3000))
        head = f"GET {place.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        with socket.create_connection((str(place.hostname), place.port or 80), 30) as link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)
            link.sendall(head.encode())
            pieces = [link.recv(CHUNK)]  # the answer is under way, and far from its end
            process.terminate()
            while piece := link.recv(CHUNK):
                pieces.append(piece)
        fields, _, body = b"".join(pieces).partition(b"\r\n\r\n")
        (length,) = (
            int(line.split(b":")[1])
            for line in fields.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        assert length > 100 * CHUNK
        assert len(body) == length
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_stopped_server_leaves_room_and_a_killed_one_is_tidied_up_after(
    svs: tuple[Path, SvsTruth], tmp_path: Path
) -> None:
    left: Path | None = None
    for kill in (True, False, False):
        with stoppable(tmp_path / "data") as (process, server):
            assert server.get("/studies").status_code == 200
            (folder,) = Path("/dev/shm").glob(f"slidegate-metrics-{process.pid}-*")
            assert left is None or not left.exists()
            left = folder
            if kill:
                process.kill()
                process.wait(20)
                assert left.exists()
            else:
                process.terminate()
                assert process.wait(20) == 0
    assert left is not None
    assert not left.exists()
