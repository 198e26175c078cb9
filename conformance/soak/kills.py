"""``slidegate materialise`` and ``convert`` killed at random moments, and run again."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from conformance.bench.slides import make_large_svs
from gateway.bootstrap import open_services
from gateway.settings import Settings

KILLS = 300


def run(folder: Path, scale: float) -> str:
    """Kill both commands hundreds of times; after each kill everything served is unchanged.

    Returns
    -------
    What was done, for people. Any difference is an AssertionError.
    """
    slide, data, out = folder / "slide.svs", folder / "data", folder / "out"
    make_large_svs(slide, file_bytes=60_000_000, tiles=2500)
    _command("add", slide, "--data", data).wait()
    expected = _served(data)
    kills = max(4, round(KILLS * scale))
    runs = 0
    interrupted = 0
    while interrupted < kills // 2:
        runs += 1
        if _killed("materialise", "--data", data):
            interrupted += 1
        else:  # it came to its end: begin anew
            shutil.rmtree(data)
            assert _command("add", slide, "--data", data).wait() == 0
        assert _served(data) == expected
    assert _command("materialise", "--data", data).wait() == 0
    assert _served(data) == expected
    assert not list(data.rglob("*.part"))

    files: dict[str, str] = {}
    while interrupted < kills:
        runs += 1
        interrupted += _killed("convert", slide, out)
        now = {path.name: _digest(path) for path in out.glob("*.dcm")}
        assert files.items() <= now.items()  # what is there is whole and stays
        files = now
        if len(files) == len(expected):
            shutil.rmtree(out)
            files = {}
    assert _command("convert", slide, out).wait() == 0
    assert sorted(map(_digest, out.iterdir())) == sorted(whole for whole, _ in expected.values())
    return f"{runs} runs, {interrupted} of them killed before their end; nothing was lost"


def _command(*arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gateway.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _killed(*arguments: str | Path) -> bool:
    """Run a command and kill it within a second; return whether it was still running."""
    process = _command(*arguments)
    time.sleep(random.uniform(0.1, 0.8))
    process.kill()
    return process.wait() < 0


def _served(data: Path) -> dict[str, tuple[str, str]]:
    """Return digests of each instance's Part 10 stream and of all its frames."""
    services = open_services(Settings(data))
    found: dict[str, tuple[str, str]] = {}
    for slide in services.ingest.slides():
        for one in services.retrieve.instances(slide.study):
            whole, frames = hashlib.sha256(), hashlib.sha256()
            numbers = range(1, one.number_of_frames + 1)
            for piece in services.retrieve.part10(one).pieces:
                whole.update(piece)
            for frame in services.retrieve.frames(one, numbers).bitstreams:
                frames.update(frame)
            found[one.key.instance] = whole.hexdigest(), frames.hexdigest()
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
