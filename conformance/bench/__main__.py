"""All benchmarks, or one of them: ``python -m conformance.bench``."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from conformance.bench import (
    add,
    check,
    convert,
    frames,
    hamamatsu,
    metadata,
    peers,
    qido,
    rendered,
    report,
    stow,
)

_SUBJECTS: dict[str, Callable[[Path, bool], list[report.Chapter]]] = {
    "convert": lambda work, small: convert.run(work, convert.SMALL if small else convert.Plan()),
    "add": lambda work, small: add.run(work, add.SMALL if small else add.Plan()),
    "check": lambda work, small: check.run(work, check.SMALL if small else check.Plan()),
    "ndpi": lambda work, small: hamamatsu.run(work, hamamatsu.SMALL if small else hamamatsu.Plan()),
    "qido": lambda work, small: qido.run(work, qido.SMALL if small else qido.Plan()),
    "metadata": lambda work, small: metadata.run(
        work, metadata.SMALL if small else metadata.Plan()
    ),
    "stow": lambda work, small: stow.run(work, stow.SMALL if small else stow.Plan()),
    "rendered": lambda work, small: rendered.run(
        work, rendered.SMALL if small else rendered.Plan()
    ),
    "frames": lambda work, small: frames.run(work, frames.SMALL if small else frames.Plan()),
}


def main() -> None:
    """Run what the command line asks, print it, and record it if asked to."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are stopped on the way out
    if options.work is None:
        with tempfile.TemporaryDirectory(prefix="slidegate-bench-") as folder:
            _run(options, Path(folder))
    else:
        options.work.mkdir(parents=True, exist_ok=True)
        _run(options, options.work.resolve())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance.bench", description="Measure slidegate beside its peers."
    )
    parser.add_argument("--only", choices=sorted(_SUBJECTS), help="one subject, not all")
    parser.add_argument("--small", action="store_true", help="small slides, few rounds: a trial")
    parser.add_argument("--work", type=Path, help="scratch folder; keeps the slides for next time")
    parser.add_argument("--record", action="store_true", help="append the tables to RESULTS.md")
    return parser.parse_args()


def _run(options: argparse.Namespace, work: Path) -> None:
    setting = [*report.machine(work), "; ".join(peers.versions())]
    print("\n".join(setting), flush=True)
    chapters = []
    for name in [options.only] if options.only else _SUBJECTS:
        for chapter in _SUBJECTS[name](work, options.small):
            print(f"\n{chapter}", flush=True)
            chapters.append(chapter)
    if options.record:
        command = f"python -m conformance.bench {shlex.join(_shown(options))}".strip()
        report.record(chapters, command, setting)


def _shown(options: argparse.Namespace) -> list[str]:
    """Return the options that matter for the numbers."""
    only = ["--only", options.only] if options.only else []
    return only + (["--small"] if options.small else [])


if __name__ == "__main__":
    main()
