"""Command for DICOM files: check."""

from __future__ import annotations

import sys

import click

from gateway.cli import options


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@options.json
def check(paths: tuple[str, ...], as_json: bool) -> None:
    """Say whether DICOM files are what the standard and the known viewers take.

    PATHS are files and folders; folders are searched to the bottom. A file that is named is
    always checked; in a folder, files that do not begin as DICOM files do are skipped and
    counted. Nothing is ever written.

    A file is passed, repaired (the gateway would mend it when it takes it in, and say so in the
    object) or held (it would not take it in; the action says what to do). Objects of one series
    or study are compared with each other too, which taking them in one by one cannot. Whole slide
    images, annotations and structured reports are checked in full, other objects for what all
    objects must have.

    Exits with 0 if all have passed, else with 1.
    """
    with options.importing():
        from gateway.cli.examining import examine_files, find_files
        from gateway.dicom.gate import Outcome

    files = find_files(paths)
    with options.progress("checking") as tell:
        examined = examine_files(files.paths, tell)
    for one in examined:
        record: dict[str, object] = {
            "file": one.path,
            "verdict": one.outcome.value,
            "findings": [
                {
                    "rule": found.rule,
                    "severity": found.severity.value,
                    "message": found.message,
                    "action": found.action,
                }
                for found in one.findings
            ],
        }
        lines = [f"{one.path}: {one.outcome.value}"]
        for found in one.findings:
            lines += [f"  {found.severity} {found.rule}: {found.message}", f"    {found.action}"]
        options.emit(record, "\n".join(lines), as_json)
    if files.skipped:
        click.echo(f"{files.skipped} files in folders are no DICOM files: skipped.", err=True)
    if not examined:
        click.echo("Error: there is no DICOM file.", err=True)
    if not examined or any(one.outcome is not Outcome.PASSED for one in examined):
        sys.exit(options.FAILED)
