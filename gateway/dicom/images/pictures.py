"""Pixels as pictures that any program shows: size, colours, and a common file format."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageCms

from gateway.core.errors import InvalidInput
from gateway.core.viewports import Box, View
from gateway.dicom.images.icc import (
    ADOBE_RGB,
    DISPLAY_P3,
    ROMM_RGB,
    SRGB,
    RgbSpace,
    is_rgb_profile,
    profile_of,
)
from gateway.dicom.images.tiles import Pixels

JPEG, PNG, GIF, JP2 = "image/jpeg", "image/png", "image/gif", "image/jp2"

SPACES: dict[str, RgbSpace] = {
    "srgb": SRGB,
    "adobergb": ADOBE_RGB,
    "rommrgb": ROMM_RGB,
    "displayp3": DISPLAY_P3,
}
"""Colour spaces that pictures can be converted to."""

DEFAULT_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Finish:
    """How a picture is given.

    Parameters
    ----------
    media_type
        One of ``image/jpeg``, ``image/png``, ``image/gif``, ``image/jp2``.
    quality
        1 to 100; it is JPEG's alone, the others lose nothing (GIF has 256 colours).
    colours
        ``yes`` keeps the colours and embeds their profile, ``no`` does not embed it, and a name
        of :data:`SPACES` converts to that space. ``screen`` converts to sRGB what can be
        converted, and embeds nothing: browsers take pictures without a profile for sRGB.
    """

    media_type: str = JPEG
    quality: int = DEFAULT_QUALITY
    colours: str = "yes"


def picture(pixels: Pixels, box: Box, view: View, profile: bytes | None, finish: Finish) -> bytes:
    """Return a picture file.

    Parameters
    ----------
    pixels
        What there is.
    box
        The part of it to be shown.
    view
        Size of the result, and whether it is turned around.
    profile
        ICC profile of the pixels.

    Raises
    ------
    InvalidInput
        If the colours cannot be converted.
    """
    image = _sized(Image.fromarray(pixels), box, (view.width, view.height))
    if view.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if view.upside_down:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return _encoded(*_in_colours(image, profile, finish.colours), finish)


def _sized(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    edges = (box.left, box.top, box.right, box.bottom)
    if (box.columns, box.rows) == size and all(edge == round(edge) for edge in edges):
        return image.crop(edges)
    return image.resize(size, Image.Resampling.BICUBIC, edges)


def check_colours(profile: bytes | None, colours: str, *, coloured: bool) -> None:
    """Refuse what cannot be converted.

    Raises
    ------
    InvalidInput
        If the image does not say what its colours are, or has none.
    """
    if colours not in SPACES:
        return
    if not coloured:
        raise InvalidInput(
            "The image has greys, no colours that could be converted: leave iccprofile away."
        )
    if profile is None or not is_rgb_profile(profile):
        raise InvalidInput(
            "The image has no ICC profile for R, G and B, so nobody can say what its colours are "
            "in another space: leave iccprofile away."
        )


def _in_colours(
    image: Image.Image, profile: bytes | None, colours: str
) -> tuple[Image.Image, bytes | None]:
    """Return the image in the colours asked for, and the profile to embed."""
    check_colours(profile, colours, coloured=image.mode == "RGB")
    usable = profile if profile and image.mode == "RGB" and is_rgb_profile(profile) else None
    if colours == "no" or usable is None:
        return image, None
    if colours == "yes":
        return image, usable
    if colours == "screen":
        with suppress(InvalidInput):  # a small picture in colours that are off is better than none
            image = _converted(image, usable, "srgb")
        return image, None
    return _converted(image, usable, colours), profile_of(SPACES[colours])


def _converted(image: Image.Image, profile: bytes, colours: str) -> Image.Image:
    if profile == profile_of(SPACES[colours]):
        return image
    return ImageCms.applyTransform(image, _transform(profile, colours)) or image


@lru_cache(16)
def _transform(profile: bytes, colours: str) -> ImageCms.ImageCmsTransform:
    """Return what converts colours, by the intent that the profile states."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        target = ImageCms.ImageCmsProfile(BytesIO(profile_of(SPACES[colours])))
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(source))
        return ImageCms.buildTransform(source, target, "RGB", "RGB", intent)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise InvalidInput(
            "The ICC profile of the image cannot be used, so its colours cannot be converted: "
            "leave iccprofile away."
        ) from error


def _encoded(image: Image.Image, profile: bytes | None, finish: Finish) -> bytes:
    buffer = BytesIO()
    if finish.media_type == PNG:
        image.save(buffer, "PNG", compress_level=1, icc_profile=profile)
    elif finish.media_type == GIF:
        image.save(buffer, "GIF")
    elif finish.media_type == JP2:
        image.save(buffer, "JPEG2000", irreversible=False, mct=int(image.mode == "RGB"))
    else:
        quality = finish.quality
        full = "4:4:4" if quality >= DEFAULT_QUALITY else "4:2:0"
        image.save(buffer, "JPEG", quality=quality, subsampling=full, icc_profile=profile)
    return buffer.getvalue()
