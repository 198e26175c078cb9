"""JSON straight from the bytes says what JSON of the data set says."""

import json
import math
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.data import get_charset_files, get_testdata_files
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gateway.core.blobs import InMemory
from gateway.core.errors import GatewayError, InvalidDataset
from gateway.dicom.json.headers import ROOT, header_json
from gateway.dicom.json.model import dataset_json
from gateway.dicom.json.walk import binary_at
from gateway.dicom.streams.part10 import decode_header, encode_header
from gateway.dicom.streams.reader import read_part10
from tests.conftest import SHARED

LIMIT = 1000
Found = dict[str, Any]


def in_pieces(header: bytes, limit: int = LIMIT) -> Found:
    text = "".join(header_json(header, "/i", inline=lambda _, size: size <= limit))
    assert text.isascii()
    # No name stands twice in an object, and nothing is no JSON.
    found: Found = json.loads(
        text.replace(ROOT, "root"), object_pairs_hook=_once, parse_constant=pytest.fail
    )
    return found


def _once(pairs: list[tuple[str, Any]]) -> Found:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def at_once(dataset: Dataset, limit: int = LIMIT) -> Found:
    document = dataset_json(dataset, lambda path: f"root/i/bulkdata/{path}", inline_limit=limit)
    found: Found = json.loads(json.dumps(document, allow_nan=False))
    return found


