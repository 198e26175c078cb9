"""Walks over JPEG."""

import itertools

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bitstreams import SOS, jpeg_frame, jpeg_segments, restart_intervals
from gateway.core.errors import InvalidInput

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
JPEG = bytes(imagecodecs.jpeg8_encode(PIXELS, level=80, subsampling="422"))


def test_the_frame_header_is_read() -> None:
    head = jpeg_frame(JPEG)
    assert (head.columns, head.rows, head.precision, head.baseline) == (56, 40, 8, True)
    assert head.mcu == (16, 8)
    assert head.subsampled


def test_segments_lie_one_after_the_other_up_to_the_scan() -> None:
    found = list(jpeg_segments(JPEG))
    assert found[0].start == 2
    assert all(one.stop == next_.start for one, next_ in itertools.pairwise(found))
    assert found[-1].marker == SOS


@given(st.integers(0, len(JPEG) - 1))
def test_a_jpeg_cut_anywhere_is_told_or_whole_up_to_its_scan(length: int) -> None:
    scan = list(jpeg_segments(JPEG))[-1].stop
    if length >= scan:
        assert jpeg_frame(JPEG[:length]) == jpeg_frame(JPEG)
    else:
        with pytest.raises(InvalidInput):
            list(jpeg_segments(JPEG[:length]))


@given(st.binary(max_size=300))
def test_any_bytes_end_in_an_answer(data: bytes) -> None:
    for stream in (data, b"\xff\xd8" + data, JPEG[:20] + data):
        try:
            jpeg_frame(stream)
        except InvalidInput:
            continue


@given(st.lists(st.binary(max_size=20).map(lambda part: part.replace(b"\xff", b"\xff\x00"))))
def test_restart_intervals_are_found_where_their_markers_are(parts: list[bytes]) -> None:
    scan = b"".join(part + bytes((0xFF, 0xD0 + number % 8)) for number, part in enumerate(parts))
    assert restart_intervals(scan) == [*parts, b""]
