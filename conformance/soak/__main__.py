"""Run the long fault runs, one or all, and record what they found."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from conformance.bench import report
from conformance.soak import damage, fuzz, huge, kills, requests, slow, stores

RUNS: dict[str, Callable[[Path, float], str]] = {
    "kills": kills.run,
    "stores": stores.run,
    "damage": damage.run,
    "huge": huge.run,
    "slow": slow.run,
    "requests": requests.run,
    "fuzz": fuzz.run,
}

SEEDED = {"requests": requests.run, "fuzz": fuzz.run}
"""Those that another seed changes."""


@click.command()
@click.option("--only", type=click.Choice(list(RUNS)), help="One run; all without this.")
@click.option("--scale", default=1.0, show_default=True, help="Part of the full size.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder for scratch files.")
@click.option("--seed", default=1, show_default=True, help="Another one fuzzes other cases.")
@click.option("--record", is_flag=True, help="Append what they found to RESULTS.md.")
def main(only: str | None, scale: float, work: Path | None, seed: int, record: bool) -> None:
    """Kill, damage, overload and fuzz Slidegate for a long time; exit 1 at the first fault."""
    found: list[str] = []
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        setting = report.machine(Path(scratch))
        for name in [only] if only else RUNS:
            folder = Path(scratch) / name
            folder.mkdir()
            run = partial(SEEDED[name], seed=seed) if name in SEEDED else RUNS[name]
            found.append(f"{name}: {run(folder, scale)}")
            click.echo(found[-1])
    if record:
        command = " ".join(["python -m conformance.soak", *(["--only", only] if only else [])])
        report.record([report.Chapter("Long fault runs", (), found)], command, setting)


main()
