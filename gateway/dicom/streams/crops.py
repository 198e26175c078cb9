"""Frames that are cut out of larger bit streams: all of them, or one and its neighbours."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Lock

import numpy as np

from gateway.core.frames import Crop, CropTable, FrameTable, Read
from gateway.core.storage import Scratch

Cut = Callable[[bytes, Crop], list[bytes]]
"""Cuts a block into its tiles; see :meth:`gateway.core.ports.SlideLibrary.cut`."""

_THREADS = min(8, len(os.sched_getaffinity(0)))
_AHEAD = 4 * _THREADS
"""Blocks that are cut, or wait to be, before the oldest is used."""

_KEPT = 16
"""Blocks whose tiles are kept; each is a few hundred kilobytes."""


def cut_all(
    table: CropTable,
    source: Read,
    cut: Cut,
    scratch: Scratch,
    progress: Callable[[int], None] | None = None,
) -> FrameTable:
    """Cut all frames of an instance, append them to a scratch blob and say where they lie there.

    Parameters
    ----------
    source
        Returns the bytes of what the blocks lie in at ``(offset, length)``.
    progress
        Is told the bytes of the source that were cut since it was told last.
    """
    lengths: list[int] = []
    for tiles in _rows_of_tiles(table, source, cut, progress):
        for tile in tiles:
            scratch.append(tile)
            lengths.append(len(tile))
    sizes = np.array(lengths, np.int64)
    return FrameTable(b"", np.cumsum(sizes) - sizes, sizes)


def _rows_of_tiles(
    table: CropTable, source: Read, cut: Cut, progress: Callable[[int], None] | None
) -> Iterator[list[bytes]]:
    crop, sizes = table.crop, table.blocks.frame_lengths
    cuts = _all_cuts(table, source, cut)
    for row in range(crop.blocks_down):
        numbers = slice(row * crop.blocks_across, (row + 1) * crop.blocks_across)
        blocks = list(islice(cuts, crop.blocks_across))
        for inside in range(min(crop.down, crop.grid.down - row * crop.down)):
            part = slice(inside * crop.across, (inside + 1) * crop.across)
            yield [tile for tiles in blocks for tile in tiles[part]][: crop.grid.across]
        if progress:
            progress(int(sizes[numbers].sum()))


def _all_cuts(table: CropTable, source: Read, cut: Cut) -> Iterator[list[bytes]]:
    """Yield the tiles of each block; while they are used, the next ones are cut."""
    ahead: deque[Future[list[bytes]]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for number in range(1, len(table.blocks) + 1):
                ahead.append(pool.submit(cut, table.blocks.bitstream(number, source), table.crop))
                if len(ahead) > _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class RecentCuts:
    """The tiles of the blocks that were cut last: who asks for one tile soon asks for the next.

    Threads that want the same block wait for the one that cuts it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._cuts: OrderedDict[tuple[str, int], Future[list[bytes]]] = OrderedDict()

    def tiles(self, key: tuple[str, int], cut: Callable[[], list[bytes]]) -> list[bytes]:
        """Return the tiles of a block, cutting it if that was not done lately.

        Parameters
        ----------
        key
            Name of the frame table, and number of the block in it.
        """
        with self._lock:
            known = self._cuts.get(key)
            mine = known is None
            if known is None:
                known = self._cuts[key] = Future()
                while len(self._cuts) > _KEPT:
                    self._cuts.popitem(last=False)
            else:
                self._cuts.move_to_end(key)
        if mine:
            try:
                known.set_result(cut())
            except BaseException as error:
                with self._lock:
                    self._cuts.pop(key, None)
                known.set_exception(error)
        return known.result()
