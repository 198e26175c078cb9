"""What commands share: options, settings, progress, and how errors are told."""

from __future__ import annotations

import gc
import json as json_text
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from gateway.core.instances import Slide
    from gateway.settings import Settings

FAILED = 1
"""Exit status of a command that could not do all it was asked to."""


class Folder(click.Path):
    """A folder that need not be there yet."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)


data = click.option(
    "--data",
    type=Folder(),
    envvar="SLIDEGATE_DATA",
    default="slidegate-data",
    show_default=True,
    help="Data folder (or SLIDEGATE_DATA).",
)
present_data = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="SLIDEGATE_DATA",
    default="slidegate-data",
    show_default=True,
    help="Data folder (or SLIDEGATE_DATA).",
)
database = click.option(
    "--database",
    envvar="SLIDEGATE_DATABASE",
    default="",
    metavar="URL",
    help="PostgreSQL URL of the index (or SLIDEGATE_DATABASE); SQLite in the data folder if empty.",
)
port = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port; 0 takes a free one.",
)
materialise_after = click.option(
    "--materialise-after",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Write slides as DICOM files this long after they were added, when idle.",
)
end_with = click.option(
    "--end-with", type=int, hidden=True, help="Process whose end ends this one."
)
settle = click.option(
    "--settle",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Add a file of a watched folder when it has not changed for so long.",
)
json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
tile_by = click.option(
    "--tile-by",
    type=click.Choice(["stripes", "crop"]),
    help="How slides without tiles (NDPI) become frames: stripes of the scanner joined, or square "
    "tiles cut without loss by libjpeg-turbo; what is better here if this is not said.",
)
focal_planes = click.option(
    "--focal-planes",
    type=click.Choice(["middle", "all"]),
    default="middle",
    show_default=True,
    help="Of scans of several focal planes (NDPI): the middle one, or all of them as a series of "
    "its own, which few viewers can show.",
)
mpp = click.option(
    "--mpp",
    type=click.FloatRange(0.01, 100),
    help="Pixel spacing of the base level in micrometres, for a file that does not state it.",
)

metadata = click.option(
    "--metadata",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SLIDEGATE_METADATA",
    help="Worklist (JSON or CSV) that says whose slides they are (or SLIDEGATE_METADATA).",
)

public_url = click.option(
    "--public-url",
    envvar="SLIDEGATE_PUBLIC_URL",
    default="",
    metavar="URL",
    help="URL of the server for its clients, such as https://pacs.example/pathology behind a "
    "proxy (or SLIDEGATE_PUBLIC_URL): URLs in answers begin with it.",
)
wado_url = click.option(
    "--wado-url",
    envvar="SLIDEGATE_WADO_URL",
    default="",
    metavar="URL",
    help="DICOMweb root of retrieval, if a proxy shows it elsewhere than at /dicom-web of the "
    "public URL (or SLIDEGATE_WADO_URL).",
)
trusted_proxy = click.option(
    "--trusted-proxy",
    "trusted_proxies",
    envvar="SLIDEGATE_TRUSTED_PROXIES",
    multiple=True,
    metavar="CIDR",
    help="Address or network of proxies whose Forwarded and X-Forwarded headers tell the public "
    "URL, if none is configured; may be given several times (or SLIDEGATE_TRUSTED_PROXIES).",
)
cors_origin = click.option(
    "--cors-origin",
    "cors_origins",
    envvar="SLIDEGATE_CORS_ORIGINS",
    multiple=True,
    metavar="ORIGIN",
    help="Origin of a viewer elsewhere, such as https://viewer.example, whose pages may read "
    "answers; may be given several times (or SLIDEGATE_CORS_ORIGINS).",
)

access_log = click.option(
    "--access-log",
    envvar="SLIDEGATE_ACCESS_LOG",
    type=click.Choice(["none", "requests", "all"]),
    default="requests",
    show_default=True,
    help="Which answers get a line in the log, without identifiers: all but frames and probes, or "
    "these too (or SLIDEGATE_ACCESS_LOG).",
)


def settings(
    data: Path,
    database: str,
    after_s: float | None = 60.0,
    metadata: Path | None = None,
) -> Settings:
    """Return the settings that the options of a command state."""
    from gateway.settings import Settings

    return Settings(data, database, after_s, metadata=metadata)


@contextmanager
def importing() -> Iterator[None]:
    """Import without looking for garbage: modules are none, now and when the process ends."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@contextmanager
def errors_told() -> Iterator[None]:
    """End the command with one line that says what is wrong and what to do."""
    try:
        yield
    except GatewayError as error:
        click.echo(f"Error: {error.detail}", err=True)
        sys.exit(FAILED)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal, once there is progress to tell; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        bars: list[ProgressBar[int]] = []

        def advance(done: int, total: int) -> None:
            if not bars:
                bar = click.progressbar(length=total, label=label, file=sys.stderr)
                bars.append(stack.enter_context(bar))
            bars[0].length = total
            bars[0].update(done - bars[0].pos)

        yield advance


def emit(record: dict[str, object], text: str, as_json: bool) -> None:
    """Print one result, for people or for programs."""
    click.echo(json_text.dumps(record) if as_json else text)


def emit_slide(slide: Slide, path: str, empty: list[str], provenance: str, as_json: bool) -> None:
    """Print a slide that is served now, what nobody stated of it, and what was done to it."""
    record: dict[str, object] = {
        "study": slide.study,
        "series": slide.series,
        "instances": slide.instances,
        "state": slide.state.value,
        "identity": slide.identified.value,
        "path": path,
        "empty": empty,
        "provenance": provenance,
    }
    text = f"{path}: study {slide.study}, {slide.instances} instances, {slide.state.value}"
    text += f"\n  identity: {slide.identified.value}"
    text += f"; nobody stated: {', '.join(empty)}" if empty else ""
    text += f"\n  {provenance}" if provenance else ""
    emit(record, text, as_json)
