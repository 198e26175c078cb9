"""Broken streams and bit streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN
from gateway.dicom.gate.pixels import JPEG_2000, JPEG_2000_LOSSLESS
from tests.dicom.gate.corpus.cases import HELD, PASSED, REPAIRED, case, setting
from tests.dicom.gate.samples import Sample, put

Pixels = NDArray[np.uint8]


@case("image", HELD, "FILE-UNREADABLE")
def cut_off_in_the_last_frame(sample: Sample) -> bytes:
    return sample.encoded()[:-5000]


@case("image", HELD, "FILE-UNREADABLE")
def cut_off_in_the_header(sample: Sample) -> bytes:
    return sample.encoded()[:1000]


@case("image", HELD, "FILE-UNREADABLE")
def no_dicom_at_all(sample: Sample) -> bytes:
    return b"II*\0" + sample.encoded()[4:128] + bytes(4000)


@case("image", HELD, "FILE-UNREADABLE")
def nothing(_: Sample) -> bytes:
    return b""


@case("image", HELD, "FILE-META")
def meta_of_another_instance(sample: Sample) -> bytes:
    uid = str(sample.dataset.SOPInstanceUID).encode()
    stream = sample.encoded()
    place = stream.index(uid)
    return stream[:place] + uid.replace(b"1", b"2") + stream[place + len(uid) :]


@case("image", HELD, "FILE-META")
def meta_of_another_class(sample: Sample) -> bytes:
    uid = b"1.2.840.10008.5.1.4.1.1.77.1.6"
    stream = sample.encoded()
    return stream.replace(uid, uid[:-1] + b"4", 1)


@case("image", HELD, "FILE-UNREADABLE")
def frames_fewer_than_number_of_frames(sample: Sample) -> bytes:
    return replace(sample, frames=sample.frames[:-1]).encoded()


@case("image", REPAIRED, "FILE-OFFSETS")
def offsets_that_point_elsewhere(sample: Sample) -> bytes:
    stream = sample.encoded()
    place = stream.index(b"\xe0\x7f\x10\x00OB") + 20
    return stream[: place + 4] + b"\x02\0\0\0" + stream[place + 8 :]


@case("image", HELD, "FILE-UNREADABLE")
def jpeg_that_calls_itself_native(sample: Sample) -> bytes:
    return replace(sample, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN).encoded()


@case("image", HELD, "FILE-UNREADABLE")
def element_twice(sample: Sample) -> bytes:
    stream = sample.encoded()
    rows = b"\x28\x00\x10\x00US\x02\x00"
    place = stream.index(rows)
    return stream[:place] + stream[place : place + 10] + stream[place:]


# -- bit streams


def framed(sample: Sample, make: Callable[[Pixels], bytes], **header: object) -> bytes:
    """Return the image with frames that are coded otherwise."""
    pixels = np.zeros((sample.dataset.Rows, sample.dataset.Columns, 3), np.uint8) + 99
    syntax = str(header.pop("transfer_syntax", sample.transfer_syntax))

    def change(dataset: Dataset) -> None:
        for keyword, value in header.items():
            put(dataset, keyword, value)

    frames = (make(pixels),) * len(sample.frames)
    return replace(sample.changed(change), frames=frames, transfer_syntax=syntax).encoded()


def jpeg(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels))


def reversible(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True))


def irreversible(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=False, level=40))


@case("image", HELD, "WSI-TILE-SIZE")
def tiles_not_padded_at_the_edges(sample: Sample) -> bytes:
    small = bytes(
        imagecodecs.jpeg8_encode(
            np.zeros((240, 120, 3), np.uint8), colorspace="rgb", outcolorspace="rgb"
        )
    )
    return replace(sample, frames=(*sample.frames[:-1], small)).encoded()


@case("image", HELD, "WSI-COLOUR")
def rgb_that_calls_itself_ybr(sample: Sample) -> bytes:
    return sample.changed(setting("PhotometricInterpretation", "YBR_FULL_422")).encoded()


@case("image", HELD, "WSI-COLOUR")
def ybr_that_calls_itself_rgb(sample: Sample) -> bytes:
    return framed(sample, jpeg)


@case("image", PASSED, "WSI-COLOUR-UNSTATED")
def rgb_without_a_marker(sample: Sample) -> bytes:
    def bare(stream: bytes) -> bytes:
        place = stream.index(b"\xff\xee")
        return stream[:place] + stream[place + 16 :]

    return sample.with_frames(bare).encoded()


@case("image", HELD, "WSI-SAMPLES")
def grey_jpeg_under_a_colour_header(sample: Sample) -> bytes:
    return framed(sample, lambda pixels: jpeg(np.ascontiguousarray(pixels[..., 0])))


@case("image", HELD, "WSI-BITSTREAM")
def noise_instead_of_jpeg(sample: Sample) -> bytes:
    return framed(sample, lambda pixels: b"\x01\x02" * 500)


@case("image", HELD, "WSI-COLOUR")
def jpeg_2000_with_a_transform_that_is_not_stated(sample: Sample) -> bytes:
    return framed(sample, reversible, transfer_syntax=JPEG_2000, PhotometricInterpretation="RGB")


@case("image", PASSED, "VIEW-NONE")
def jpeg_2000_as_stated(sample: Sample) -> bytes:
    return framed(
        sample, reversible, transfer_syntax=JPEG_2000, PhotometricInterpretation="YBR_RCT"
    )


@case("image", HELD, "WSI-BITSTREAM")
def jpeg_2000_with_loss_under_a_lossless_syntax(sample: Sample) -> bytes:
    return framed(
        sample,
        irreversible,
        transfer_syntax=JPEG_2000_LOSSLESS,
        PhotometricInterpretation="YBR_ICT",
    )


@case("image", HELD, "WSI-LOSSY")
def jpeg_2000_with_loss_that_is_denied(sample: Sample) -> bytes:
    return framed(
        sample,
        irreversible,
        transfer_syntax=JPEG_2000,
        PhotometricInterpretation="YBR_ICT",
        LossyImageCompression="00",
    )
