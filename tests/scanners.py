"""Files of the scanners besides Aperio's, small and with the structure of real ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from conformance.bench.slides import draw_scene

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class VmsTruth:
    """What the JPEGs of a VMS hold when they are decoded, and its macro image."""

    pixels: Pixels
    macro: Pixels


def make_vms(
    path: Path, *, columns: int = 1408, rows: int = 1024, physical: bool = True, seed: int = 0
) -> VmsTruth:
    """Write a Hamamatsu VMS of two JPEGs side by side, with a restart marker for each 8 MCUs."""
    scene = draw_scene(columns, rows, seed=seed)
    left = 1024
    parts = []
    for number, part in enumerate((scene[:, :left], scene[:, left:])):
        name = path.with_name(f"{path.stem}-{number}.jpg")
        _save(name, part, restart_marker_blocks=8)
        parts.append(np.asarray(Image.open(name)))
    small = Image.fromarray(scene).resize((columns // 16, rows // 16), Image.Resampling.BOX)
    _save(path.with_name(f"{path.stem}-map.jpg"), np.asarray(small), restart_marker_rows=1)
    macro = path.with_name(f"{path.stem}-macro.jpg")
    _save(macro, draw_scene(320, 107, seed=seed + 3))
    lines = {
        "NoLayers": 1,
        "NoJpegColumns": 2,
        "NoJpegRows": 1,
        "ImageFile": f"{path.stem}-0.jpg",
        "ImageFile(1,0)": f"{path.stem}-1.jpg",
        "MapFile": f"{path.stem}-map.jpg",
        "MacroImage": macro.name,
        "SourceLens": 20,
    }
    if physical:
        lines |= {"PhysicalWidth": columns * 460, "PhysicalHeight": rows * 450}
    text = "".join(f"{key}={value}\r\n" for key, value in lines.items())
    path.write_text(f"[Virtual Microscope Specimen]\r\n{text}", newline="")
    return VmsTruth(np.hstack(parts), np.asarray(Image.open(macro)))


def _save(path: Path, pixels: Pixels, **options: object) -> None:
    Image.fromarray(pixels).save(path, "JPEG", **{"quality": 85, "subsampling": "4:4:4"} | options)
