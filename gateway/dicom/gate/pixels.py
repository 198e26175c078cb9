"""Rules of bit streams: they hold what the header says (PS3.5 8, PS3.3 C.8.12.4.1.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from gateway.core.bitstreams import Jpeg2000Frame, jpeg_2000_frame, jpeg_frame, states_rgb
from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.frames import FrameTable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE
from gateway.core.storage import Buffer
from gateway.dicom.gate.items import Item
from gateway.dicom.gate.verdict import Finding

Read = Callable[[int, int], Buffer]

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"

JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"

_LOSSY = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
"""Syntaxes that always lose something."""

_LOSSLESS = frozenset({JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL})
"""Syntaxes in which a JPEG 2000 bit stream must lose nothing (PS3.5 A.4.4)."""

_LOOKED_AT = 8
"""Frames looked at: the first, the last, and some between."""

_HEAD = 1 << 16
"""Bytes in which the headers of a bit stream end."""


def pixel_faults(
    item: Item, transfer_syntax: str, frames: FrameTable, read: Read
) -> Iterator[Finding]:
    """Yield what is wrong with the bit streams of an image: one finding of each kind."""
    if transfer_syntax in _LOSSY and item.text("LossyImageCompression") == "00":
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
        for found in (_damaged(number),) if stream is None else look(item, stream, number):
            if found.rule not in seen:
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
        yield _colour(number, "RGB" if rgb else "YBR_FULL_422", stated)
    elif stated == "RGB" and rgb is None:
        yield Finding.warning(
            "WSI-COLOUR-UNSTATED",
            f"The JPEG of frame {number} has R, G and B by PhotometricInterpretation, and no "
            "marker that tells so: who sees the frame alone, as browsers do, shows wrong colours.",
            "The sender should write an Adobe APP14 marker into each frame.",
        )


def _jpeg_2000(
    item: Item, stream: bytes, number: int, *, lossless: bool = False
) -> Iterator[Finding]:
    try:
        frame = jpeg_2000_frame(stream)
    except InvalidInput:
        yield _damaged(number)
        return
    if lossless and not frame.reversible:
        yield _damaged(number)
    if (frame.rows, frame.columns) != (item.count("Rows"), item.count("Columns")):
        yield _size(number, frame.columns, frame.rows, item)
    components, precision = len(frame.precisions), max(frame.precisions)
    if components != item.count("SamplesPerPixel") or precision != item.count("BitsStored"):
        yield _samples(number, components, precision, item)
    stated = item.text("PhotometricInterpretation")
    if components == 3 and stated != (held := _transform(frame)):
        yield _colour(number, held, stated)
    if not frame.reversible and item.text("LossyImageCompression") == "00":
        yield Finding(
            "WSI-LOSSY",
            f"LossyImageCompression is 00; the bit stream of frame {number} is coded with loss.",
            "Have the sender write 01, with ratio and method of the compression.",
        )


def _transform(frame: Jpeg2000Frame) -> str:
    """Return the Photometric Interpretation of a bit stream (PS3.5 8.2.4)."""
    if not frame.component_transform:
        return "RGB"
    return "YBR_RCT" if frame.reversible else "YBR_ICT"


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
        f"The bit stream of frame {number} is {found}; PhotometricInterpretation is {stated}.",
        "Have the sender state what the pixels are; colours would be shown wrong.",
    )


Look = Callable[[Item, bytes, int], Iterator[Finding]]
_LOOKS: dict[str, Look] = {
    JPEG_BASELINE: _jpeg,
    JPEG_EXTENDED: _jpeg,
    JPEG_2000: _jpeg_2000,
    HTJ2K: _jpeg_2000,
    **dict.fromkeys(_LOSSLESS, partial(_jpeg_2000, lossless=True)),
    IMPLICIT_VR_LITTLE_ENDIAN: _native,
    EXPLICIT_VR_LITTLE_ENDIAN: _native,
}
