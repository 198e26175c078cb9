"""Walks over JPEG 2000 main headers."""

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bitstreams import COD, SOT, Jpeg2000Frame, jpeg_2000_frame, jpeg_2000_segments
from gateway.core.errors import InvalidInput

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def encode(*, reversible: bool, transform: bool) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            PIXELS, level=0 if reversible else 40, codecformat="j2k",
            reversible=reversible, mct=transform,
        )
    )  # fmt: skip


STREAM = encode(reversible=False, transform=True)
HEADER = jpeg_2000_frame(STREAM).header_bytes
COMPONENTS = st.tuples(st.integers(0, 37), st.integers(1, 255), st.integers(1, 255), st.booleans())


def stream_of(
    components: list[tuple[int, int, int, bool]],
    *,
    transform: int = 0,
    wavelets: tuple[int, ...] = (0,),
    quantisations: tuple[int, ...] = (2,),
) -> bytes:
    """Return a main header of 300 x 200 pixels; wavelet and quantisation for COD, COC, COC..."""

    def segment(marker: int, payload: bytes) -> bytes:
        return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2) + payload

    sides = b"".join(side.to_bytes(4) for side in (310, 220, 10, 20, 64, 48, 0, 0))
    table = b"".join(bytes((bits | sign << 7, h, v)) for bits, h, v, sign in components)
    size = bytes(2) + sides + len(components).to_bytes(2) + table
    style = bytes((5, 4, 4, 0))
    parts = [
        segment(0x51, size),
        segment(0x52, bytes((0, 0, 0, 3, transform)) + style + bytes(wavelets[:1])),
    ]
    parts += [
        segment(0x53, bytes((number, 0)) + style + bytes((wavelet,)))
        for number, wavelet in enumerate(wavelets[1:])
    ]
    parts += [segment(0x5C, bytes((quantisations[0], 0, 0)))]
    parts += [
        segment(0x5D, bytes((number, quantisation, 0)))
        for number, quantisation in enumerate(quantisations[1:])
    ]
    return b"\xff\x4f" + b"".join(parts) + b"\xff\x90"


@pytest.mark.parametrize("reversible", [True, False])
@pytest.mark.parametrize("transform", [True, False])
def test_a_main_header_is_read_as_it_was_written(reversible: bool, transform: bool) -> None:
    head = jpeg_2000_frame(encode(reversible=reversible, transform=transform))
    assert (head.columns, head.rows, head.precisions) == (56, 40, (8, 8, 8))
    assert (head.tile_columns, head.tile_rows, head.tiles) == (56, 40, 1)
    assert head.signed == (False, False, False)
    assert head.sampling == ((1, 1), (1, 1), (1, 1))
    assert head.layers == 1
    assert head.component_transform is transform
    assert head.reversible is reversible
    assert not head.subsampled and not head.high_throughput


def test_high_throughput_is_told_apart() -> None:
    assert jpeg_2000_frame(bytes(imagecodecs.htj2k_encode(PIXELS))).high_throughput


def test_what_lies_beside_the_usual_is_read_too() -> None:
    components = [(7, 1, 1, False), (11, 2, 1, True), (7, 2, 2, False)]
    head = jpeg_2000_frame(stream_of(components))
    assert (head.columns, head.rows) == (300, 200)  # the corner of the image is not at 0, 0
    assert (head.tile_columns, head.tile_rows, head.tiles) == (64, 48, 5 * 5)
    assert head.precisions == (8, 12, 8)
    assert head.signed == (False, True, False)
    assert head.sampling == ((1, 1), (2, 1), (2, 2))
    assert head.subsampled
    assert (head.layers, head.decompositions) == (3, 5)


