"""Hamamatsu slides with the structure of real ones, small and quick to make."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from conformance.bench.ndpi import (
    ASCII,
    FLOAT,
    LONG,
    SHORT,
    SLONG,
    NdpiWriter,
    Pixels,
    StripedJpeg,
    Tags,
    append_level,
    append_macro,
    append_map,
    encode_striped,
)
from conformance.bench.slides import draw_scene

FLUORESCENCE: Tags = {
    65434: (ASCII, b"DAPI 2 (387) "),
    65449: (ASCII, b"Created=2011/05/23\r\n;NDP Shading Data\r;ExcitationWaveLength=387\r"),
    65451: (FLOAT, [455.0]),
}


@dataclass(frozen=True)
class NdpiTruth:
    """What a slide holds: the levels of the middle focal plane, the base level first."""

    path: Path
    levels: tuple[StripedJpeg, ...]
    macro: Pixels


def make_ndpi(
    path: Path,
    *,
    columns: int = 3072,
    rows: int = 1088,
    stripe: int = 1024,
    factors: Sequence[int] = (1, 2, 4),
    plain: Sequence[int] = (8,),
    planes_nm: Sequence[int] = (0,),
    subsampling: str = "4:4:4",
    dimmed: int = 0,
    tags: Tags | None = None,
    macro: bool = True,
    seed: int = 0,
) -> NdpiTruth:
    """Write a slide and tell what is in it.

    Levels of the factors `plain` have no restart markers; stripes of the others have `stripe`
    columns, fewer by the factor. The map goes with the macro. Focal planes differ in brightness;
    a plane at 0 that is `dimmed` looks as one so far from it.
    `tags` are those of levels.
    """
    scene = Image.fromarray(draw_scene(columns, rows, seed=seed, noise=3))
    glass = draw_scene(1188, 406, seed=seed + 1)
    truth: dict[int, list[StripedJpeg]] = {}
    with NdpiWriter(path) as file:
        for focus in planes_nm:
            for factor in (*factors, *plain):
                size = (columns // factor, rows // factor)
                pixels = np.asarray(scene.resize(size, Image.Resampling.BOX))
                own = 0 if factor in plain else stripe // factor
                shade = (focus + dimmed) // 1000 + 8
                darker = pixels - np.minimum(pixels, shade).astype(np.uint8)
                jpeg = encode_striped(darker, own, subsampling=subsampling)
                truth.setdefault(focus, []).append(jpeg)
                common: Tags = {
                    65422: (SLONG, [12_538_720]),
                    65423: (SLONG, [-96_063]),
                    65424: (SLONG, [focus]),
                    530: (SHORT, [1, 1] if subsampling == "4:4:4" else [2, 2]),
                }
                resolution = 40_000 // factor
                append_level(
                    file,
                    jpeg,
                    lens=20 / factor,
                    per_cm=(resolution, resolution),
                    tags=common | (tags or {}),
                )
        if macro:
            append_macro(file, glass)
            append_map(file)
    middle = min(planes_nm, key=lambda focus: (abs(focus), focus))
    return NdpiTruth(path, tuple(truth[middle]), glass)


def decoded(jpeg: bytes) -> Pixels:
    """Decode a JPEG alone to RGB."""
    return np.asarray(Image.open(BytesIO(jpeg)).convert("RGB"))


def whole(level: StripedJpeg) -> Pixels:
    """Decode a level whose sides a JPEG can state, from its stripes."""
    parts = [
        stripe + (bytes((0xFF, 0xD0 + number % 8)) if number < len(level.stripes) - 1 else b"")
        for number, stripe in enumerate(level.stripes)
    ]
    return decoded(level.header + b"".join(parts) + b"\xff\xd9")


__all__ = ["FLUORESCENCE", "LONG", "NdpiTruth", "decoded", "make_ndpi", "whole"]
