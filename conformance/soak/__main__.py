"""Run the long fault runs, one or all, and record what they found."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from conformance.soak import damage, huge, kills

RUNS = {"kills": kills.run, "damage": damage.run, "huge": huge.run}


@click.command()
@click.option("--only", type=click.Choice(list(RUNS)), help="One run; all without this.")
@click.option("--scale", default=1.0, show_default=True, help="Part of the full size.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder for scratch files.")
def main(only: str | None, scale: float, work: Path | None) -> None:
    """Kill, damage and overload Slidegate for a long time; exit 1 at the first fault."""
    for name in [only] if only else RUNS:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            click.echo(f"{name}: {RUNS[name](Path(folder), scale)}")


main()