@pytest.mark.parametrize(
    ("wavelets", "quantisations", "reversible"),
    [
        ((1,), (0,), True),
        ((0,), (0,), False),
        ((1,), (1,), False),
        ((1, 0), (0,), False),
        ((1,), (0, 2), False),
        ((0, 1, 1, 1), (2, 0, 0, 0), True),
    ],
)
def test_one_component_with_loss_makes_the_stream_one_with_loss(
    wavelets: tuple[int, ...], quantisations: tuple[int, ...], reversible: bool
) -> None:
    three = [(7, 1, 1, False)] * 3
    stream = stream_of(three, wavelets=wavelets, quantisations=quantisations)
    assert jpeg_2000_frame(stream).reversible is reversible


@given(st.lists(COMPONENTS, min_size=1, max_size=300))
def test_every_component_is_described(components: list[tuple[int, int, int, bool]]) -> None:
    head = jpeg_2000_frame(stream_of(components))
    assert head.precisions == tuple(bits + 1 for bits, _, _, _ in components)
    assert head.sampling == tuple((h, v) for _, h, v, _ in components)
    assert head.signed == tuple(sign for *_, sign in components)


def test_segments_lie_one_after_the_other_up_to_the_first_tile() -> None:
    found = list(jpeg_2000_segments(STREAM))
    assert found[0].start == 2
    assert STREAM[found[-1].stop : found[-1].stop + 2] == bytes((0xFF, SOT))
    assert found[-1].stop == HEADER


@pytest.mark.parametrize(
    "components",
    [[(38, 1, 1, False)], [(7, 0, 1, False)], [(7, 1, 0, False)], []],
)
def test_impossible_components_are_refused(components: list[tuple[int, int, int, bool]]) -> None:
    with pytest.raises(InvalidInput):
        jpeg_2000_frame(stream_of(components))


@pytest.mark.parametrize(("place", "value"), [(8, 0), (8, 2), (13, 2)])
def test_what_another_part_of_the_standard_means_is_refused(place: int, value: int) -> None:
    damaged = bytearray(stream_of([(7, 1, 1, False)] * 2, transform=1))
    style = next(one for one in jpeg_2000_segments(bytes(damaged)) if one.marker == COD)
    damaged[style.start + place] = value  # transform of components, wavelet
    if value:
        with pytest.raises(InvalidInput):
            jpeg_2000_frame(bytes(damaged))
    else:
        assert not jpeg_2000_frame(bytes(damaged)).component_transform


def test_a_transform_of_components_needs_three() -> None:
    with pytest.raises(InvalidInput):
        jpeg_2000_frame(stream_of([(7, 1, 1, False)] * 2, transform=1))


def test_boxes_of_a_jp2_file_are_no_code_stream() -> None:
    boxed = bytes(imagecodecs.jpeg2k_encode(PIXELS, level=0, codecformat="jp2"))
    with pytest.raises(InvalidInput):
        jpeg_2000_frame(boxed)


@given(st.integers(0, len(STREAM)))
def test_a_stream_cut_anywhere_is_told_or_whole_up_to_its_tiles(length: int) -> None:
    if length >= HEADER + 2:
        assert jpeg_2000_frame(STREAM[:length]) == jpeg_2000_frame(STREAM)
    else:
        with pytest.raises(InvalidInput):
            jpeg_2000_frame(STREAM[:length])


@given(st.integers(0, HEADER - 1), st.binary(min_size=1, max_size=12))
def test_damage_ends_in_an_answer(place: int, bytes_there: bytes) -> None:
    damaged = STREAM[:place] + bytes_there + STREAM[place + len(bytes_there) :]
    for stream in (damaged, STREAM[:place] + STREAM[place + len(bytes_there) :]):
        try:
            head = jpeg_2000_frame(stream)
        except InvalidInput:
            continue
        assert isinstance(head, Jpeg2000Frame)
        assert head.columns >= 1 and head.rows >= 1 and head.tiles >= 1


@given(st.binary(max_size=300))
def test_any_bytes_end_in_an_answer(data: bytes) -> None:
    for stream in (data, b"\xff\x4f\xff\x51" + data, STREAM[:49] + data):
        try:
            jpeg_2000_frame(stream)
        except InvalidInput:
            continue
