"""Colour profiles of well-known RGB spaces, and what is a profile at all.

They are computed here, because the bytes of sRGB's enter headers of slides whose scanner gives
none, and must be the same on every machine and with every version of an imaging library.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

_HEAD = 128  # bytes of every profile before its table of tags

_D50 = (0.96420, 1.0, 0.82491)

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class RgbSpace:
    """A colour space of three primaries.

    Parameters
    ----------
    name
        For people.
    red, green, blue
        X, Y and Z of the primaries, adapted to D50 by the Bradford transform.
    curve
        Gamma and the coefficients a to d of the transfer function (ICC.1 parametric type 3).
    """

    name: str
    red: Triple
    green: Triple
    blue: Triple
    curve: tuple[float, float, float, float, float]


_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)

SRGB = RgbSpace(  # IEC 61966-2-1
    "sRGB IEC61966-2-1",
    (0.43607, 0.22249, 0.01392),
    (0.38515, 0.71687, 0.09708),
    (0.14307, 0.06061, 0.71410),
    _SRGB_CURVE,
)
ADOBE_RGB = RgbSpace(
    "Adobe RGB (1998)",
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
    (563 / 256, 1.0, 0.0, 0.0, 0.0),
)
ROMM_RGB = RgbSpace(  # ISO 22028-2, also called ProPhoto RGB
    "ROMM RGB",
    (0.79767, 0.28804, 0.0),
    (0.13519, 0.71187, 0.0),
    (0.03134, 0.00009, 0.82491),
    (1.8, 1.0, 0.0, 1 / 16, 1 / 32),
)
DISPLAY_P3 = RgbSpace(  # the primaries of SMPTE RP 431-2 with D65 and the curve of sRGB
    "Display P3",
    (0.51512, 0.24120, -0.00105),
    (0.29198, 0.69225, 0.04189),
    (0.15710, 0.06657, 0.78407),
    _SRGB_CURVE,
)


def srgb_profile() -> bytes:
    """Return a display profile for sRGB."""
    return profile_of(SRGB)


@cache
def profile_of(space: RgbSpace) -> bytes:
    """Return a display profile (ICC.1:2010, version 4.3): matrix and parametric curve."""
    primaries = {b"rXYZ": space.red, b"gXYZ": space.green, b"bXYZ": space.blue}
    tags = {
        b"desc": _text(space.name),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz(_D50),
        **{name: _xyz(value) for name, value in primaries.items()},
    }
    curve = b"para" + bytes(4) + b"\x00\x03\x00\x00" + b"".join(map(_fixed, space.curve))
    table, body = b"", b""
    start = 128 + 4 + 12 * (len(tags) + 3)
    for name, data in tags.items():
        table += name + (start + len(body)).to_bytes(4) + len(data).to_bytes(4)
        body += data + bytes(-len(data) % 4)
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        table += name + (start + len(body)).to_bytes(4) + len(curve).to_bytes(4)
    body += curve + bytes(-len(curve) % 4)
    size = start + len(body)
    return _header(size) + (len(tags) + 3).to_bytes(4) + table + body


def is_rgb_profile(data: bytes) -> bool:
    """Whether viewers can use a profile for our pixels: it is whole, and for R, G, B.

    A viewer that trips over a profile shows nothing at all, or colours that nobody saw.
    """
    whole = len(data) > _HEAD and _HEAD < int.from_bytes(data[:4]) <= len(data)
    return whole and data[36:40] == b"acsp" and data[16:20] == b"RGB "


def _header(size: int) -> bytes:
    created = b"".join(part.to_bytes(2) for part in (2000, 1, 1, 0, 0, 0))
    head = size.to_bytes(4) + bytes(4) + b"\x04\x30\x00\x00" + b"mntrRGB XYZ " + created + b"acsp"
    head = head.ljust(68, b"\x00") + b"".join(map(_fixed, _D50))
    return head.ljust(128, b"\x00")


def _fixed(value: float) -> bytes:
    """Return a number as s15Fixed16."""
    return round(value * 65536).to_bytes(4, signed=True)


def _xyz(value: Triple) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, value))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    record = b"enUS" + len(encoded).to_bytes(4) + (28).to_bytes(4)
    return b"mluc" + bytes(4) + (1).to_bytes(4) + (12).to_bytes(4) + record + encoded
