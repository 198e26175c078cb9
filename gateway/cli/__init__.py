"""The command line. Each command imports what it needs when it runs: people wait for imports."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

import click

from gateway import __version__
from gateway.cli import check, identity, processes, slides

# Nothing here does linear algebra, and numpy's import would start threads for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="slidegate")
def main() -> None:
    """Slidegate: scanner files in, DICOMweb out."""
    # Names of people and of files may have what a terminal has not; JSON escapes that.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


for command in (
    slides.add,
    slides.convert,
    slides.materialise,
    slides.check_links,
    check.check,
    identity.match,
    identity.correct,
    processes.serve,
    processes.worker,
    processes.watch,
    processes.demo,
):
    main.add_command(command)
