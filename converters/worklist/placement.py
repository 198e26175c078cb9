"""Where a slide lies, as an operator states it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.geometry import Orientation, Placement

if TYPE_CHECKING:
    from wsidicom.metadata import ImageCoordinateSystem


def placement_from(system: ImageCoordinateSystem) -> Placement:
    """Return where the base level lies by an image coordinate system of wsidicom.

    Its origin is that of a header: the centre of the top left pixel of the base level.
    """
    orientation = Orientation.from_rotation(system.rotation)
    return Placement(orientation, (0.5, 0.5), (system.origin.x, system.origin.y))
