"""JPEG 2000 that no viewer of DICOM shows in the right colours: decoded, and encoded without loss.

Aperio's compression 33003 codes Y, Cb and Cr as they are. DICOM has a name for that (YBR_FULL), but
readers refuse it or take the components for R, G and B.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from converters.codecs.encoding import Encoder, Encoding, Pixels, jpeg_2000
from converters.codecs.jpeg_2000 import rgb_image
from converters.sources import LossyStep, ScannedSlide, SlideImage
from converters.tiff import told
from converters.tiff.pages import UNTRANSFORMED_COLOURS
from gateway.core.errors import SlideUnreadable
from gateway.core.frames import FrameTable
from gateway.core.ports import Progress
from gateway.core.storage import Scratch


def recoded(path: Path, slide: ScannedSlide) -> ScannedSlide:
    """Return a slide as one whose levels of Y, Cb and Cr are decoded when it is added.

    What the pixels lost when they were first compressed stays in their history.

    Parameters
    ----------
    path
        The scanner's file, which the frames of `slide` lie in.
    """
    if all(image.photometric_interpretation != UNTRANSFORMED_COLOURS for image in slide.images):
        return slide
    encoding = jpeg_2000()

    def decode(scratch: Scratch, progress: Progress | None) -> tuple[SlideImage, ...]:
        tiles = sum(len(image.frames) for image in slide.images)
        encoder = Encoder(scratch, progress, tiles)
        with path.open("rb") as file:
            return tuple(
                _level(image, encoder, encoding, path, file.fileno())
                if image.photometric_interpretation == UNTRANSFORMED_COLOURS
                else image
                for image in slide.images
            )

    return replace(slide, images=(), decode=decode, encoder=encoding.name)


def _level(
    image: SlideImage, encoder: Encoder, encoding: Encoding, path: Path, file: int
) -> SlideImage:
    frames = image.frames
    assert isinstance(frames, FrameTable)

    def read(offset: int, length: int) -> bytes:
        return os.pread(file, length, offset)

    def tile(row: int, column: int) -> Pixels:
        with told(path):
            stream = frames.bitstream(image.grid.frame_number(row, column), read)
            pixels = np.asarray(rgb_image(stream, ycbcr=True))
            if pixels.shape[:2] != (image.grid.tile_rows, image.grid.tile_columns):
                raise SlideUnreadable("A tile is of another size than it should be.")
            return pixels

    uncompressed = 3 * image.grid.tile_rows * image.grid.tile_columns * len(frames)
    step = LossyStep("ISO_15444_1", uncompressed / frames.stored_bytes)
    return encoder.level(encoding, image.grid, tile, (step,) if image.lossy else ())