def encoded(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.6", "1.2.3"
    return encode_header(dataset, syntax)


def readable() -> Iterator[bytes]:
    names = {*get_testdata_files("*.dcm"), *get_charset_files("*.dcm")}
    slides = (path for path in SHARED.rglob("*.dcm") if path.stat().st_size < 1 << 27)
    for path in (*map(Path, sorted(names, key=str)), *slides):
        content = path.read_bytes()
        try:
            yield read_part10(InMemory(content).read, len(content)).header
        except GatewayError:
            continue


@pytest.mark.filterwarnings("ignore")  # the library's own remarks about its samples
def test_real_headers_of_all_kinds_say_the_same() -> None:
    compared = 0
    for header in readable():
        try:
            wanted = at_once(decode_header(header))
        except Exception:  # what it cannot read is not received
            continue
        assert in_pieces(header) == wanted
        compared += 1
    assert compared > 60


NUMBERS = {
    "FD": st.floats(),
    "FL": st.floats(width=32),
    "SL": st.integers(-(1 << 31), (1 << 31) - 1),
    "SS": st.integers(-(1 << 15), (1 << 15) - 1),
    "SV": st.integers(-(1 << 63), (1 << 63) - 1),
    "UL": st.integers(0, (1 << 32) - 1),
    "US": st.integers(0, (1 << 16) - 1),
    "UV": st.integers(0, (1 << 64) - 1),
    "DS": st.sampled_from(
        ["", "0", "-0", "1.50", "+2", "2.5e-4", "1E5", ".5", "7.", "0012", "-3 "]
    ),
    "IS": st.sampled_from(["", "0", "-7", "+12", "007", "2147483647"]),
    "AT": st.integers(0, (1 << 32) - 1),
}
TEXTS = {
    "CS": st.sampled_from(["", "YES", "A_1"]),
    "DA": st.sampled_from(["", "20240229"]),
    "LO": st.text('aé山"/<> ', max_size=9),
    "LT": st.text("aé山\\\r\n ", max_size=9),
    "PN": st.sampled_from(["", "A^B", "Yamada^Tarou=山田^太郎=やまだ^たろう", "^^^", "=x"]),
    "SH": st.text("b ", max_size=5),
    "TM": st.sampled_from(["", "1230", "123000.123456"]),
    "UI": st.sampled_from(["", "1.2.3"]),
    "UR": st.sampled_from(["", "http://x/?a=b\\c"]),
    "UT": st.text(st.characters(categories=("L", "N", "S", "P")), max_size=200),
}
SINGLE = {"LT", "UT", "UR"}
BYTES = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> list[DataElement]:
    """Private elements of every VR, with and without values, and sequences of them."""
    kinds = [*NUMBERS, *TEXTS, *BYTES, *(["SQ"] if depth < 3 else [])]
    found = []
    for number, vr in enumerate(draw(st.lists(st.sampled_from(kinds), max_size=6))):
        value: object
        if vr == "SQ":
            inner = draw(st.lists(elements(depth + 1), max_size=3))
            items = [Dataset({one.tag: one for one in item}) for item in inner]
            for item in items:
                item.is_undefined_length_sequence_item = draw(st.booleans())
            value = Sequence(items)
            value.is_undefined_length = draw(st.booleans())
        elif vr in BYTES:
            value = 8 * draw(st.binary(max_size=200))
        else:
            values = draw(st.lists((NUMBERS | TEXTS)[vr], max_size=1 if vr in SINGLE else 3))
            value = values[0] if len(values) == 1 else values or None
        found.append(DataElement(0x00111000 + number, vr, value))
        if vr == "SQ":
            found[-1].is_undefined_length = value.is_undefined_length  # type: ignore[attr-defined]
    return found


@pytest.mark.filterwarnings("ignore:A value of type")
@given(elements(), st.sampled_from([0, 100, 10**9]), st.booleans())
def test_any_data_set_says_the_same(members: list[DataElement], limit: int, implicit: bool) -> None:
    dataset = Dataset({one.tag: one for one in members})
    dataset.SpecificCharacterSet = "ISO_IR 192"
    header = encoded(dataset, ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)
    assert in_pieces(header, limit) == at_once(decode_header(header), limit)


def test_the_character_set_of_an_item_is_its_own() -> None:
    dataset, item = Dataset(), Dataset()
    dataset.SpecificCharacterSet, item.SpecificCharacterSet = "ISO_IR 100", "ISO_IR 192"
    dataset.PatientName = "Müller"
    item.CodeMeaning = "Größe 山"
    after = Dataset()
    after.CodeMeaning = "Größe"
    dataset.ConceptNameCodeSequence = [item, after]
    header = encoded(dataset)
    assert in_pieces(header) == at_once(decode_header(header))
    assert in_pieces(header)["0040A043"]["Value"][0]["00080104"]["Value"] == ["Größe 山"]


def test_unknown_values_become_known_by_their_tag_and_their_creator() -> None:
    dataset, item = Dataset(), Dataset()
    item.add(DataElement(0x00280103, "US", 1))
    item.add(DataElement(0x00280106, "UN", b"\xff\xff"))
    dataset.ReferencedImageSequence = [item]
    dataset.add(DataElement(0x00091001, "UN", b"GE "))
    dataset.add(DataElement(0x00090010, "LO", "GEMS_IDEN_01"))
    dataset.add(DataElement(0x00111001, "UN", b"unknown!"))
    dataset.add(DataElement(0x00100020, "UN", b"1234"))
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        header = encoded(dataset, syntax)
        assert in_pieces(header) == at_once(decode_header(header))
    found = in_pieces(encoded(dataset))
    assert found["00091001"] == {"vr": "LO", "Value": ["GE"]}
    assert found["00100020"] == {"vr": "LO", "Value": ["1234"]}


@pytest.mark.req("REQ-META-08")
@pytest.mark.parametrize("undefined", [False, True])
def test_many_items_come_in_many_pieces(undefined: bool) -> None:
    dataset = Dataset()
    items = []
    for number in range(3000):
        item, place = Dataset(), Dataset()
        place.XOffsetInSlideCoordinateSystem = f"{20 - number * 0.128:.6f}"
        place.RowPositionInTotalImagePixelMatrix = number
        item.PlanePositionSlideSequence = [place]
        item.is_undefined_length_sequence_item = undefined
        items.append(item)
    dataset.PerFrameFunctionalGroupsSequence = items
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined
    header = encoded(dataset)
    pieces = list(header_json(header))
    assert max(map(len, pieces)) < 1000
    assert in_pieces(header) == at_once(decode_header(header))


@pytest.mark.req("REQ-META-03")
def test_large_values_are_uris_but_profiles_are_inline() -> None:
    dataset, path, group = Dataset(), Dataset(), Dataset()
    large = bytes(range(256)) * (1 << 13)
    path.ICCProfile = large
    dataset.OpticalPathSequence = [path]
    group.add(DataElement(0x00660016, "OF", large))
    dataset.AnnotationGroupSequence = [group]
    header = encoded(dataset)
    found = json.loads("".join(header_json(header, "/i")).replace(ROOT, "root"))
    assert found["00480105"]["Value"][0]["00282000"]["InlineBinary"]
    uri = found["006A0002"]["Value"][0]["00660016"]["BulkDataURI"]
    assert uri == "root/i/bulkdata/006A0002/0/00660016"
    assert in_pieces(header, 10**9) == at_once(dataset, 10**9)
    assert in_pieces(header, 0) == at_once(dataset, 0)


@given(elements(), st.booleans())
def test_every_uri_leads_to_the_value(members: list[DataElement], implicit: bool) -> None:
    dataset = Dataset({one.tag: one for one in members})
    dataset.SpecificCharacterSet = "ISO_IR 192"
    header = encoded(dataset, ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)
    inline, outside = in_pieces(header, 10**9), in_pieces(header, 0)

    def compare(one: Found, other: Found) -> None:
        for tag, element in one.items():
            if uri := other[tag].get("BulkDataURI"):
                place = binary_at(header, uri.removeprefix("root/i/bulkdata/"))
                assert place is not None
                value = header[place[0] : sum(place)]
                assert value == b64decode(element["InlineBinary"])
            elif element["vr"] == "SQ":
                for item in zip(element.get("Value", []), other[tag].get("Value", []), strict=True):
                    compare(*item)

    compare(inline, outside)


@given(st.text("0123456789abcdefABCDEF/", max_size=40))
def test_paths_that_lead_nowhere_are_none(path: str) -> None:
    dataset, item = Dataset(), Dataset()
    item.ICCProfile = bytes(10)
    dataset.OpticalPathSequence = [item]
    header = encoded(dataset)
    for wrong in (path, f"00480105/{path}", f"00480105/0/{path}", f"00480105/0/00282000/{path}"):
        assert binary_at(header, wrong) is None or wrong == "00480105/0/00282000"


def test_what_is_added_stands_in_its_place() -> None:
    dataset = Dataset()
    dataset.AvailableTransferSyntaxUID = "1.2.840.10008.1.2"
    dataset.PatientID = "1"
    added: dict[int, dict[str, object]] = {
        0x00083002: {"vr": "UI", "Value": ["1.2"]},
        0x7FFF0001: {"vr": "LO"},
    }
    found = json.loads("".join(header_json(encoded(dataset), added=added)))
    assert list(found) == ["00080016", "00080018", "00083002", "00100020", "7FFF0001"]
    assert found["00083002"]["Value"] == ["1.2"]


@given(st.data())
def test_damaged_headers_raise(data: st.DataObject) -> None:
    dataset, item = Dataset(), Dataset()
    item.PixelSpacing = [math.pi, 1]
    item.CodeMeaning = "x" * 70
    dataset.SharedFunctionalGroupsSequence = [item, item]
    header = bytearray(encoded(dataset))
    place = data.draw(st.integers(132, len(header) - 1))
    header[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(200, len(header)))
    try:
        "".join(header_json(bytes(header[:cut])))
    except Exception as error:  # the way in makes one of ours of all of them
        assert not isinstance(error, RecursionError | MemoryError)


def test_an_element_that_stands_twice_is_refused() -> None:
    once = encoded(Dataset())
    patient = b"\x10\x00\x20\x00LO\x02\x001 "
    assert in_pieces(once + patient)["00100020"]
    with pytest.raises(InvalidDataset, match="twice"):
        in_pieces(once + patient + patient)
