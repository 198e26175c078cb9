"""A million cases for the readers of what comes from outside; only our own errors may come."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.soak.seeds import seeds_of
from conformance.soak.targets import TARGETS

FINDINGS = Path("fuzz-findings")
"""Where cases are kept that brought a reader down, below the folder where the run was started."""

_APART = ["sh", "-c", '"$@"; exit $?', "sh"]
"""A shell that forks: libFuzzer looks at the peak of a process's memory, and a process begins with
that of the one that started it, which may be a whole run of tests."""

_SECONDS = 5
_RESIDENT_MB = 1024
_LONGEST = 20_000
"""Bytes of a case; all that the readers know of fits, and longer ones are slower."""


def run(folder: Path, scale: float, seed: int = 1, targets: Sequence[str] = tuple(TARGETS)) -> str:
    """Fuzz targets, as many at once as there are processors.

    Parameters
    ----------
    folder
        For scratch files.
    scale
        Part of the full number of cases.
    seed
        The same number gives the same cases, as long as the code is the same.

    Returns
    -------
    What was done, for people. Anything but a result or one of our errors, a case that takes five
    seconds and one that takes a gigabyte of memory are findings: an AssertionError names the files
    that hold them.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = list(pool.map(lambda name: _fuzz(name, folder, scale, seed), targets))
    findings = sorted(str(path) for path in FINDINGS.glob(f"*/seed{seed}-*"))
    assert not findings, f"fuzzing found something: {', '.join(findings)}"
    cases = sum(count for count, _ in told)
    parts = [
        f"{name} {count} ({count / seconds:.0f}/s)"
        for name, (count, seconds) in zip(targets, told, strict=True)
    ]
    return f"{cases} cases, nothing found but our own errors: {', '.join(parts)}"


def _fuzz(name: str, folder: Path, scale: float, seed: int) -> tuple[int, float]:
    """Fuzz one target; return the number of its cases, and the seconds that they took."""
    corpus, findings = folder / name, FINDINGS / name
    shutil.rmtree(findings, ignore_errors=True)
    for place in (corpus, findings):
        place.mkdir(parents=True)
    for number, data in enumerate(seeds_of(name, folder / f"{name}.seed")):
        (corpus / str(number)).write_bytes(data)
    options = {
        "seed": seed,
        "runs": max(500, round(TARGETS[name].cases * scale)),
        "timeout": _SECONDS,
        "rss_limit_mb": _RESIDENT_MB,
        "max_len": _LONGEST,
        "artifact_prefix": f"{findings}/seed{seed}-",
        "print_final_stats": 1,
    }
    command = [*_APART, sys.executable, "-m", "conformance.soak.fuzzer", name]
    command += [f"-{option}={value}" for option, value in options.items()]
    begun = time.monotonic()
    done = subprocess.run(
        [*command, str(corpus)],
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = time.monotonic() - begun
    said = done.stderr + done.stdout
    if done.returncode:
        sys.stderr.write(f"{name} ended with {done.returncode}:\n{said[-5000:]}\n")
        (findings / f"seed{seed}-log.txt").write_text(said)
        return 0, seconds
    findings.rmdir()
    counted = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert counted, done.stderr[-2000:]
    return int(counted[1]), seconds
