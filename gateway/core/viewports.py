"""Which part of a picture is shown, and in how many pixels (PS3.18 8.3.5.1.3)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.errors import InvalidInput

MOST_MAGNIFICATION = 16
"""Pixels that one pixel of an image may become, per side."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels, counted from the top left corner of the top left pixel."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def columns(self) -> float:
        """Its width."""
        return self.right - self.left

    @property
    def rows(self) -> float:
        """Its height."""
        return self.bottom - self.top

    def scaled(self, across: float, down: float) -> Box:
        """Return the same place where there are so many times as many columns and rows."""
        return Box(self.left * across, self.top * down, self.right * across, self.bottom * down)

    def moved(self, columns: float, rows: float) -> Box:
        """Return the box so many pixels to the right and below."""
        return Box(self.left + columns, self.top + rows, self.right + columns, self.bottom + rows)

    def within(self, columns: float, rows: float) -> Box:
        """Return the part of it that lies in a picture of a size."""
        return Box(
            max(self.left, 0.0),
            max(self.top, 0.0),
            min(self.right, float(columns)),
            min(self.bottom, float(rows)),
        )


@dataclass(frozen=True, slots=True)
class View:
    """A part of a picture, and the picture that it becomes.

    Parameters
    ----------
    box
        The part, in pixels of the image; it lies within the image.
    width, height
        Pixels of the result.
    mirrored, upside_down
        Whether left and right, and top and bottom, change places.
    """

    box: Box
    width: int
    height: int
    mirrored: bool = False
    upside_down: bool = False


@dataclass(frozen=True, slots=True)
class Viewport:
    """What a client has room for, and the region that it wants to see there.

    Parameters
    ----------
    width, height
        Most pixels of the result.
    left, top
        Where the region begins, in pixels of the image.
    columns, rows
        Size of the region; None is all of the image. A negative size turns the region around.
    """

    width: int
    height: int
    left: float = 0.0
    top: float = 0.0
    columns: float | None = None
    rows: float | None = None

    def view(self, columns: int, rows: int, most: int) -> View:
        """Return the largest picture of the region that the viewport holds, undistorted.

        What of the region lies outside the image is left away.

        Parameters
        ----------
        columns, rows
            Size of the image.
        most
            Pixels of the longer side of any result.

        Raises
        ------
        InvalidInput
            If nothing of the region is in the image.
        """
        wide = columns if self.columns is None else self.columns
        high = rows if self.rows is None else self.rows
        left, top = abs(self.left), abs(self.top)
        box = Box(left, top, left + abs(wide), top + abs(high)).within(columns, rows)
        if box.columns <= 0 or box.rows <= 0:
            raise InvalidInput(
                f"The region of the viewport lies outside the image, which has {columns} columns "
                f"and {rows} rows."
            )
        return _fitted(box, min(self.width, most), min(self.height, most), wide < 0, high < 0)


def whole(columns: int, rows: int, side: int | None = None) -> View:
    """Return the view of a whole image: as it is, or reduced to fit into a square.

    Parameters
    ----------
    side
        Most pixels of the longer side; None keeps every pixel.
    """
    if side is None or max(columns, rows) <= side:
        return View(Box(0, 0, columns, rows), columns, rows)
    return _fitted(Box(0, 0, columns, rows), side, side, False, False)


def _fitted(box: Box, width: int, height: int, mirrored: bool, upside_down: bool) -> View:
    factor = min(width / box.columns, height / box.rows, MOST_MAGNIFICATION)
    columns, rows = (max(1, round(length * factor)) for length in (box.columns, box.rows))
    return View(box, columns, rows, mirrored, upside_down)
