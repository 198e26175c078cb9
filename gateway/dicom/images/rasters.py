"""What the header of an image says of its pixels: their kind, their place and their colours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000TransferSyntaxes

from gateway.core.errors import InvalidGeometry, NotAcceptable
from gateway.core.frames import TileGrid
from gateway.core.geometry import PixelMatrix
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE, Flavour
from gateway.core.viewports import Box
from gateway.dicom.geometry import read_matrix
from gateway.dicom.images.positions import Corners, read_corners
from gateway.dicom.images.windows import Window, window_of
from gateway.dicom.streams.part10 import decode_beginning

_WITH_TRANSFORM = frozenset(map(str, JPEG2000TransferSyntaxes))
"""Syntaxes whose bit streams say how their decoder makes R, G and B."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What the samples of a frame are.

    Parameters
    ----------
    columns, rows
        Size of a frame in pixels.
    per_pixel
        1 or 3.
    bits_allocated, bits_stored
        Of each sample.
    photometric
        Photometric Interpretation.
    """

    columns: int
    rows: int
    per_pixel: int
    bits_allocated: int
    bits_stored: int
    photometric: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What images have to share to show the same in other numbers of pixels.

    Parameters
    ----------
    frame_of_reference
        UID; None if it is not stated.
    optical_paths
        Identifiers, the first is the one that is shown.
    depth
        Z offset of the first focal plane as stated, in its text.
    """

    frame_of_reference: str | None
    optical_paths: tuple[str, ...]
    depth: str


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """An image as pixels.

    Parameters
    ----------
    flavour
        Image Type, value 3.
    identifies
        Whether it says of itself that a label, or who the patient is, can be read in it.
    samples
        What its frames hold.
    grid
        Its total pixel matrix and tiles.
    frames
        Number of its frames.
    whole
        Whether all frames of the total pixel matrix are its own, and not those of a concatenation.
    corners
        Where frames lie that state it themselves; None for TILED_FULL.
    sight
        What levels of one pyramid have in common.
    place
        Where the matrix lies on the slide; None if it is not stated.
    window
        How greys are shown if the client does not say.
    profile
        ICC profile; None if there is none.
    """

    flavour: str
    identifies: bool
    samples: Samples
    grid: TileGrid
    frames: int
    whole: bool
    corners: Corners | None
    sight: Sight
    place: PixelMatrix | None
    window: Window | None
    profile: bytes | None

    @property
    def is_tissue_alone(self) -> bool:
        """Whether it shows tissue, and nothing that tells whose it is."""
        return is_picture_of_slide(self.flavour) and not self.identifies

    @property
    def coloured(self) -> bool:
        """Whether its pixels have three samples."""
        return self.samples.per_pixel == 3

    def frames_within(self, box: Box) -> Corners:
        """Return the frames that touch a box of the matrix.

        Of several focal planes and optical paths, those of the first.
        """
        if self.corners is not None:
            _, left, top = self.corners.T
            grid = self.grid
            seen = (left < box.right) & (left + grid.tile_columns > box.left)
            seen &= (top < box.bottom) & (top + grid.tile_rows > box.top)
            touching: Corners = self.corners[seen]
            return touching
        return np.array(list(self._tiles(box)), np.int64).reshape(-1, 3)

    def count_within(self, box: Box) -> int:
        """Return how many frames touch a box, without naming them."""
        if self.corners is not None:
            return len(self.frames_within(box))
        rows, columns = self._spans(box)
        return len(rows) * len(columns)

    def _spans(self, box: Box) -> tuple[range, range]:
        grid = self.grid
        rows = _span(box.top, box.bottom, grid.tile_rows, grid.down)
        return rows, _span(box.left, box.right, grid.tile_columns, grid.across)

    def _tiles(self, box: Box) -> Iterator[tuple[int, int, int]]:
        grid = self.grid
        rows, columns = self._spans(box)
        for row in rows:
            for column in columns:
                number = grid.frame_number(row, column)
                if number <= self.frames:
                    yield number, column * grid.tile_columns, row * grid.tile_rows


