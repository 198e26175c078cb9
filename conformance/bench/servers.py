"""Servers on the loopback: started, waited for, watched, and always stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from conformance.bench import peers
from conformance.bench.client import get
from conformance.bench.programs import ProgramFailed

_READY_S = 60.0
_STOP_S = 10.0
_NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes {workers};
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    default_type image/jpeg;
    client_body_temp_path {folder}/tmp;
    proxy_temp_path {folder}/tmp;
    fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp;
    scgi_temp_path {folder}/tmp;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; its processes are those of one session."""

    port: int
    session: int

    def peak_mb(self) -> float:
        """Return the sum of its processes' peak resident memory, 10^6 bytes.

        Pages that several processes share count for each.
        """
        return sum(_peak_kb(process) for process in _processes(self.session)) * 1024 / 1e6

    def proportional_mb(self) -> float:
        """Return the memory of its processes now, 10^6 bytes; shared pages count once."""
        return sum(map(_proportional_kb, _processes(self.session))) * 1024 / 1e6

    def memory_mb(self) -> float:
        """Return the memory of its processes now, 10^6 bytes; shared pages count once."""
        return sum(_proportional_kb(process) for process in _processes(self.session)) * 1024 / 1e6


@contextmanager
def slidegate(data: Path, log: Path) -> Iterator[Server]:
    """Run ``slidegate serve``; slides stay as they are."""
    port = free_port()
    options = ("--data", str(data), "--port", str(port), "--no-materialise")
    with running((str(peers.slidegate()), "serve", *options), log, port, "/ready") as server:
        yield server


@contextmanager
def nginx(program: Path, root: Path, folder: Path) -> Iterator[Server]:
    """Run nginx over a folder of static files, one worker for each core."""
    folder.mkdir(exist_ok=True)
    port, configuration = free_port(), folder / "nginx.conf"
    configuration.write_text(
        _NGINX.format(
            folder=folder.resolve(),
            root=root.resolve(),
            port=port,
            workers=os.cpu_count(),
            user="user root;" if os.geteuid() == 0 else "",
        )
    )
    command = (str(program), "-p", str(folder.resolve()), "-c", str(configuration.resolve()))
    with running(command, folder / "nginx.log", port, "/1") as server:
        yield server


@contextmanager
def orthanc(program: Path, folder: Path) -> Iterator[Server]:
    """Run Orthanc with DICOMweb and the WSI plugin; what it stores stays in the folder."""
    folder.mkdir(exist_ok=True)
    port, configuration = free_port(), folder / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "storage"),
                "Plugins": [str(plugin) for plugin in peers.orthanc_plugins()],
                "HttpPort": port,
                "KeepAlive": True,
                "RemoteAccessAllowed": False,  # listens on the loopback only
                "AuthenticationEnabled": False,
                "DicomServerEnabled": False,
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    command = (str(program), str(configuration))
    with running(command, folder / "orthanc.log", port, "/system") as server:
        yield server


@contextmanager
def running(command: Sequence[str], log: Path, port: int, path: str) -> Iterator[Server]:
    """Run a server until the block ends; it answers at the path when the block begins."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, port, path, log)
        yield Server(port, process.pid)
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(OSError):
            if get(port, path).status == 200:
                return
        time.sleep(0.05)
    said = log.read_text("utf-8", "replace").strip().splitlines()[-3:]
    raise ProgramFailed(f"the server did not answer: {' '.join(said)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, then end whatever is left of its session."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    for number in {process.pid, *_processes(process.pid)}:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()


def _processes(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    found.append(int(folder.name))
    return found


def _peak_kb(process: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def _proportional_kb(process: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
