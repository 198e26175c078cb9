"""Which part of a scan an Aperio file holds, as its description tells.

A file that was cut out of another keeps the history of its making, the newest step first and
steps apart by semicolons: ``46000x32914 [42673,5576 2220x2967] (240x240) JPEG/RGB Q=30`` took
2220 x 2967 pixels from a picture of 46000 x 32914, beginning at column 42673 and row 5576. Where
``-> 1110x1483`` follows, the part was scaled to that size.

``Left`` and ``Top`` are no help: they count in millimetres from a corner of the stage, Left
rightwards and Top upwards, and where the glass lies on the stage is not said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.core.geometry import Pair, Placement

_STEP = re.compile(r"(\d+)x(\d+) \[(\d+),(\d+) (\d+)x(\d+)\](?:[^;|]*?-> (\d+)x(\d+))?")

Size = tuple[int, int]

PART_OF_A_SCAN = (
    "The file holds a part of a scan; the whole scan was assumed to begin in the corner of the "
    "slide, with the label to the left."
)
"""What was assumed where :func:`cut_from_scan` returns a placement."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A part was taken from a picture, and scaled; ``(columns, rows)`` everywhere."""

    source: Size
    begin: Size
    part: Size
    result: Size

    @classmethod
    def read(cls, text: str) -> _Step | None:
        """Read a step; None if it is none, or takes more than there is."""
        if not (match := _STEP.search(text)):
            return None
        numbers = [int(number) for number in match.groups(default="0")]
        source, begin, part, scaled = (
            (numbers[place], numbers[place + 1]) for place in range(0, 8, 2)
        )
        fits = all(
            0 < length <= whole - start
            for whole, start, length in zip(source, begin, part, strict=True)
        )
        return cls(source, begin, part, scaled if all(scaled) else part) if fits else None

    def forward(self, point: Pair) -> Pair:
        """Return a point of the source as a point of the result."""
        column, row = (
            (at - begin) * result / part
            for at, begin, part, result in zip(
                point, self.begin, self.part, self.result, strict=True
            )
        )
        return column, row


def cut_from_scan(head: str, columns: int, rows: int) -> Placement | None:
    """Return where the base level lies if the whole scan lies in the corner of the slide.

    A part thus has the same place on the slide as in the file that it was cut from.

    Parameters
    ----------
    head
        The description before its first bar.
    columns, rows
        Size of the base level.

    Returns
    -------
    None if it is the whole scan, or if the history tells nothing of this level.
    """
    steps: list[_Step] = []
    size = (columns, rows)
    for text in head.split(";"):
        step = _Step.read(text)
        if step is None or step.result != size:
            break
        steps.append(step)
        size = step.source
    if not steps:
        return None
    whole = Placement.nominal(*size)
    pixel = whole.pixel
    for step in reversed(steps):
        pixel = step.forward(pixel)
    if pixel == (columns, rows):
        return None
    return Placement(whole.orientation, pixel, whole.point_mm)
