"""Commands for slides: add, convert, materialise, check-links."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import options
from gateway.core.errors import GatewayError, Unmatched

if TYPE_CHECKING:
    from gateway.services.ingest import Ingest
    from gateway.services.receive import Receive, Received
    from gateway.store.dicom_files import DicomFiles


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.data
@options.database
@options.mpp
@options.metadata
@options.tile_by
@options.focal_planes
@options.json
def add(
    paths: tuple[Path, ...],
    data: Path,
    database: str,
    mpp: float | None,
    metadata: Path | None,
    tile_by: str | None,
    focal_planes: str,
    as_json: bool,
) -> None:
    """Make slides servable at once; their files stay where they are.

    Works while a server runs on the same data folder. Adding a slide twice is harmless. With a
    worklist, a slide is served under the patient and order of its row, and waits in quarantine if
    it has none ('slidegate match'); see conformance/METADATA.md for the form.

    DICOM files, and folders of them, are copied into the data folder as they are, under the
    patient and the UIDs that they state themselves.

    Slides that have to be decoded (MIRAX, Hamamatsu VMS) are written as DICOM files right away;
    that takes as long as decoding them does.
    """
    with options.importing():
        from converters.formats.companions import companions
        from converters.sources import Choices
        from gateway.bootstrap import open_services
        from gateway.store import dicom_files

    failed = False
    with options.errors_told():
        settings = options.settings(data, database, metadata=metadata)
        services = open_services(settings, Choices.of(tile_by, focal_planes))
    for path in paths:
        try:
            if (found := dicom_files.find(path, companions)) is None:
                _add_slide(services.ingest, path, mpp, as_json)
            else:
                failed |= not _add_objects(services.receive, path, found, as_json)
        except Unmatched as error:
            waits: dict[str, object] = {"path": os.path.abspath(path), "state": "quarantined"}
            waits |= {"reason": error.detail, **error.context}
            options.emit(waits, error.detail, as_json)
            failed = True
        except GatewayError as error:
            click.echo(f"Error: {error.detail}", err=True)
            failed = True
    if failed:
        sys.exit(options.FAILED)


def _add_slide(ingest: Ingest, path: Path, mpp: float | None, as_json: bool) -> None:
    with options.progress(f"decoding {path.name}") as progress:
        slide = ingest.add(os.path.abspath(path), mpp, progress)
    empty, provenance = ingest.empty(slide), ingest.provenance(slide)
    options.emit_slide(slide, os.path.abspath(path), empty, provenance, as_json)


def _add_objects(receive: Receive, path: Path, found: DicomFiles, as_json: bool) -> bool:
    """Receive DICOM files, each for itself; return whether all were taken."""
    taken: Counter[tuple[str, str]] = Counter()
    repaired = 0
    with options.progress(f"receiving {path.name}") as progress:
        for file, chunks in found.streams(progress):
            try:
                received = receive.receive(chunks)
            except GatewayError as error:
                click.echo(f"Error: {file}: {error.detail}", err=True)
                continue
            taken[received.key.study, received.key.series] += 1
            repaired += received.verdict is not None and received.verdict.repaired is not None
            if as_json:
                options.emit(_received_record(received, file), "", as_json)
    if not as_json:
        for (study, series), instances in taken.items():
            click.echo(f"{path}: study {study}, series {series}, {instances} instances received")
        if repaired:
            click.echo(f"{path}: {repaired} of them were repaired; 'slidegate check' tells how")
        if found.skipped:
            click.echo(f"{path}: {found.skipped} files that are no DICOM images were skipped")
    return taken.total() == len(found.files)


def _received_record(received: Received, file: Path) -> dict[str, object]:
    verdict = received.verdict
    return {
        "study": received.key.study,
        "series": received.key.series,
        "instance": received.key.instance,
        "instances": 1,
        "state": "received",
        "verdict": verdict.outcome.value if verdict else "known",
        "path": os.path.abspath(file),
    }


@click.command()
@click.argument("slide", type=click.Path(path_type=Path))
@click.argument("outdir", type=options.Folder())
@options.mpp
@options.metadata
@options.tile_by
@options.focal_planes
@options.json
def convert(
    slide: Path,
    outdir: Path,
    mpp: float | None,
    metadata: Path | None,
    tile_by: str | None,
    focal_planes: str,
    as_json: bool,
) -> None:
    """Write a slide as DICOM files into a folder, without a server."""
    with options.importing():
        from converters.convert import convert as convert_slide
        from converters.sources import Choices
        from gateway.store.files import FileStore

    with options.errors_told(), options.progress("converting") as progress:
        store = FileStore(outdir)
        store.sweep(deep=False)
        empty: dict[str, None] = {}
        provenance = ""
        for one in convert_slide(
            slide,
            store,
            stated_spacing_um=mpp,
            worklist=metadata,
            choices=Choices.of(tile_by, focal_planes),
            progress=progress,
        ):
            empty |= dict.fromkeys(one.empty)
            provenance = one.provenance
            record: dict[str, object] = {
                "file": str(outdir / one.name),
                "sop_instance": one.sop_instance,
                "image_type": one.image_type,
                "frames": one.frames,
                "empty": one.empty,
                "provenance": one.provenance,
            }
            text = f"{outdir / one.name}: {one.image_type}, {one.frames} frames"
            options.emit(record, text, as_json)
        if empty and not as_json:
            click.echo(f"nobody stated: {', '.join(empty)}")
        if provenance and not as_json:
            click.echo(provenance)


@click.command()
@click.argument("studies", nargs=-1)
@options.present_data
@options.database
def materialise(studies: tuple[str, ...], data: Path, database: str) -> None:
    """Write linked slides as DICOM files now: all, or those of some studies."""
    with options.importing():
        from gateway.bootstrap import open_services

    with options.errors_told():
        services = open_services(options.settings(data, database))
        services.store.sweep()
        slides = services.ingest.slides(studies)
        if missing := set(studies) - {slide.study for slide in slides}:
            click.echo(f"Error: no slide of study {', '.join(sorted(missing))}.", err=True)
            sys.exit(options.FAILED)
    failed = False
    for slide in slides:
        try:
            with options.progress("materialising") as progress:
                services.ingest.materialise(slide, progress)
            click.echo(f"{slide.study}: materialised")
        except GatewayError as error:
            click.echo(f"Error: study {slide.study}: {error.detail}", err=True)
            failed = True
    if failed:
        sys.exit(options.FAILED)


@click.command("check-links")
@options.present_data
@options.database
@options.json
def check_links(data: Path, database: str, as_json: bool) -> None:
    """List linked slides whose scanner file is missing or changed; exit 1 if there are any."""
    with options.importing():
        from gateway.bootstrap import open_services

    with options.errors_told():
        broken = open_services(options.settings(data, database)).links.broken()
    for slide, error in broken:
        record: dict[str, object] = {
            "study": slide.study,
            "path": slide.file.path,
            "state": error.code,
            "detail": error.detail,
        }
        options.emit(record, f"{slide.file.path}: {error.code} (study {slide.study})", as_json)
    if broken:
        sys.exit(options.FAILED)
    if not as_json:
        click.echo("All linked slides are where they were.")
