"""Programs that are measured: run to their end, with what they cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LIMIT_S = 900.0


class ProgramFailed(Exception):
    """A program ended with an error, took too long or did not answer."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program cost.

    Parameters
    ----------
    wall_s
        From the start of the process until its files are on the disk.
    cpu_s
        User and system time.
    peak_mb
        Most resident memory, 10^6 bytes. It cannot be below what the benchmark's own process
        takes, some 20 MB, since a child inherits that.
    ended
        `time.perf_counter` when the process had returned.
    output
        What the program printed on standard output.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    ended: float
    output: str


def measure(
    command: Sequence[str | Path],
    log: Path,
    *,
    output_folder: Path | None = None,
    limit_s: float = _LIMIT_S,
) -> Usage:
    """Run a program to its end.

    Parameters
    ----------
    command
        Program and arguments.
    log
        File for what it prints; replaced.
    output_folder
        Folder whose files, and which itself, are synchronised with the disk within the measured
        time.
    limit_s
        Seconds after which the program is killed.

    Raises
    ------
    ProgramFailed
        If its exit code is not 0.
    """
    errors = log.with_suffix(".err")
    with log.open("wb") as out, errors.open("wb") as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        code, cpu_s, peak_kb = _waited(process, limit_s)
        ended = time.perf_counter()
    if code:
        lines = errors.read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise ProgramFailed(f"{Path(command[0]).name} ended with {code}: {lines[-1]}")
    finished = ended
    if output_folder is not None:
        own = time.process_time()
        _sync(output_folder)
        cpu_s += time.process_time() - own
        finished = time.perf_counter()
    text = log.read_text("utf-8", "replace")
    return Usage(finished - started, cpu_s, peak_kb * 1024 / 1e6, ended, text)


def _waited(process: subprocess.Popen[bytes], limit_s: float) -> tuple[int, float, int]:
    """Wait for a process; return its exit code, CPU seconds and peak resident kilobytes."""
    watchdog = threading.Timer(limit_s, process.kill)
    watchdog.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        watchdog.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def _sync(folder: Path) -> None:
    """Bring all files of a folder to the disk, and the folders."""
    for root, _, names in os.walk(folder):
        for place in [*(os.path.join(root, name) for name in names), root]:
            descriptor = os.open(place, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def warm(path: Path) -> None:
    """Read a file, or all files below a folder, so that they lie in the page cache."""
    buffer = bytearray(8 << 20)
    for place in path.rglob("*") if path.is_dir() else [path]:
        if place.is_file():
            with place.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass


def slide(work: Path, file_bytes: int, tiles: int, *, sparse: bool = False) -> Path:
    """Return a synthetic SVS; one that an earlier run has left is used again.

    A process of its own draws it, so that this one stays small.
    """
    path = work / f"{file_bytes // 1_000_000}MB-{tiles}{'-sparse' if sparse else ''}.svs"
    options = ["--bytes", str(file_bytes), "--tiles", str(tiles)]
    return _drawn(work, path, "conformance.bench.slides", options, sparse=sparse)


def ndpi(work: Path, file_bytes: int, *, sparse: bool = False) -> Path:
    """Return a synthetic NDPI, as :func:`slide` does an SVS."""
    path = work / f"{file_bytes // 1_000_000}MB{'-sparse' if sparse else ''}.ndpi"
    options = ["--bytes", str(file_bytes)]
    return _drawn(work, path, "conformance.bench.ndpi", options, sparse=sparse)


def _drawn(work: Path, path: Path, module: str, options: list[str], *, sparse: bool) -> Path:
    if not path.exists():
        aside = path.with_suffix(".part")
        command = [sys.executable, "-m", module, str(aside), *options]
        measure([*command, "--sparse"] if sparse else command, work / "slides.log")
        aside.rename(path)
    return path
