"""Check any DICOMweb server: ``python -m conformance.suite http://HOST/dicom-web``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from conformance.suite import site, table
from conformance.suite.checks import FAILED, Outcome
from conformance.suite.client import Client
from conformance.suite.run import run


def _header(_context: object, _option: object, lines: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = [line.partition(":") for line in lines]
    if any(not colon for _, colon, _ in pairs):
        raise click.BadParameter("a header is written NAME: VALUE")
    return [(name.strip(), value.strip()) for name, _, value in pairs]


@click.command()
@click.argument("url", required=False)
@click.option("--write", is_flag=True, help="Also store small synthetic objects.")
@click.option("--only", multiple=True, metavar="REQ", help="Beginning of requirements or names.")
@click.option("--study", metavar="UID", help="The study to look at, if not one that is found.")
@click.option("--origin", metavar="URL", help="Origin of viewers that the server allows (CORS).")
@click.option("--wado", metavar="URL", help="WADO-URI, if not /wado on the same server.")
@click.option("--header", multiple=True, callback=_header, help="Sent always: 'NAME: VALUE'.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each check.")
@click.option("--record", is_flag=True, help="Run ours and Orthanc, and write RESULTS.md.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder for scratch files.")
def main(
    url: str | None,
    write: bool,
    only: tuple[str, ...],
    study: str | None,
    origin: str | None,
    wado: str | None,
    header: list[tuple[str, str]],
    as_json: bool,
    record: bool,
    work: Path | None,
) -> None:
    """Check a DICOMweb server, at the URL of its root, by requirement; exit 1 if a check fails."""
    if record:
        from conformance.suite.record import write_results

        click.echo(write_results(work))
        return
    if url is None:
        raise click.UsageError("name the URL of a DICOMweb root, or --record")
    server = site.Site(Client(url, header), study, write=write, origin=origin, wado=wado)
    found: list[Outcome] = []
    for outcome in run(server, only):
        found.append(outcome)
        if as_json:
            click.echo(json.dumps(table.record(outcome)))
    if not as_json:
        click.echo("\n".join(table.lines(found)))
    sys.exit(any(outcome.state == FAILED for outcome in found))


if __name__ == "__main__":
    main()
