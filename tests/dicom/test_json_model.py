"""The DICOM JSON Model."""

import json
import math

import pytest
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from gateway.dicom.json.model import dataset_json


def as_json(dataset: Dataset, limit: int = 1000) -> dict[str, dict[str, object]]:
    document = dataset_json(dataset, lambda path: f"http://x/{path}", inline_limit=limit)
    text = json.dumps(document, allow_nan=False)
    found: dict[str, dict[str, object]] = json.loads(text)
    return found


@pytest.mark.req("REQ-QIDO-12", "REQ-META-07")
def test_values_have_the_form_of_their_vr() -> None:
    dataset = Dataset()
    dataset.PatientName = "Yamada^Tarou=山田^太郎"
    dataset.ImageType = ["ORIGINAL", "", "VOLUME"]
    dataset.PixelSpacing = ["0.00025", "2.5e-4"]
    dataset.NumberOfFrames = "42"
    dataset.PatientID = None
    dataset.add(DataElement(Tag("ImagedVolumeWidth"), "FL", math.nan))
    dataset.add(DataElement(Tag("FrameIncrementPointer"), "AT", Tag("FrameTime")))
    assert as_json(dataset) == {
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "VOLUME"]},
        "00100010": {
            "vr": "PN",
            "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}],
        },
        "00100020": {"vr": "LO"},
        "00280008": {"vr": "IS", "Value": [42]},
        "00280009": {"vr": "AT", "Value": ["00181063"]},
        "00280030": {"vr": "DS", "Value": [0.00025, 0.00025]},
        "00480001": {"vr": "FL"},
    }


@pytest.mark.req("REQ-META-02", "REQ-META-04", "REQ-META-10")
def test_binary_values_are_inline_or_at_an_address_of_their_own() -> None:
    dataset = Dataset()
    items = []
    for number in range(3):
        item = Dataset()
        item.add(DataElement(0x00660016, "OF", bytes([number]) * 8))
        items.append(item)
    dataset.AnnotationGroupSequence = items
    dataset.add(DataElement(0x00091010, "UN", b"private!"))
    dataset.add(DataElement(0x00091011, "OB", b""))
    inline = as_json(dataset)
    assert inline["00091010"] == {"vr": "UN", "InlineBinary": "cHJpdmF0ZSE="}
    assert inline["00091011"] == {"vr": "OB"}
    outside = as_json(dataset, limit=7)
    groups = outside["006A0002"]["Value"]
    assert isinstance(groups, list)
    uris = [group["00660016"]["BulkDataURI"] for group in groups]
    assert uris == [f"http://x/006A0002/{number}/00660016" for number in range(3)]
    assert outside["00091010"]["BulkDataURI"] == "http://x/00091010"


@pytest.mark.req("REQ-META-05")
def test_pixel_data_never_enter() -> None:
    dataset = Dataset()
    dataset.add(DataElement(0x7FE00010, "OB", bytes(10)))
    dataset.add(DataElement(0x7FE00001, "OV", bytes(8)))
    assert as_json(dataset) == {}
