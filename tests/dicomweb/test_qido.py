"""URL parameters become queries, matches become DICOM JSON."""

import contextlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.filewriter import dcmwrite

from gateway.core.errors import InvalidQuery
from gateway.core.queries import AnyOf, Key, Query, QueryLevel, Range, Wildcard
from gateway.dicomweb.qido import SearchRequest, found_json, parse_search
from gateway.services.query import Found


def asked(*parameters: tuple[str, str], level: QueryLevel = QueryLevel.INSTANCE) -> SearchRequest:
    return parse_search(level, [], parameters)


@pytest.mark.req("REQ-QIDO-05", "REQ-QIDO-07", "REQ-QIDO-08", "REQ-QIDO-09")
@pytest.mark.parametrize(
    ("parameters", "keys"),
    [
        ([("PatientID", "P1")], [Key("PatientID", AnyOf(("P1",)))]),
        ([("PatientID", " ")], []),
        ([("00100020", "P1")], [Key("PatientID", AnyOf(("P1",)))]),
        ([("PatientName", "M?l*")], [Key("PatientName", Wildcard("M?l*"))]),
        ([("PatientName", "*")], []),
        ([("PatientName", "")], []),
        ([("StudyDate", "20200101-")], [Key("StudyDate", Range("20200101", None))]),
        ([("StudyDate", "-20200101")], [Key("StudyDate", Range(None, "20200101"))]),
        ([("StudyDate", "20200101")], [Key("StudyDate", AnyOf(("20200101",)))]),
        (
            [("0020000E", "1.2"), ("0020000e", "1.3")],
            [Key("SeriesInstanceUID", AnyOf(("1.2", "1.3")))],
        ),
        ([("SeriesInstanceUID", "1.2,1.3")], [Key("SeriesInstanceUID", AnyOf(("1.2", "1.3")))]),
        ([("SeriesInstanceUID", "1.2\\1.3")], [Key("SeriesInstanceUID", AnyOf(("1.2", "1.3")))]),
        ([("Modality", "SM")], [Key("Modality", AnyOf(("SM",)))]),
        ([("Modality", "SM\\SR")], [Key("Modality", AnyOf(("SM", "SR")))]),
        ([("PatientID", "A"), ("PatientID", "B")], [Key("PatientID", AnyOf(("A", "B")))]),
        ([("InstanceNumber", "007")], [Key("InstanceNumber", AnyOf(("007",)))]),
        ([("ModalitiesInStudy", "SM")], [Key("ModalitiesInStudy", AnyOf(("SM",)))]),
    ],
)
def test_keys_are_read_in_every_form(parameters: list[tuple[str, str]], keys: list[Key]) -> None:
    assert list(asked(*parameters).query.keys) == keys


@pytest.mark.parametrize(
    "parameter",
    [
        ("StudyDate", "2020"),
        ("StudyDate", "-"),
        ("StudyDate", "20200101-2021"),
        ("StudyTime", "noon"),
        ("StudyInstanceUID", "1.2*"),
        ("limit", "-1"),
        ("limit", "many"),
        ("offset", "1.5"),
        ("InstanceNumber", "one"),
    ],
)
def test_malformed_values_are_told(parameter: tuple[str, str]) -> None:
    with pytest.raises(InvalidQuery):
        asked(parameter)


def test_repeated_wildcards_are_refused_in_any_order() -> None:
    for texts in (("A*", "B"), ("B", "A*")):
        with pytest.raises(InvalidQuery, match="more than once"):
            asked(*(("PatientID", text) for text in texts))


@pytest.mark.req("REQ-QIDO-05", "REQ-QIDO-08")
def test_what_is_not_done_is_ignored_and_told() -> None:
    search = asked(("NoSuchThing", "1"), ("00020010", "x"), ("RetrieveURL", "x"), ("00091001", ""))
    assert search.query == Query(QueryLevel.INSTANCE)
    assert len(search.warnings) == 4


@pytest.mark.req("REQ-QIDO-06")
def test_included_fields_come_repeated_or_with_commas() -> None:
    repeated = asked(("includefield", "00480105"), ("includefield", "OpticalPathSequence"))
    listed = asked(("includefield", "OpticalPathSequence,00080018,bogus"))
    assert repeated.include == {0x00480105}
    assert listed.include == {0x00480105, 0x00080018}
    assert repeated.needs_headers
    assert not asked(("includefield", "Rows,StudyDate")).needs_headers
    assert asked(("includefield", "all")).needs_headers


def test_the_path_wins_over_a_contradicting_key() -> None:
    with pytest.raises(InvalidQuery):
        parse_search(
            QueryLevel.SERIES, [("StudyInstanceUID", "1.2")], [("StudyInstanceUID", "1.3")]
        )


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=5))
def test_any_parameters_end_in_an_answer(parameters: list[tuple[str, str]]) -> None:
    with contextlib.suppress(InvalidQuery):
        asked(*parameters)


def test_of_a_header_only_what_is_asked_for_is_read(volume: bytes) -> None:
    dataset = dcmread(BytesIO(volume), stop_before_pixels=True)
    dataset.PerFrameFunctionalGroupsSequence = [Dataset()] * 3
    stream = BytesIO()
    dcmwrite(stream, dataset)
    header = dcmread(BytesIO(stream.getvalue()))
    uids = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    match = Found({keyword: str(header[keyword].value) for keyword in uids}, header)
    told = found_json(match, asked(("includefield", "OpticalPathSequence")), "http://here")
    assert "00480105" in told
    assert "52009230" not in told
    assert isinstance(header.get_item("PerFrameFunctionalGroupsSequence"), RawDataElement)
