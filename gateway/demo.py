"""The demonstration: a drawn slide, a server, and something to look at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import click
from PIL import Image

from converters.synthetic import draw_slide
from gateway import bootstrap
from gateway.settings import Address, Settings, loopback_address

_JSON = "application/dicom+json"
_TIMEOUT_S = 30
_DIRECT = build_opener(ProxyHandler({}))  # no proxy stands between us and ourselves


def run(
    port: int,
    slide: Path | None,
    data: Path | None,
    *,
    check: bool,
    stated_spacing_um: float | None = None,
    metadata: Path | None = None,
) -> int:
    """Add a slide, serve it, and say where to look.

    Parameters
    ----------
    port
        Where to serve; 0 takes a free one.
    slide
        What to show; None draws a slide.
    data
        Data folder; None takes one that is removed at the end.
    check
        Fetch metadata and frames over HTTP and end, instead of serving until stopped.
    stated_spacing_um
        Pixel spacing of the slide in micrometres, if it does not state it.
    metadata
        Worklist that says whose slide it is.

    Returns
    -------
    int
        Exit code: 0, or 1 if the check failed.
    """
    if data is None:
        with TemporaryDirectory(prefix="slidegate-demo-") as folder:
            again = partial(run, port, slide, Path(folder), check=check, metadata=metadata)
            return again(stated_spacing_um=stated_spacing_um)
    address = loopback_address("127.0.0.1", port)
    settings = Settings(data, metadata=metadata)
    bootstrap.make_data_folder(data)
    path = os.path.abspath(slide or _drawn(data))  # links stay as given
    added = bootstrap.open_services(settings).ingest.add(path, stated_spacing_um)
    if check:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server ends with us
        return _checked(data, address, added.study)
    click.echo(f"Slides: {address.url}/    DICOMweb: {address.url}/dicom-web    Stop: Ctrl-C")
    bootstrap.serve(settings, address)
    return 0


def _drawn(data: Path) -> Path:
    """Return the drawn slide of a data folder; it is drawn once."""
    path = data / "demo.svs"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        with click.progressbar(length=1, label="Drawing a slide", file=sys.stderr) as bar:

            def advance(done: int, total: int) -> None:
                bar.length = total
                bar.update(done - bar.pos)

            draw_slide(unfinished, progress=advance)
        unfinished.rename(path)
    return path


def _checked(data: Path, address: Address, study: str) -> int:
    try:
        with _server(data, address) as root:
            found = json.loads(_get("studies", f"{root}/studies", _JSON))
            if study not in [_value(one, "0020000D") for one in found]:
                raise LookupError(f"study {study} is not among those found")
            _check_study(f"{root}/studies/{study}")
    except (OSError, ValueError, LookupError) as error:
        click.echo(f"Failed: {error}")
        return 1
    click.echo("All is well.")
    return 0


@contextmanager
def _server(data: Path, address: Address) -> Iterator[str]:
    """Run a server; give its DICOMweb root when it is ready."""
    command = [sys.executable, "-m", "gateway.cli", "serve", "--data", str(data)]
    begin = time.perf_counter()
    with subprocess.Popen(
        [*command, "--port", str(address.port)],
        env=os.environ | {"SLIDEGATE_DATABASE": ""},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline().split()
            if said[:1] != ["ready"]:
                raise OSError("the server did not start; its last words are above")
            click.echo(f"ready after {time.perf_counter() - begin:.2f} s at {said[1]}")
            yield f"{said[1]}/dicom-web"
        finally:
            process.terminate()


def _check_study(study: str) -> None:
    for found in json.loads(_get("series", f"{study}/series?Modality=SM", _JSON)):
        series = f"{study}/series/{_value(found, '0020000E')}"
        for image in json.loads(_get("metadata", f"{series}/metadata", _JSON)):
            flavour = image["00080008"]["Value"][2]
            frames = f"{series}/instances/{_value(image, '00080018')}/frames"
            columns, rows = int(_value(image, "00280011")), int(_value(image, "00280010"))
            if flavour == "VOLUME":
                last = int(_value(image, "00280008"))
                for number in sorted({1, (last + 1) // 2, last}):
                    name = f"{_value(image, '00480006')} columns, frame {number}"
                    _check_jpeg(_get(name, f"{frames}/{number}", "image/jpeg"), (columns, rows))
            elif flavour == "LABEL":
                pixels = _get("label", f"{frames}/1", "application/octet-stream")
                if len(pixels) != 3 * columns * rows:
                    raise ValueError(f"the label is not {columns} x {rows} pixels of three bytes")


def _check_jpeg(bitstream: bytes, size: tuple[int, int]) -> None:
    with Image.open(BytesIO(bitstream), formats=["JPEG"]) as image:
        image.load()
        if image.size != size:
            raise ValueError(f"a frame is of {image.size} pixels and should be of {size}")


def _value(dataset: dict[str, Any], tag: str) -> Any:
    """Return the first value of an attribute in the DICOM JSON Model."""
    return dataset[tag]["Value"][0]


def _get(name: str, url: str, accept: str) -> bytes:
    """Fetch, and say what came."""
    begin = time.perf_counter()
    request = Request(url, headers={"Accept": accept})
    with _DIRECT.open(request, timeout=_TIMEOUT_S) as answer:
        body: bytes = answer.read()
    took_ms = 1000 * (time.perf_counter() - begin)
    click.echo(f"{name:<32} {took_ms:8.1f} ms {len(body):10,} bytes")
    return body
