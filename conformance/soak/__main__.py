"""Run the long fault runs, one or all, and record what they found."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from conformance.bench import report
from conformance.soak import damage, huge, kills

RUNS = {"kills": kills.run, "damage": damage.run, "huge": huge.run}


@click.command()
@click.option("--only", type=click.Choice(list(RUNS)), help="One run; all without this.")
@click.option("--scale", default=1.0, show_default=True, help="Part of the full size.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder for scratch files.")
@click.option("--record", is_flag=True, help="Append what they found to RESULTS.md.")
def main(only: str | None, scale: float, work: Path | None, record: bool) -> None:
    """Kill, damage and overload Slidegate for a long time; exit 1 at the first fault."""
    found: list[str] = []
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        setting = report.machine(Path(scratch))
        for name in [only] if only else RUNS:
            folder = Path(scratch) / name
            folder.mkdir()
            found.append(f"{name}: {RUNS[name](folder, scale)}")
            click.echo(found[-1])
    if record:
        command = " ".join(["python -m conformance.soak", *(["--only", only] if only else [])])
        report.record([report.Chapter("Long fault runs", (), found)], command, setting)


main()
