"""Draws a slide that looks like stained tissue and belongs to nobody.

The demonstration needs a slide on the first run, without a download and without a patient. This
package draws one: a section in the manner of a bowel wall in haematoxylin and eosin, scanned at
0.25 micrometres per pixel, stored as an Aperio SVS with all that such a file has: tiled levels,
thumbnail, label and macro.

The picture is made in two steps. Maps of one value per 16 x 16 pixels say where tissue, glands and
layers are, and tables say where each nucleus lies (`tissue`). Blocks of 1024 x 1024 pixels are then
painted from them as amounts of the two stains, and only the last step turns stain into colour
(`painting`). A block depends on nothing but its place, so blocks are painted in parallel, and the
same seed gives the same bytes.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tifffile

from converters.synthetic.encoding import abbreviate
from converters.synthetic.fabric import weave_fibres
from converters.synthetic.file import Levels, write_pages
from converters.synthetic.measures import WORKERS
from converters.synthetic.painting import paint_tiles
from converters.synthetic.tissue import plan_tissue

__all__ = ["abbreviate", "draw_slide"]


def draw_slide(
    path: Path,
    *,
    columns: int = 20_480,
    rows: int = 15_360,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw a synthetic Aperio SVS in haematoxylin and eosin.

    Three tiled levels (factors 1, 4 and 16, sizes rounded down), a thumbnail, a label and a macro
    image. The pixels are JPEG, Y'CbCr 4:2:2, in tiles of 256 x 256 without their own tables.

    Parameters
    ----------
    path
        The file to write; an existing file is replaced.
    columns, rows
        Size of the base level in pixels of 0.25 micrometres, at least 64 each.
    seed
        Chooses the slide: the same seed and size give the same bytes.
    progress
        Called with the blocks painted so far and the blocks in all.

    Raises
    ------
    ValueError
        If the slide is smaller than 64 x 64 pixels.
    """
    if min(columns, rows) < 64:
        raise ValueError(f"a slide of {columns} x {rows} pixels is too small: 64 x 64 at least")
    rng = np.random.default_rng(seed)
    fibres = weave_fibres(rng)
    tissue = plan_tissue(rng, columns, rows, fibres.angle)
    levels = Levels(columns, rows)
    with (
        tifffile.TiffWriter(path, byteorder="<") as file,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        painted = pool.map(
            lambda place: paint_tiles(tissue, fibres, *place),
            itertools.product(range(tissue.block_rows), range(tissue.block_columns)),
        )
        write_pages(file, levels, levels.base_tiles(painted, progress), seed)
