"""The parameters of rendered resources (PS3.18 8.3.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.core.errors import InvalidInput
from gateway.core.viewports import Viewport
from gateway.dicom.images.pictures import DEFAULT_QUALITY, SPACES, Finish
from gateway.dicom.images.windows import SHAPES, Window
from gateway.services.render import THUMBNAIL_SIDE, Wanted

_NUMBER = re.compile(r"[+-]?(\d{1,9}(\.\d{0,12})?|\.\d{1,12})\Z", re.ASCII)
_ANNOTATIONS = frozenset({"patient", "technique"})


def wanted_picture(parameters: Mapping[str, str], media_type: str) -> Wanted:
    """Read what a client wants to see.

    Raises
    ------
    InvalidInput
        If a parameter is malformed.
    """
    viewport = parameters.get("viewport")
    window = parameters.get("window")
    _check_annotation(parameters.get("annotation"))
    return Wanted(
        None if viewport is None else _viewport(viewport),
        None if window is None else _window(window),
        Finish(
            media_type,
            _quality(parameters.get("quality")),
            _colours(parameters.get("iccprofile")),
        ),
    )


def wanted_thumbnail(parameters: Mapping[str, str], media_type: str) -> Wanted:
    """Read what size of thumbnail a client wants; nothing else can be asked for (8.3.5.2)."""
    text = parameters.get("viewport")
    viewport = Viewport(THUMBNAIL_SIDE, THUMBNAIL_SIDE) if text is None else _viewport(text)
    size = Viewport(viewport.width, viewport.height)
    if viewport != size:
        raise InvalidInput("The viewport of a thumbnail is its width and height alone.")
    return Wanted(size, None, Finish(media_type, colours="screen"))


def left_out(parameters: Mapping[str, str], *, coloured: bool) -> str | None:
    """Say for people which of the parameters the picture does not follow; None if it does all."""
    if parameters.get("annotation"):
        return "Annotations are not burned into pictures: metadata say what they would."
    if parameters.get("window") and coloured:
        return "Windows do not apply to images with colours."
    return None


def _viewport(text: str) -> Viewport:
    values = [piece.strip() for piece in text.split(",")]
    if not 2 <= len(values) <= 6:
        raise InvalidInput("A viewport is vw,vh or vw,vh,sx,sy,sw,sh.")
    width, height, left, top, columns, rows = (
        _number(value, "viewport") for value in values + [""] * (6 - len(values))
    )
    if width is None or height is None or round(width) < 1 or round(height) < 1:
        raise InvalidInput("The width and the height of a viewport are at least one pixel.")
    if columns == 0 or rows == 0:
        raise InvalidInput("The region of a viewport has neither width nor height.")
    return Viewport(round(width), round(height), left or 0.0, top or 0.0, columns, rows)


def _number(text: str, parameter: str) -> float | None:
    if not text:
        return None
    if not _NUMBER.match(text):
        raise InvalidInput(f"The parameter {parameter} has a value that is no decimal number.")
    return float(text)


def _quality(text: str | None) -> int:
    if text is None:
        return DEFAULT_QUALITY
    if not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) or not 1 <= int(text) <= 100:
        raise InvalidInput("The quality is a whole number from 1 to 100.")
    return int(text)


def _colours(text: str | None) -> str:
    known = ("yes", "no", *SPACES)
    colours = (text or "yes").lower()
    if colours not in known:
        raise InvalidInput(f"The parameter iccprofile is one of {', '.join(known)}.")
    return colours


def _window(text: str) -> Window:
    values = [piece.strip() for piece in text.split(",")]
    if len(values) != 3:
        raise InvalidInput("A window is center,width,function.")
    center, width = (_number(value, "window") for value in values[:2])
    shape = values[2].upper().replace("-", "_")
    if center is None or width is None or shape not in SHAPES:
        raise InvalidInput("The function of a window is linear, linear-exact or sigmoid.")
    window = Window(center, width, shape)
    if width <= 0 or (shape == "LINEAR" and width < 1):
        raise InvalidInput("The width of a window is at least 1, or above 0 if it is not linear.")
    return window


def _check_annotation(text: str | None) -> None:
    if text is not None and not set(text.lower().split(",")) <= _ANNOTATIONS:
        raise InvalidInput("The parameter annotation is patient, technique, or both with a comma.")