def _span(start: float, stop: float, size: int, count: int) -> range:
    return range(max(0, math.floor(start / size)), min(count, math.ceil(stop / size)))


def read_raster(header: bytes) -> Raster:
    """Read the header of an image, such as :attr:`gateway.core.instances.Instance.header` names.

    Raises
    ------
    NotAcceptable
        If its pixels are of a kind that is not rendered.
    """
    dataset, per_frame = decode_beginning(header)
    return _raster(dataset, header, per_frame)


def _raster(dataset: Dataset, header: bytes, per_frame: int) -> Raster:
    columns, rows = int(dataset.Columns), int(dataset.Rows)
    samples = Samples(
        columns,
        rows,
        int(dataset.SamplesPerPixel),
        int(dataset.BitsAllocated),
        int(dataset.get("BitsStored") or dataset.BitsAllocated),
        str(dataset.PhotometricInterpretation),
    )
    _check(dataset, samples)
    grid = TileGrid(
        int(dataset.get("TotalPixelMatrixColumns") or columns),
        int(dataset.get("TotalPixelMatrixRows") or rows),
        columns,
        rows,
    )
    frames = int(dataset.get("NumberOfFrames") or 1)
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    image_type = list(dataset.get("ImageType") or [])
    full = dataset.get("DimensionOrganizationType") == "TILED_FULL" or frames == 1 == grid.count
    corners = None if full else read_corners(header, per_frame, frames)
    path = _first(dataset, "OpticalPathSequence")
    paths = dataset.get("OpticalPathSequence") or []
    origin = _first(dataset, "TotalPixelMatrixOriginSequence")
    return Raster(
        str(image_type[2]) if len(image_type) > 2 else "",
        "YES" in (dataset.get("SpecimenLabelInImage"), dataset.get("BurnedInAnnotation")),
        samples,
        grid,
        frames,
        "ConcatenationUID" not in dataset,
        corners,
        Sight(
            str(dataset.get("FrameOfReferenceUID") or "") or None,
            tuple(str(one.get("OpticalPathIdentifier")) for one in paths),
            str(origin.get("ZOffsetInSlideCoordinateSystem") or ""),
        ),
        _place(dataset),
        window_of(dataset, shared),
        _shared_profile(path.get("ICCProfile") or dataset.get("ICCProfile") or b"") or None,
    )


def is_picture_of_slide(flavour: str) -> bool:
    """Whether an image shows tissue, and neither the label nor what may include it."""
    return flavour in (Flavour.VOLUME, Flavour.THUMBNAIL)


def _check(dataset: Dataset, samples: Samples) -> None:
    known = (samples.per_pixel, samples.bits_allocated) in ((1, 8), (1, 16), (3, 8), (3, 16))
    if not known or dataset.get("PixelRepresentation") or not _is_shown(dataset, samples):
        raise NotAcceptable(
            "Pixels of this kind are not rendered: only greys (MONOCHROME2) and colours that are "
            "R, G and B, pixel by pixel, once they are decoded; unsigned, of 8 or 16 bits."
        )


def _is_shown(dataset: Dataset, samples: Samples) -> bool:
    """Whether decoded samples are greys, or R, G and B of one pixel after the other."""
    if samples.per_pixel == 1:
        return samples.photometric == "MONOCHROME2"
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if syntax == EXPLICIT_VR_LITTLE_ENDIAN and dataset.get("PlanarConfiguration"):
        return False
    return (
        samples.photometric == "RGB"
        or syntax == JPEG_BASELINE
        or (samples.photometric in ("YBR_ICT", "YBR_RCT") and syntax in _WITH_TRANSFORM)
    )


def _first(dataset: Dataset, keyword: str) -> Dataset:
    items = dataset.get(keyword)
    return items[0] if items else Dataset()


def _place(dataset: Dataset) -> PixelMatrix | None:
    try:
        return read_matrix(dataset)
    except InvalidGeometry:
        return None


@lru_cache(8)
def _shared_profile(profile: bytes) -> bytes:
    """Return the same object for equal profiles: levels of a slide keep it once."""
    return profile
