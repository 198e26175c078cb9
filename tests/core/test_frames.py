"""Tile grids and frame tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import FrameNotFound, GatewayError
from gateway.core.frames import FrameTable, FrameTableHead, TileGrid

sizes = st.integers(1, 5000)
tiles = st.integers(1, 600)


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


@given(
    st.binary(max_size=600),
    st.lists(
        st.tuples(st.integers(0, 2**62), st.integers(1, 2**40)),
        min_size=1,
        max_size=50,
    ),
)
def test_a_stored_table_is_read_as_it_was_written(
    prefix: bytes, ranges: list[tuple[int, int]]
) -> None:
    offsets, lengths = np.array(ranges, np.int64).T
    stored = FrameTable(prefix, offsets, lengths).encode()
    read = FrameTable.decode(stored)
    assert read.prefix == prefix
    assert read.offsets.tolist() == offsets.tolist()
    assert read.lengths.tolist() == lengths.tolist()
    head = FrameTableHead.decode(stored[: FrameTableHead.size_from(stored[:20])])
    for number, pair in enumerate(ranges, 1):
        start = head.entry_offset(number)
        assert FrameTableHead.ENTRY.unpack(stored[start : start + 16]) == pair


@pytest.mark.parametrize("number", [-1, 0, 3, 2**40])
def test_a_frame_that_is_not_there_is_refused_by_number(number: int) -> None:
    head = FrameTableHead(2, b"")
    with pytest.raises(FrameNotFound):
        head.entry_offset(number)


@pytest.mark.parametrize("damage", [b"", b"SGFT", b"XXXX" + bytes(40)])
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
