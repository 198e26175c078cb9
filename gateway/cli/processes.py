"""Commands that run until they are stopped: serve, worker, watch, demo."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gateway.cli import options


@click.command()
@options.data
@options.database
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@options.port
@options.materialise_after
@click.option("--no-materialise", is_flag=True, help="Leave slides linked.")
@click.option(
    "--watch",
    "watched",
    type=options.Folder(),
    multiple=True,
    metavar="DIR",
    help="Add the slides that appear in this folder and below; may be given several times.",
)
@options.settle
@options.metadata
@options.public_url
@options.wado_url
@options.trusted_proxy
@options.cors_origin
@options.access_log
def serve(
    data: Path,
    database: str,
    host: str,
    port: int,
    materialise_after: float,
    no_materialise: bool,
    watched: tuple[Path, ...],
    settle: float,
    metadata: Path | None,
    **appearance: Any,
) -> None:
    """Serve DICOMweb at /dicom-web and a viewer at /."""
    with options.importing():
        from gateway.bootstrap import serve as serve_forever
        from gateway.settings import loopback_address, watched_folders, web

    with options.errors_told():
        after_s = None if no_materialise else materialise_after
        settings = replace(
            options.settings(data, database, after_s, metadata),
            watched=watched_folders(watched, data),
            settle_s=settle,
            web=web(**appearance),
        )
        address = loopback_address(host, port)
        click.echo("No identity provider is configured: only this machine is served.", err=True)
        serve_forever(settings, address)


@click.command()
@options.present_data
@options.database
@options.materialise_after
@options.end_with
def worker(data: Path, database: str, materialise_after: float, end_with: int | None) -> None:
    """Materialise added slides when they are due; 'serve' starts one by itself."""
    with options.importing():
        from logging.config import dictConfig

        from gateway.bootstrap import open_services
        from gateway.jobs.local import end_with_parent, materialise_forever
        from gateway.telemetry.logs import LOGGING

    dictConfig(LOGGING)
    if end_with is not None:
        end_with_parent(end_with)
    with options.errors_told():
        materialise_forever(
            open_services(options.settings(data, database, materialise_after)).ingest
        )


@click.command()
@click.argument("folders", nargs=-1, required=True, type=options.Folder())
@options.data
@options.database
@options.settle
@options.metadata
@options.end_with
def watch(
    folders: tuple[Path, ...],
    data: Path,
    database: str,
    settle: float,
    metadata: Path | None,
    end_with: int | None,
) -> None:
    """Add slides when they are completely written; 'serve --watch' does it by itself.

    Temporary and hidden files are left alone. What cannot be added is said once and tried again
    when it changes. Folders may come and go.
    """
    with options.importing():
        from logging.config import dictConfig

        from gateway.bootstrap import open_watch
        from gateway.jobs.local import end_with_parent
        from gateway.settings import watched_folders
        from gateway.telemetry.logs import LOGGING

    dictConfig(LOGGING)
    if end_with is not None:
        end_with_parent(end_with)
    with options.errors_told():
        settings = replace(
            options.settings(data, database, metadata=metadata),
            watched=watched_folders(folders, data),
            settle_s=settle,
        )
        open_watch(settings).run()


@click.command()
@options.port
@click.option("--slide", type=click.Path(path_type=Path), help="Show this slide, not a drawn one.")
@click.option(
    "--data", type=options.Folder(), help="Keep the data here; else they go with the demo."
)
@click.option("--check", is_flag=True, help="Fetch metadata and frames over HTTP, then exit.")
@options.mpp
@options.metadata
def demo(
    port: int,
    slide: Path | None,
    data: Path | None,
    check: bool,
    mpp: float | None,
    metadata: Path | None,
) -> None:
    """Draw a slide, add it, serve it and show it at /."""
    with options.importing():
        from gateway.demo import run

    with options.errors_told():
        sys.exit(run(port, slide, data, check=check, stated_spacing_um=mpp, metadata=metadata))
