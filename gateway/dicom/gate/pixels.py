"""Rules of bit streams: they hold what the header says (PS3.5 8, PS3.3 C.8.12.4.1.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gateway.core.bitstreams import jpeg_frame, states_rgb
from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.frames import FrameTable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE
from gateway.core.ports import Buffer
from gateway.dicom.gate.items import Item
from gateway.dicom.gate.verdict import Finding

Read = Callable[[int, int], Buffer]

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"

NATIVE = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN})
LOSSY = {
    JPEG_BASELINE: "ISO_10918_1",
    JPEG_EXTENDED: "ISO_10918_1",
}
"""Syntaxes that always lose something -> the method of it (PS3.3 C.7.6.1.1.5.1)."""

_LOOKED_AT = 8
"""Frames looked at: the first, the last, and some between."""

_HEAD = 1 << 16
"""Bytes in which the headers of a bit stream end."""


def pixel_faults(
    item: Item, transfer_syntax: str, frames: FrameTable, read: Read
) -> Iterator[Finding]:
    """Yield what is wrong with the bit streams of an image: one finding of each kind."""
    if transfer_syntax in LOSSY and item.text("LossyImageCompression") == "00":
        yield Finding(
            "WSI-LOSSY",
            "LossyImageCompression is 00; the transfer syntax loses detail always.",
            "Have the sender write 01, with ratio and method of the compression.",
        )
    look = _LOOKS.get(transfer_syntax)
    if look is None:
        return
    seen: set[str] = set()
    for number in _chosen(len(frames)):
        stream = _head(frames, number, read)
        found = _damaged(number) if stream is None else next(look(item, stream, number), None)
        if found is not None and found.rule not in seen:
            seen.add(found.rule)
            yield found


def _chosen(count: int) -> list[int]:
    """Return frame numbers, from 1: the first, the last, and some between."""
    return sorted({int(place) + 1 for place in np.linspace(0, count - 1, _LOOKED_AT)})


def _head(frames: FrameTable, number: int, read: Read) -> bytes | None:
    try:
        return frames.bitstream(
            number, lambda place, length: bytes(read(place, min(length, _HEAD)))
        )
    except (GatewayError, OSError):
        return None


def _damaged(number: int) -> Finding:
    return Finding(
        "WSI-BITSTREAM",
        f"The bit stream of frame {number} is damaged or not of the transfer syntax.",
        "Have the sender send the object again, in the transfer syntax that it states.",
    )


def _jpeg(item: Item, stream: bytes, number: int) -> Iterator[Finding]:
    try:
        frame, rgb = jpeg_frame(stream), states_rgb(stream)
    except InvalidInput:
        yield _damaged(number)
        return
    rows, columns = item.count("Rows"), item.count("Columns")
    if (frame.rows, frame.columns) != (rows, columns):
        yield _size(number, frame.columns, frame.rows, item)
    components = len(frame.sampling)
    if components != item.count("SamplesPerPixel") or frame.precision != item.count("BitsStored"):
        yield _samples(number, components, frame.precision, item)
    yield from _jpeg_colour(item, number, rgb if components == 3 else None)


def _jpeg_colour(item: Item, number: int, rgb: bool | None) -> Iterator[Finding]:
    stated = item.text("PhotometricInterpretation")
    if stated.startswith("MONOCHROME"):
        return
    if (stated == "RGB" and rgb is False) or (stated != "RGB" and rgb):
        yield _colour(number, "R, G and B" if rgb else "Y, Cb and Cr", stated)
    elif stated == "RGB" and rgb is None:
        yield Finding.warning(
            "WSI-COLOUR-UNSTATED",
            f"The JPEG of frame {number} has R, G and B by PhotometricInterpretation, and no "
            "marker that tells so: who sees the frame alone, as browsers do, shows wrong colours.",
            "The sender should write an Adobe APP14 marker into each frame.",
        )


def _native(item: Item, stream: bytes, number: int) -> Iterator[Finding]:
    samples = 2 if item.text("PhotometricInterpretation") == "YBR_FULL_422" else 0
    samples = samples or item.count("SamplesPerPixel")
    size = item.count("Rows") * item.count("Columns") * samples * item.count("BitsAllocated") // 8
    if size and len(stream) < min(size, _HEAD):
        yield _damaged(number)


def _size(number: int, columns: int, rows: int, item: Item) -> Finding:
    return Finding(
        "WSI-TILE-SIZE",
        f"The bit stream of frame {number} is {columns} x {rows} pixels; Columns x Rows is "
        f"{item.count('Columns')} x {item.count('Rows')}.",
        "Have the sender pad tiles at the edges; dicom-microscopy-viewer leaves them blank.",
    )


def _samples(number: int, components: int, precision: int, item: Item) -> Finding:
    return Finding(
        "WSI-SAMPLES",
        f"The bit stream of frame {number} has {components} components of {precision} bits; the "
        f"header says {item.count('SamplesPerPixel')} of {item.count('BitsStored')}.",
        "Have the sender state what the pixels are.",
    )


def _colour(number: int, found: str, stated: str) -> Finding:
    return Finding(
        "WSI-COLOUR",
        f"The bit stream of frame {number} has the components {found}; PhotometricInterpretation "
        f"is {stated}.",
        "Have the sender state what the pixels are; colours would be shown wrong.",
    )


Look = Callable[[Item, bytes, int], Iterator[Finding]]
_LOOKS: dict[str, Look] = {
    JPEG_BASELINE: _jpeg,
    JPEG_EXTENDED: _jpeg,
    IMPLICIT_VR_LITTLE_ENDIAN: _native,
    EXPLICIT_VR_LITTLE_ENDIAN: _native,
}
