"""What belongs to a slide, or lies beside it in a case, is kept without damage."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pytest
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import UID, EncapsulatedPDFStorage, ExplicitVRLittleEndian, generate_uid

from gateway.bootstrap import Services
from gateway.core.errors import Nonconformant, NotFound
from gateway.core.queries import AnyOf, Key, Query, QueryLevel
from tests.services.test_receive import blobs, changed, leaving, services, written

__all__ = ["services"]


def segmentation(volume: bytes, kind: SegmentationTypeValues) -> bytes:
    """Return a segmentation of a few tiles of odd size."""
    image = dcmread(BytesIO(volume), stop_before_pixels=True)
    mask = np.zeros((1, image.TotalPixelMatrixRows, image.TotalPixelMatrixColumns, 1), np.uint8)
    mask[0, 10:700, 20:900] = 1
    segment = SegmentDescription(
        segment_number=1,
        segment_label="tumour",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
    )
    made = Segmentation(
        [image],
        mask if kind is not SegmentationTypeValues.FRACTIONAL else mask.astype(np.float32),
        kind,
        [segment],
        generate_uid(),
        5,
        generate_uid(),
        1,
        "Slidegate",
        "tests",
        "1",
        "1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        tile_pixel_array=True,
        tile_size=(33, 35),
        omit_empty_frames=False,
        dimension_organization_type=highdicom.DimensionOrganizationTypeValues.TILED_FULL,
    )
    return written(made)


def binary(volume: bytes) -> bytes:
    return segmentation(volume, SegmentationTypeValues.BINARY)


def fractional(volume: bytes) -> bytes:
    return segmentation(volume, SegmentationTypeValues.FRACTIONAL)


def labels(volume: bytes) -> bytes:
    return segmentation(volume, SegmentationTypeValues.LABELMAP)


def parametric_map(volume: bytes) -> bytes:
    dataset = small(volume, "1.2.840.10008.5.1.4.1.1.30", "OT")
    dataset.BitsAllocated = 32
    for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
        del dataset[keyword]
    dataset.FloatPixelData = np.arange(15, dtype="<f4").tobytes()
    return written(dataset)


def photograph(volume: bytes) -> bytes:
    """Return a picture of a gross specimen, of the fewest attributes."""
    dataset = small(volume, "1.2.840.10008.5.1.4.1.1.77.1.4", "XC")
    del dataset.NumberOfFrames
    dataset.PixelData = bytes(range(15)) + b"\0"
    return written(dataset)


def small(volume: bytes, sop_class: str, modality: str) -> Dataset:
    image = dcmread(BytesIO(volume), stop_before_pixels=True)
    dataset = Dataset()
    for element in image:
        if element.tag.group in (0x0008, 0x0010, 0x0020) and element.VR != "SQ":
            dataset.add(element)
    dataset.SOPClassUID, dataset.Modality = UID(sop_class), modality
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 3, 5, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.file_meta = image.file_meta
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


@pytest.mark.req("REQ-OBJ-01", "REQ-WSI-34")
@pytest.mark.parametrize(
    ("make", "modality", "addressed"),
    [
        (binary, "SEG", False),
        (fractional, "SEG", True),
        (labels, "SEG", True),
        (parametric_map, "OT", True),
        (photograph, "XC", True),
    ],
)
def test_images_that_are_no_slides_are_kept(
    make: Callable[[bytes], bytes],
    modality: str,
    addressed: bool,
    volume: bytes,
    services: Services,
) -> None:
    stream = make(volume)
    received = services.receive.receive([[stream]])
    instance = services.retrieve.instance(received.key)
    assert leaving(services, instance) == stream
    assert services.retrieve.header(instance) == dcmread(BytesIO(stream), stop_before_pixels=True)
    (found,) = services.search.find(
        Query(QueryLevel.SERIES, (Key("Modality", AnyOf((modality,))),))
    )
    assert found.match["SeriesInstanceUID"] == received.key.series
    dataset = dcmread(BytesIO(stream))
    pixels = dataset.get("FloatPixelData") or dataset.PixelData
    if addressed:
        numbers = range(1, instance.number_of_frames + 1)
        frames = [services.retrieve.frame(instance, number) for number in numbers]
        assert b"".join(frames) == pixels[: sum(map(len, frames))]
        assert len(pixels) - sum(map(len, frames)) in (0, 1)
    else:
        with pytest.raises(NotFound, match="not whole bytes"):
            services.retrieve.frame(instance, 1)
    assert services.receive.receive([[stream]]).verdict is None


@pytest.mark.parametrize("make", [binary, parametric_map])
def test_pixel_data_that_cannot_be_written_anew_are_not_repaired(
    make: Callable[[bytes], bytes], volume: bytes, services: Services, tmp_path: Path
) -> None:
    dataset = dcmread(BytesIO(make(volume)))
    del dataset.PatientSex
    with pytest.raises(Nonconformant, match="PatientSex is missing"):
        services.receive.receive([[written(dataset)]])
    assert not list((tmp_path / "data/blobs").rglob("*.dcm"))


def test_what_was_lost_of_packed_frames_comes_back(
    volume: bytes, services: Services, tmp_path: Path
) -> None:
    stream = binary(volume)
    instance = services.retrieve.instance(services.receive.receive([[stream]]).key)
    for path in blobs(services, tmp_path):
        Path(path).unlink()
    services.receive.receive([[stream]])
    assert leaving(services, instance) == stream
    assert services.retrieve.header(instance).Modality == "SEG"


@pytest.mark.req("REQ-OBJ-02", "REQ-OBJ-03")
@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        ("1.2.840.10008.5.1.4.1.1.11.8", "PR"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "KO"),
        (EncapsulatedPDFStorage, "DOC"),
    ],
)
def test_documents_are_kept_as_they_came(
    sop_class: str, modality: str, volume: bytes, services: Services
) -> None:
    dataset = small(volume, sop_class, modality)
    for element in [one for one in dataset if one.tag.group == 0x0028]:
        del dataset[element.tag]
    if modality == "DOC":
        dataset.EncapsulatedDocument = b"%PDF-1.7 " * 1000
        dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    stream = written(dataset)
    received = services.receive.receive([[stream]])
    assert received.warning is None
    instance = services.retrieve.instance(received.key)
    assert leaving(services, instance) == stream
    assert services.retrieve.header(instance) == dcmread(BytesIO(stream))


def test_an_image_of_one_bit_that_is_a_slide_is_refused(volume: bytes, services: Services) -> None:
    dataset = dcmread(BytesIO(binary(volume)))
    dataset.SOPClassUID = dcmread(BytesIO(volume)).SOPClassUID
    with pytest.raises(Nonconformant):
        services.receive.receive([[changed(written(dataset))]])
