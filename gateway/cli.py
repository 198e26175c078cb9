"""The command line. Each command imports what it needs when it runs: people wait for imports."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway import __version__
from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    from gateway.settings import Settings

_FAILED = 1

# Nothing here does linear algebra, and numpy's import would start threads for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


class _Folder(click.Path):
    """A folder that need not be there yet."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)


_data = click.option(
    "--data",
    type=_Folder(),
    envvar="SLIDEGATE_DATA",
    default="slidegate-data",
    show_default=True,
    help="Data folder (or SLIDEGATE_DATA).",
)
_present_data = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="SLIDEGATE_DATA",
    default="slidegate-data",
    show_default=True,
    help="Data folder (or SLIDEGATE_DATA).",
)
_database = click.option(
    "--database",
    envvar="SLIDEGATE_DATABASE",
    default="",
    metavar="URL",
    help="PostgreSQL URL of the index (or SLIDEGATE_DATABASE); SQLite in the data folder if empty.",
)
_port = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port; 0 takes a free one.",
)
_materialise_after = click.option(
    "--materialise-after",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Write slides as DICOM files this long after they were added, when idle.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_mpp = click.option(
    "--mpp",
    type=click.FloatRange(0.01, 100),
    help="Pixel spacing of the base level in micrometres, for a file that does not state it.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="slidegate")
def main() -> None:
    """Slidegate: scanner files in, DICOMweb out."""


def _settings(data: Path, database: str, after_s: float | None = 60.0) -> Settings:
    from gateway.settings import Settings

    return Settings(data, database, after_s)


@contextmanager
def _importing() -> Iterator[None]:
    """Import without looking for garbage: modules are none, now and when the process ends."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@contextmanager
def _errors_told() -> Iterator[None]:
    """End the command with one line that says what is wrong and what to do."""
    try:
        yield
    except GatewayError as error:
        click.echo(f"Error: {error.detail}", err=True)
        sys.exit(_FAILED)


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield advance


def _emit(record: dict[str, object], text: str, as_json: bool) -> None:
    # A file name need not be UTF-8; JSON escapes what is not.
    click.echo(json.dumps(record) if as_json else text.encode(errors="replace").decode())


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@_data
@_database
@_mpp
@_json
def add(
    paths: tuple[Path, ...], data: Path, database: str, mpp: float | None, as_json: bool
) -> None:
    """Make slides servable at once; their files stay where they are.

    Works while a server runs on the same data folder. Adding a slide twice is harmless.
    """
    with _importing():
        from gateway.bootstrap import open_services

    failed = False
    with _errors_told():
        ingest = open_services(_settings(data, database)).ingest
    for path in paths:
        try:
            slide = ingest.add(os.path.abspath(path), mpp)
        except GatewayError as error:
            click.echo(f"Error: {error.detail}", err=True)
            failed = True
            continue
        record: dict[str, object] = {
            "study": slide.study,
            "series": slide.series,
            "instances": slide.instances,
            "state": slide.state.value,
            "path": os.path.abspath(path),
        }
        text = f"{path}: study {slide.study}, {slide.instances} instances, {slide.state.value}"
        _emit(record, text, as_json)
    if failed:
        sys.exit(_FAILED)


@main.command()
@_data
@_database
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@_port
@_materialise_after
@click.option("--no-materialise", is_flag=True, help="Leave slides linked.")
def serve(
    data: Path,
    database: str,
    host: str,
    port: int,
    materialise_after: float,
    no_materialise: bool,
) -> None:
    """Serve DICOMweb at /dicom-web and a viewer at /."""
    with _importing():
        from gateway.bootstrap import serve as serve_forever
        from gateway.settings import loopback_address

    with _errors_told():
        settings = _settings(data, database, None if no_materialise else materialise_after)
        address = loopback_address(host, port)
        click.echo("No identity provider is configured: only this machine is served.", err=True)
        serve_forever(settings, address)


@main.command()
@click.argument("slide", type=click.Path(path_type=Path))
@click.argument("outdir", type=_Folder())
@_mpp
@_json
def convert(slide: Path, outdir: Path, mpp: float | None, as_json: bool) -> None:
    """Write a slide as DICOM files into a folder, without a server."""
    with _importing():
        from converters.convert import convert as convert_slide
        from gateway.store.files import FileStore

    with _errors_told(), _progress("converting") as progress:
        store = FileStore(outdir)
        store.sweep(deep=False)
        for one in convert_slide(slide, store, stated_spacing_um=mpp, progress=progress):
            record: dict[str, object] = {
                "file": str(outdir / one.name),
                "sop_instance": one.sop_instance,
                "image_type": one.image_type,
                "frames": one.frames,
            }
            text = f"{outdir / one.name}: {one.image_type}, {one.frames} frames"
            _emit(record, text, as_json)


@main.command()
@click.argument("studies", nargs=-1)
@_present_data
@_database
def materialise(studies: tuple[str, ...], data: Path, database: str) -> None:
    """Write linked slides as DICOM files now: all, or those of some studies."""
    with _importing():
        from gateway.bootstrap import open_services

    with _errors_told():
        services = open_services(_settings(data, database))
        services.store.sweep()
        slides = services.ingest.slides(studies)
        if missing := set(studies) - {slide.study for slide in slides}:
            click.echo(f"Error: no slide of study {', '.join(sorted(missing))}.", err=True)
            sys.exit(_FAILED)
    failed = False
    for slide in slides:
        try:
            with _progress("materialising") as progress:
                services.ingest.materialise(slide, progress)
            click.echo(f"{slide.study}: materialised")
        except GatewayError as error:
            click.echo(f"Error: study {slide.study}: {error.detail}", err=True)
            failed = True
    if failed:
        sys.exit(_FAILED)


@main.command("check-links")
@_present_data
@_database
@_json
def check_links(data: Path, database: str, as_json: bool) -> None:
    """List linked slides whose scanner file is missing or changed; exit 1 if there are any."""
    with _importing():
        from gateway.bootstrap import open_services

    with _errors_told():
        broken = open_services(_settings(data, database)).links.broken()
    for slide, error in broken:
        record: dict[str, object] = {
            "study": slide.study,
            "path": slide.file.path,
            "state": error.code,
            "detail": error.detail,
        }
        _emit(record, f"{slide.file.path}: {error.code} (study {slide.study})", as_json)
    if broken:
        sys.exit(_FAILED)
    if not as_json:
        click.echo("All linked slides are where they were.")


@main.command()
@_present_data
@_database
@_materialise_after
@click.option("--end-with", type=int, hidden=True, help="Process whose end ends this one.")
def worker(data: Path, database: str, materialise_after: float, end_with: int | None) -> None:
    """Materialise added slides when they are due; 'serve' starts one by itself."""
    with _importing():
        from gateway.bootstrap import open_services
        from gateway.jobs.local import end_with_parent, materialise_forever

    if end_with is not None:
        end_with_parent(end_with)
    with _errors_told():
        materialise_forever(open_services(_settings(data, database, materialise_after)).ingest)


@main.command()
@_port
@click.option("--slide", type=click.Path(path_type=Path), help="Show this slide, not a drawn one.")
@click.option("--data", type=_Folder(), help="Keep the data here; else they go with the demo.")
@click.option("--check", is_flag=True, help="Fetch metadata and frames over HTTP, then exit.")
@_mpp
def demo(port: int, slide: Path | None, data: Path | None, check: bool, mpp: float | None) -> None:
    """Draw a slide, add it, serve it and show it at /."""
    with _importing():
        from gateway.demo import run

    with _errors_told():
        sys.exit(run(port, slide, data, check=check, stated_spacing_um=mpp))


if __name__ == "__main__":
    main()
