"""A slide past 4 GiB through every door, in bounded memory."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from conformance.bench.slides import make_large_svs

SIZE = 5_000_000_000
TILES = 40_000
_MEMORY_KB = 300_000
_DICOM = "application/dicom; transfer-syntax=*"


def run(folder: Path, scale: float) -> str:
    """Add a slide of 5 GB, fetch frames and whole instances, materialise, and fetch again.

    Returns
    -------
    What was done, for people. Other bytes or too much memory is an AssertionError.
    """
    slide, data = folder / "slide.svs", folder / "data"
    make_large_svs(slide, file_bytes=round(SIZE * scale), tiles=round(TILES * scale), sparse=True)
    added, add_kb = _slidegate("add", slide, "--data", data, "--json")
    study = json.loads(added)["study"]
    with _serving(data) as (root, process):
        linked = _fetched(root, study)
        _, materialise_kb = _slidegate("materialise", "--data", data)
        assert _fetched(root, study) == linked
        largest_kb = max(add_kb, materialise_kb, _largest_kb(process))
    digests = {_digest(path.open("rb")) for path in data.rglob("*.dcm")}
    assert digests == {whole for whole, _ in linked.values()}
    assert largest_kb < _MEMORY_KB
    size = slide.stat().st_size / 1e9
    return (
        f"{size:.2f} GB added, served, retrieved and materialised; the same bytes before and "
        f"after; largest process {largest_kb / 1000:.0f} MB"
    )


def _slidegate(*arguments: str | Path) -> tuple[str, int]:
    """Run a command; return what it printed, and its peak resident memory in kB."""
    command = [sys.executable, "-m", "gateway.cli", *map(str, arguments)]
    peak_kb = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.poll() is None:  # what wait4 tells would count the memory of this process
            peak_kb = max(peak_kb, _peak_kb(process.pid))
            time.sleep(0.02)
        assert process.returncode == 0
        return process.stdout.read(), peak_kb


@contextmanager
def _serving(data: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "gateway.cli", "serve", "--data", str(data), "--port", "0"]
    command.append("--no-materialise")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"{process.stdout.readline().split()[1]}/dicom-web", process
        finally:
            process.terminate()


def _fetched(root: str, study: str) -> dict[str, tuple[str, str]]:
    """Return digests of each instance as Part 10 and of a hundred of its frames."""
    with _get(f"{root}/studies/{study}/instances", "application/dicom+json") as answer:
        matches: list[dict[str, Any]] = json.load(answer)
    found: dict[str, tuple[str, str]] = {}
    for match in matches:
        url, frames = match["00081190"]["Value"][0], match["00280008"]["Value"][0]
        some = hashlib.sha256()
        chance = random.Random(0)
        for number in (chance.randint(1, frames) for _ in range(100)):
            with _get(f"{url}/frames/{number}", "*/*; transfer-syntax=*") as answer:
                head, _, frame = answer.read().partition(b"\r\n\r\n")
                some.update(frame.removesuffix(head.split(b"\r\n")[0] + b"--\r\n"))
        found[match["00080018"]["Value"][0]] = _digest(_get(url, _DICOM)), some.hexdigest()
    return found


def _get(url: str, accept: str) -> IO[bytes]:
    request = urllib.request.Request(url, headers={"Accept": accept})
    answer: IO[bytes] = urllib.request.urlopen(request, timeout=300)
    return answer


def _digest(stream: IO[bytes]) -> str:
    with stream:
        digest = hashlib.sha256()
        while piece := stream.read(1 << 20):
            digest.update(piece)
        return digest.hexdigest()


def _largest_kb(process: subprocess.Popen[str]) -> int:
    """Return the peak resident memory of the largest process of a server."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return max(map(_peak_kb, [process.pid, *map(int, children)]))


def _peak_kb(process: int) -> int:
    """Return the peak resident memory of a process; 0 if it has just ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) if "VmHWM:" in status else 0
