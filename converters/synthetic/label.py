"""Draws what is around the tissue: the paper label, and the macro image that shows it."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from converters.synthetic.arrays import to_bytes
from converters.synthetic.measures import GLASS


def draw_label(seed: int) -> Image.Image:
    """Draw a paper label that cannot be taken for a patient's."""
    label = Image.new("RGB", (387, 463), (248, 247, 242))
    draw = ImageDraw.Draw(label)
    draw.rectangle((8, 8, 378, 454), outline=(60, 60, 60), width=3)
    lines = [
        ("SYNTHETIC", 52, 45), ("NOT A PATIENT", 36, 115),
        (f"S-{seed:05d}", 48, 195), ("H & E", 36, 265),
    ]  # fmt: skip
    for text, size, top in lines:
        draw.text((193, top), text, (25, 25, 30), ImageFont.load_default(size), anchor="ma")
    bars = np.random.default_rng(seed).integers(2, 7, 64)
    position = 40
    for index, width in enumerate(bars.tolist()):
        if index % 2 == 0 and position + width < 347:
            draw.rectangle((position, 340, position + width - 1, 420), (25, 25, 30))
        position += width
    return label


def draw_macro(label: Image.Image, overview: Image.Image) -> Image.Image:
    """Draw the whole slide: label at the left, cover slip, tissue (larger than to scale)."""
    macro = Image.new("RGB", (1280, 431), (206, 209, 208))
    draw = ImageDraw.Draw(macro)
    draw.rectangle((6, 8, 1273, 422), (228, 231, 229), outline=(176, 182, 181), width=2)
    macro.paste(label.resize((330, 395), Image.Resampling.BICUBIC), (16, 18))
    draw.rectangle((420, 22, 1190, 408), (233, 235, 232), outline=(196, 201, 199), width=2)
    tissue = overview.copy()
    tissue.thumbnail((480, 320))
    place = (805 - tissue.width // 2, 215 - tissue.height // 2)
    pixels = np.asarray(tissue).astype(np.float32) / GLASS * np.array([233, 235, 232])
    macro.paste(Image.fromarray(to_bytes(pixels)), place)
    return macro
