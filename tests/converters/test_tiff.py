"""TIFF files are opened within bounds."""

import struct
import tracemalloc
from pathlib import Path

import pytest

from converters.tiff import opened
from gateway.core.errors import SlideUnreadable
from tests.ndpi import make_ndpi

MCU_STARTS = 65426


def test_a_tag_that_lies_costs_no_memory(tmp_path: Path) -> None:
    """Of the first stripe's place tifffile believes that all before it is a header."""
    path = tmp_path / "slide.ndpi"
    make_ndpi(path, columns=256, rows=64, stripe=64, factors=(1,), plain=())
    data = bytearray(path.read_bytes())
    tag = data.index(struct.pack("<HH", MCU_STARTS, 4))
    (values,) = struct.unpack_from("<I", data, tag + 8)
    struct.pack_into("<I", data, values, 0xFFFFFFF0)
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(SlideUnreadable), opened(path) as tiff:
            assert list(tiff.pages)
            raise SlideUnreadable
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
