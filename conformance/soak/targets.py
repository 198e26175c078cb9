"""What the fuzz run feeds with bytes: every reader of what comes from outside."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path

from conformance.soak.slides import SLIDES, FuzzedSlide
from converters.codecs import lossless
from converters.codecs.jpeg import frame_prefix, join_strips
from converters.library import ScannerFiles
from converters.sources import FORMATS
from gateway.core.bitstreams import jpeg_2000_frame, jpeg_frame, restart_intervals, states_rgb
from gateway.core.errors import GatewayError, InvalidDataset, InvalidInput
from gateway.core.frames import Crop, TileGrid
from gateway.dicom.gate import Outcome, examine, summarise
from gateway.dicom.streams.part10 import encode_header
from gateway.dicom.streams.reader import ReadPart10, read_part10
from gateway.dicomweb.http.incoming import IncomingParts, content_type

_EOI = b"\xff\xd9"
BOUNDARY = "fuzz"
"""That of the bodies that are taken apart."""

_MEMORY_DISK = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Target:
    """A reader.

    Parameters
    ----------
    attempt
        Reads bytes; whatever they are, it returns or raises one of our errors.
    cases
        Number of cases of a full run.
    """

    attempt: Callable[[bytes], None]
    cases: int


def refusal(attempt: Callable[[bytes], None], data: bytes) -> GatewayError | None:
    """Read a case; return the error that it was refused with, or None.

    Raises
    ------
    Exception
        Any error that is no refusal: a foreign one, one that says that we do not know what
        happened, and one that hides that there was not enough memory.
    """
    try:
        attempt(data)
    except GatewayError as error:
        if type(error) is GatewayError or _for_want_of_memory(error):
            raise
        return error
    return None


def _for_want_of_memory(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, MemoryError):
        cause = cause.__cause__
    return cause is not None


def _svs(data: bytes) -> None:
    """Add a file that may be a slide."""
    path = _scratch() / "slide.svs"
    path.write_bytes(data)
    ScannerFiles().plan(str(path))


def _slide(module: str, data: bytes) -> None:
    """Add a slide that has other headers."""
    if module not in _fuzzed:
        _fuzzed[module] = SLIDES[module](_scratch())
    _fuzzed[module].read(data)


def _scratch() -> Path:
    """Return a folder in memory, the same at each call."""
    if not _made:
        where = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
        _made.append(tempfile.TemporaryDirectory(prefix="slidegate-fuzz-", dir=where))
    return Path(_made[0].name)


_made: list[tempfile.TemporaryDirectory[str]] = []
_fuzzed: dict[str, FuzzedSlide] = {}


def _jpeg(data: bytes) -> None:
    """Walk one or several JPEGs, and join them as strips with and without tables."""
    streams = [part + _EOI for part in data.split(_EOI)]
    for stream in streams:
        restart_intervals(stream)
        for walk in (jpeg_frame, states_rgb):
            with suppress(GatewayError):
                walk(stream)
    rgb = bool(len(data) % 2)
    with suppress(GatewayError):
        frame_prefix(streams[0], rgb=rgb, tiles=streams[1:])
    with suppress(GatewayError):
        join_strips(streams, b"", rgb=rgb)
    join_strips(streams[1:] or streams, streams[0], rgb=rgb)


def _cut(data: bytes) -> None:
    """Cut a block of NDPI into tiles, as a request for one of them does."""
    lossless.cut(data, Crop(TileGrid(96, 64, 32, 32), 3, 2))


def _jpeg_2000(data: bytes) -> None:
    jpeg_2000_frame(data)


def _part10(data: bytes) -> None:
    _read_part10(data)


def _read_part10(data: bytes) -> ReadPart10:
    view = memoryview(data)
    return read_part10(lambda offset, length: view[offset : offset + length], len(data))


def _gate(data: bytes) -> None:
    """Read an object, examine it, and write it anew if that repairs it."""
    found = _read_part10(data)
    verdict = examine(
        found.dataset,
        found.transfer_syntax,
        found.frames,
        lambda offset, length: data[offset : offset + length],
        wrong_offsets=found.wrong_offsets,
        moment=datetime.fromtimestamp(0, UTC),
    )
    summarise(found.dataset)
    if verdict.repaired is not None:
        encode_header(verdict.repaired, found.transfer_syntax)
    if verdict.outcome is Outcome.HELD:
        raise InvalidDataset(" ".join(finding.message for finding in verdict.findings))


def _incoming(data: bytes) -> None:
    """Take the body of a store apart; the same parts come of it whatever pieces it comes in."""
    step = data[0] + 1 if data else 1
    assert _parts(data, step) == _parts(data, len(data) + 1)
    for _ in IncomingParts(BytesIO(data).read, BOUNDARY):
        pass


def _parts(data: bytes, step: int) -> list[tuple[str, bytes]]:
    """Return the parts as far as they can be read, and the kind of error that ended them."""
    stream, found = BytesIO(data), list[tuple[str, bytes]]()
    try:
        for part in IncomingParts(lambda count: stream.read(min(step, count)), BOUNDARY):
            kind, _ = content_type(part.headers.get("content-type", ""))
            chunks = [bytes(buffer) for chunk in part.chunks for buffer in chunk]
            found.append((kind, b"".join(chunks)))
    except InvalidInput as error:
        found.append((error.code, b""))
    return found


_OPENED_BY_OPENSLIDE = {"converters.formats.vms", "converters.formats.mirax"}
"""Its readers are not ours, and slower."""

TARGETS = {
    **{
        row.module: Target(
            partial(_slide, row.module) if row.module in SLIDES else _svs,
            5_000 if row.module in _OPENED_BY_OPENSLIDE else 20_000,
        )
        for row in FORMATS
    },
    "jpeg": Target(_jpeg, 300_000),
    "jpeg2000": Target(_jpeg_2000, 250_000),
    "part10": Target(_part10, 300_000),
    "gate": Target(_gate, 60_000),
    "incoming": Target(_incoming, 300_000),
    **({"cut": Target(_cut, 100_000)} if lossless.available() else {}),
}
"""By name; a scanner's format is named by its module."""
