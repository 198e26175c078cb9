"""Tile grids and frame tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import FrameNotFound, GatewayError
from gateway.core.frames import Crop, CropTable, FrameTable, FrameTableHead, Read, TileGrid

sizes = st.integers(1, 5000)
tiles = st.integers(1, 600)
large = st.integers(50, 600)
SIZE = FrameTableHead.FIXED.size


@pytest.mark.req("REQ-WSI-10")
@given(sizes, sizes, tiles, tiles, st.data())
def test_frame_number_and_position_undo_each_other(
    columns: int, rows: int, tile_columns: int, tile_rows: int, data: st.DataObject
) -> None:
    grid = TileGrid(columns, rows, tile_columns, tile_rows)
    number = data.draw(st.integers(1, grid.count))
    tile_row, tile_column = grid.position(number)
    assert grid.frame_number(tile_row, tile_column) == number
    assert 0 <= tile_column < grid.across
    assert 0 <= tile_row < grid.down


@st.composite
def tables(draw: st.DrawFn) -> tuple[FrameTable, bytes]:
    """Draw a table of one or several pieces, some of them literals, and what it points into."""
    source = draw(st.binary(min_size=1, max_size=300))
    literals = draw(st.binary(max_size=40))
    frames, pieces = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    places = []
    for _ in range(frames * pieces):
        literal = bool(literals) and draw(st.booleans())
        size = len(literals if literal else source)
        start = draw(st.integers(0, size - 1))
        places.append((-1 - start if literal else start, draw(st.integers(0, size - start))))
    shape = (frames, pieces) if pieces > 1 or draw(st.booleans()) else (frames,)
    offsets, lengths = (np.reshape(side, shape) for side in np.array(places, np.int64).T)
    joints = tuple(draw(st.sampled_from([(), (b"<>", b"", b"-", b"!")]))[:pieces])
    return FrameTable(draw(st.binary(max_size=20)), offsets, lengths, joints, literals), source


def expected(table: FrameTable, source: bytes) -> list[bytes]:
    found = []
    for offsets, lengths in zip(*table.ranges, strict=True):
        frame = table.prefix
        for index, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
            kept = source[offset:] if offset >= 0 else table.literals[-1 - offset :]
            frame += kept[:length] + (table.joints[index] if table.joints else b"")
        found.append(frame)
    return found


def reader(data: bytes) -> Read:
    return lambda offset, length: data[offset : offset + length]


@given(tables())
def test_a_frame_is_its_prefix_and_its_pieces_with_their_joints(
    drawn: tuple[FrameTable, bytes],
) -> None:
    table, source = drawn
    frames = expected(table, source)
    stored = table.encode()
    head = FrameTableHead.decode(stored[: FrameTableHead.size_from(stored[:SIZE])])
    again = FrameTable.decode(stored)
    assert isinstance(again, FrameTable)
    assert head.number_of_frames == len(table) == len(again) == len(frames)
    assert table.frame_lengths.tolist() == [len(frame) for frame in frames]
    for number, frame in enumerate(frames, 1):
        assert head.place(number) == (number, 0)
        entry = head.entry(number, reader(stored))
        assert head.entries([number, 1, number], reader(stored))[::2] == [entry, entry]
        assert head.bitstream(entry, reader(stored), reader(source)) == frame
        assert head.length(entry) == len(frame)
        assert table.bitstream(number, reader(source)) == frame
        assert again.bitstream(number, reader(source)) == frame


@given(
    sizes, sizes, st.integers(50, 600), st.integers(50, 600), st.integers(1, 5), st.integers(1, 5)
)
def test_each_frame_has_one_place_in_one_block(
    columns: int, rows: int, tile_columns: int, tile_rows: int, across: int, down: int
) -> None:
    crop = Crop(TileGrid(columns, rows, tile_columns, tile_rows), across, down)
    numbers = range(1, min(crop.grid.count, 500) + 1)
    places = [crop.place(number) for number in numbers]
    assert len(set(places)) == len(places)
    blocks = crop.blocks_across * crop.blocks_down
    assert all(1 <= block <= blocks and 0 <= place < across * down for block, place in places)
    table = CropTable(FrameTable(b"", np.zeros(blocks, int), np.ones(blocks, int)), crop)
    again = FrameTable.decode(table.encode())
    assert isinstance(again, CropTable)
    assert (again.crop, len(again)) == (crop, crop.grid.count)


@pytest.mark.parametrize("number", [-1, 0, 3, 2**40])
def test_a_frame_that_is_not_there_is_refused_by_number(number: int) -> None:
    head = FrameTableHead(2, 1, b"")
    with pytest.raises(FrameNotFound):
        head.place(number)


@pytest.mark.parametrize("damage", [b"", b"SGFT", b"XXXX" + bytes(60)])
def test_a_damaged_table_is_no_table(damage: bytes) -> None:
    with pytest.raises(GatewayError):
        FrameTable.decode(damage)


@given(
    st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 3000)), min_size=1, max_size=60),
    st.integers(1, 20_000),
)
def test_windows_cover_each_frame_once_and_read_little_else(
    steps: list[tuple[int, int]], largest: int
) -> None:
    gaps, lengths = np.array(steps, np.int64).T
    offsets = np.cumsum(gaps + lengths) - lengths
    table = FrameTable(b"", offsets, lengths)
    seen: list[int] = []
    for frames, reach in table.windows(largest):
        inside = range(*frames.indices(len(table)))
        seen += inside
        assert reach.offset == offsets[inside[0]]
        assert reach.offset + reach.length == offsets[inside[-1]] + lengths[inside[-1]]
        assert reach.length <= largest or len(inside) == 1
        assert reach.length <= lengths[frames].sum() + 4096 * len(inside)
    assert seen == list(range(len(table)))


def test_windows_follow_tiles_that_lie_backwards() -> None:
    table = FrameTable(b"", np.array([500, 100, 300]), np.array([100, 100, 100]))
    found = [(reach.offset, reach.length) for _, reach in table.windows(10_000)]
    assert found == [(500, 100), (100, 300)]


def test_interleaved_frames_are_read_together() -> None:
    across, pieces, length = 5, 8, 1000
    place = np.arange(3)[:, None, None] * pieces * across
    place = place + np.arange(pieces)[None, None, :] * across + np.arange(across)[None, :, None]
    offsets = place.reshape(-1, pieces) * (length + 2)
    table = FrameTable(b"", offsets, np.full(offsets.shape, length), (b"..",) * pieces)
    row = across * pieces * 1002
    for largest, found in ((1000, 5), (row - 2, 5), (row, 10), (3 * row, 15)):
        first, *_ = ((one.start, one.stop) for one, _ in table.windows(largest))
        assert first == (0, found)  # whole rows, as few as are enough
    source = bytes(np.random.default_rng(1).integers(0, 256, 3 * across * pieces * 1002, np.uint8))
    assert expected(table, source)[6] == table.bitstream(7, reader(source))
