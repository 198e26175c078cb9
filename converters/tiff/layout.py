"""Slides that are TIFF files: which page is what, as a format tells, becomes images.

A format says what the pages are, and this makes the images of them: tiles of JPEG and JPEG 2000
are copied, tiles without loss are decoded when the slide is added and stay without loss. What
opens or reads a TIFF page is in :mod:`converters.tiff` and :mod:`converters.tiff.pages`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffPage

from converters.codecs.encoding import Encoder, Encoding, Pixels, jpeg_2000
from converters.codecs.recoding import recoded
from converters.sources import ScannedSlide, SlideFacts, SlideImage
from converters.tiff import is_tiff, opened, page_of, pages_of, read_range
from converters.tiff.holes import pyramid, sparse_pyramid
from converters.tiff.pages import (
    ICC_PROFILE,
    JPEG_2000_CODECS,
    JPEG_CODEC,
    LOSSLESS_CODECS,
    check_pixels,
    check_pyramid,
    check_tiled,
    fingerprint_of,
    parts_of,
)
from converters.tiff.pictures import picture
from gateway.core.errors import GatewayError, SlideUnreadable
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.instances import Flavour, Signature
from gateway.core.ports import Progress
from gateway.core.storage import Scratch

_SOFTWARE, _XMP = 305, 700
_LONGEST_REASON = 200
_COPIED_CODECS = {JPEG_CODEC, *JPEG_2000_CODECS}


@dataclass(frozen=True, slots=True)
class Layout:
    """What the pages of a TIFF are.

    Parameters
    ----------
    facts
        What the file states of itself.
    levels
        Tiled pages of the pyramid from the largest.
    pictures
        Pages of label, overview and thumbnail.
    built
        Pictures that are no pages.
    sparse
        Whether the scanner leaves out tiles where there is nothing but background.
    sizes
        ``(columns, rows)`` of each level, where its page is larger because it was padded to whole
        tiles; else empty.
    """

    facts: SlideFacts
    levels: Sequence[TiffPage]
    pictures: Mapping[Flavour, TiffPage] = field(default_factory=dict)
    built: tuple[SlideImage, ...] = ()
    sizes: Sequence[tuple[int, int]] = ()
    sparse: bool = False


Describe = Callable[[TiffFile], Layout]
"""Says what the pages of an open file of a format are."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What tells one kind of TIFF from another; empty of a file that is no TIFF.

    Parameters
    ----------
    description, software
        Of the first page.
    tags
        Codes of all tags of the first page.
    xmp
        Its packet of XML.
    tiled
        Whether the first page has tiles.
    """

    description: str = ""
    software: str = ""
    tags: frozenset[int] = frozenset()
    xmp: bytes = b""
    tiled: bool = False


def glance(path: Path) -> Glance:
    """Look at the first page of a file, once for all formats that ask."""
    if not is_tiff(path):
        return Glance()
    return _glance(path, Signature.of(os.stat(path)))


@lru_cache(maxsize=8)
def _glance(path: Path, _state: Signature) -> Glance:
    with opened(path) as tiff:
        if not tiff.pages:
            return Glance()
        page = page_of(tiff, 0)
        tags = frozenset(tag.code for tag in page.tags)
        software = str(page.tags.valueof(_SOFTWARE) or "")
        xmp = page.tags.valueof(_XMP)
        xmp = xmp if isinstance(xmp, bytes) else str(xmp).encode()
        return Glance(page.description, software, tags, xmp, bool(page.is_tiled))


def all_pages(tiff: TiffFile) -> list[TiffPage]:
    """Return the pages of the main chain, each followed by those below it (SubIFDs)."""
    pages: list[TiffPage] = []
    for page in pages_of(tiff):
        pages.append(page)
        pages += pages_below(page)
    return pages


def pages_below(page: TiffPage) -> list[TiffPage]:
    """Return the pages below one (SubIFDs): its smaller versions."""
    below = page.pages or ()
    return [one for one in below if isinstance(one, TiffPage)]


def fingerprint(path: Path) -> str:
    """Take the fingerprint of a TIFF.

    Raises
    ------
    SlideUnreadable
        If it is damaged.
    """
    with opened(path) as tiff:
        return fingerprint_of(tiff, all_pages(tiff))


def read_layout(path: Path, describe: Describe) -> ScannedSlide:
    """Read a TIFF whose pages are what a format says.

    Raises
    ------
    SlideUnreadable
        If it is damaged, or of a kind that is not supported; the message says which.
    """
    with opened(path) as tiff:
        layout = describe(tiff)
        pictures, remarks = _pictures(tiff, layout)
        digest = fingerprint_of(tiff, all_pages(tiff))
        facts = replace(layout.facts, remarks=(*layout.facts.remarks, *remarks))
        profile = layout.levels[0].tags.valueof(ICC_PROFILE) if layout.levels else None
        if all(page.compression in _COPIED_CODECS for page in layout.levels):
            levels, made = _copied(tiff, layout)
            facts = replace(facts, remarks=(*facts.remarks, *made))
            return recoded(path, ScannedSlide(digest, facts, profile, (*levels, *pictures)))
        _check_lossless(layout.levels)

    encoding = jpeg_2000()

    def decode(scratch: Scratch, progress: Progress | None) -> tuple[SlideImage, ...]:
        with opened(path) as tiff:
            pages = describe(tiff).levels
            levels = _encoded(tiff, pages, encoding, scratch, progress)
        check_pyramid(levels)
        return (*levels, *pictures)

    return ScannedSlide(digest, facts, profile, (), decode, encoding.name)


def _copied(tiff: TiffFile, layout: Layout) -> tuple[list[SlideImage], tuple[str, ...]]:
    """Return the levels, whose frames lie in the file, and remarks on tiles that had to be made."""
    made: tuple[str, ...] = ()
    if layout.sparse:
        levels = sparse_pyramid(tiff, layout.levels)
    else:
        levels, made = pyramid(tiff, layout.levels, ycbcr=True)
    levels = [
        _without_padding(level, *size)
        for level, size in zip(levels, layout.sizes or _sizes(levels), strict=True)
    ]
    check_pyramid(levels)
    return levels, made


def _sizes(levels: Sequence[SlideImage]) -> list[tuple[int, int]]:
    return [(level.grid.matrix_columns, level.grid.matrix_rows) for level in levels]


def _without_padding(level: SlideImage, columns: int, rows: int) -> SlideImage:
    """Return a level without the columns, rows and tiles that only pad it."""
    grid, table = level.grid, level.frames
    if (columns, rows) == (grid.matrix_columns, grid.matrix_rows):
        return level
    assert isinstance(table, FrameTable)
    smaller = TileGrid(columns, rows, grid.tile_columns, grid.tile_rows)
    if columns > grid.matrix_columns or rows > grid.matrix_rows:
        raise SlideUnreadable("A level is stated to be larger than its page is.")
    offsets, lengths = (
        side.reshape(grid.down, grid.across)[: smaller.down, : smaller.across].ravel()
        for side in (table.offsets, table.lengths)
    )
    return replace(level, grid=smaller, frames=replace(table, offsets=offsets, lengths=lengths))


def _pictures(tiff: TiffFile, layout: Layout) -> tuple[list[SlideImage], list[str]]:
    """Build the pictures, and say which could not be read: a slide is whole without them."""
    taken = {(page.imagewidth, page.imagelength) for page in layout.levels}
    images = list(layout.built)
    remarks: list[str] = []
    for flavour, page in layout.pictures.items():
        if flavour is Flavour.THUMBNAIL and (page.imagewidth, page.imagelength) in taken:
            continue
        try:
            images.append(picture(tiff, page, flavour))
        except GatewayError as error:
            reason = error.detail[:_LONGEST_REASON]
            remarks.append(f"The {flavour.lower()} was left out: {reason}")
    return images, remarks


# -- tiles that are decoded


def _check_lossless(pages: Sequence[TiffPage]) -> None:
    for page in pages:
        check_pixels(page)
        if page.compression not in (*LOSSLESS_CODECS, *_COPIED_CODECS):
            raise SlideUnreadable(
                f"Page {page.index} has TIFF compression {int(page.compression)}; JPEG, JPEG 2000, "
                "Deflate, LZW, PackBits and none are supported."
            )
        check_tiled(page)
    if any(page.compression in _COPIED_CODECS for page in pages):
        raise SlideUnreadable(
            "Some levels are JPEG or JPEG 2000, others are compressed without loss; all have to be "
            "the one or the other."
        )


def _encoded(
    tiff: TiffFile,
    pages: Sequence[TiffPage],
    encoding: Encoding,
    scratch: Scratch,
    progress: Progress | None,
) -> list[SlideImage]:
    grids = [
        TileGrid(page.imagewidth, page.imagelength, page.tilewidth, page.tilelength)
        for page in pages
    ]
    encoder = Encoder(scratch, progress, sum(grid.count for grid in grids))
    return [
        encoder.level(encoding, grid, _tiles(tiff, page, grid))
        for page, grid in zip(pages, grids, strict=True)
    ]


def _tiles(tiff: TiffFile, page: TiffPage, grid: TileGrid) -> Callable[[int, int], Pixels]:
    """Return what decodes one tile of a page."""
    parts = parts_of(tiff, page, grid.count)
    decode = page.decode

    def tile(row: int, column: int) -> Pixels:
        index = row * grid.across + column
        data = read_range(tiff, int(parts.offsets[index]), int(parts.lengths[index]))
        pixels = np.asarray(decode(data, index)[0], np.uint8)[0]
        missing = grid.tile_rows - pixels.shape[0], grid.tile_columns - pixels.shape[1]
        padded: Pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        return padded

    return tile
