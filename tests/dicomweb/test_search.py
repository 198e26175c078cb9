"""Searches as clients send them, through the whole application."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.filewriter import dcmwrite
from werkzeug.test import Client, TestResponse

from conformance.bench.objects import annotations_of
from gateway.bootstrap import Services, load_application, open_services
from gateway.dicom.attributes import INDEXED
from gateway.dicom.dictionary import tag_of
from gateway.dicom.streams.part10 import decode_header
from gateway.services import query
from gateway.settings import Settings
from tests.factories import SvsTruth
from tests.index.samples import linked, planned

Json = dict[str, Any]
HOST = "127.0.0.1:8080"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, svs: tuple[Path, SvsTruth]) -> Settings:
    """A slide and an annotation of it."""
    chosen = Settings(tmp_path_factory.mktemp("search") / "data")
    services = open_services(chosen)
    services.ingest.add(str(svs[0]))
    volume = services.index.instances(services.index.slides()[0].study)[0]
    header = decode_header(services.store.get(volume.header))
    annotations = BytesIO()
    dcmwrite(annotations, annotations_of(header), enforce_file_format=True)
    services.receive.receive([[annotations.getvalue()]])
    return chosen


@pytest.fixture(scope="module")
def client(archive: Settings) -> Client:
    return Client(load_application(archive, f"http://{HOST}"))


@pytest.fixture
def services(archive: Settings) -> Services:
    return open_services(archive)


def asked(client: Client, path: str) -> TestResponse:
    return client.get(f"/dicom-web{path}", headers={"Host": HOST})


def found(client: Client, path: str) -> list[Json]:
    answer = asked(client, path)
    assert answer.status_code == 200, answer.get_data()
    matches: list[Json] = json.loads(answer.get_data(), parse_constant=pytest.fail)
    return matches


def tag(keyword: str) -> str:
    return f"{tag_of(keyword):08X}"


@pytest.mark.req("REQ-QIDO-05", "REQ-QIDO-10")
@pytest.mark.parametrize(
    ("key", "matches"),
    [
        ("OpticalPathSequence.IlluminationTypeCodeSequence.CodeValue=111744", True),
        ("00480105.00220016.00080100=111744", True),
        ("OpticalPathSequence.IlluminationTypeCodeSequence.CodeValue=1", False),
        ("SpecimenDescriptionSequence.SpecimenIdentifier=*", True),
        ("VolumetricProperties=VOLUME", True),
        ("VolumetricProperties=SAMPLED", False),
        ("OpticalPathSequence.ObjectiveLensPower=20.0", True),
        ("OpticalPathSequence.ObjectiveLensPower=2e1", True),
        ("OpticalPathSequence.ObjectiveLensPower=40", False),
        ("PatientName=*&fuzzymatching=true", True),
        ('PatientID=""&emptyvaluematching=true', True),
        ('SOPClassUID=""&emptyvaluematching=true', False),
        ("SOPClassUID=*", True),
        ("ImageType=VOLUME%5CPRIMARY&multiplevaluematching=true", True),
        ("ImageType=VOLUME%5CLABEL&multiplevaluematching=true", False),
    ],
)
def test_every_kind_of_key_matches_and_is_returned(client: Client, key: str, matches: bool) -> None:
    instances = found(client, f"/instances?Modality=SM&{key}")
    assert bool(instances) is matches
    first = key.split("=")[0].split(".")[0]
    returned = first if first[0] == "0" else tag(first)
    assert all(returned in instance for instance in instances)


@pytest.mark.req("REQ-QIDO-05")
def test_annotations_are_found_by_what_they_are_of(client: Client) -> None:
    kind = "AnnotationGroupSequence.AnnotationPropertyTypeCodeSequence.CodeValue"
    (annotation,) = found(client, "/instances?Modality=ANN&includefield=AnnotationGroupSequence")
    item = annotation["006A0002"]["Value"][0]
    value = item["006A000A"]["Value"][0]["00080100"]["Value"][0]
    (study,) = found(client, f"/studies?{kind}={value}")
    assert study["006A0002"]["Value"][0]["006A000A"] == item["006A000A"]
    assert found(client, f"/studies?{kind}={value}x") == []


@pytest.mark.req("REQ-QIDO-10")
@pytest.mark.parametrize(("path", "levels"), [("/studies", 1), ("/series", 2), ("/instances", 3)])
def test_matches_have_the_attributes_of_all_levels_above(
    client: Client, path: str, levels: int
) -> None:
    for match in found(client, path):
        optional = {"TimezoneOffsetFromUTC", "RequestAttributesSequence"}
        kept = [word for level in list(INDEXED)[:levels] for word in INDEXED[level]]
        more = ["ModalitiesInStudy", "NumberOfStudyRelatedInstances", "RetrieveURL"]
        for keyword in {*kept, *more, "InstanceAvailability", "SpecificCharacterSet"} - optional:
            assert tag(keyword) in match
        assert match["00080061"]["Value"] == ["ANN", "SM"]
        assert list(match) == sorted(match)


@pytest.mark.req("REQ-QIDO-10")
def test_what_was_searched_for_in_lower_levels_is_returned(client: Client) -> None:
    (study,) = found(client, "/studies?Modality=ANN&SOPClassUID=1.2.840.10008.5.1.4.1.1.91.1")
    assert study["00080060"]["Value"] == ["ANN"]
    assert study["00080016"]["Value"] == ["1.2.840.10008.5.1.4.1.1.91.1"]
    (study,) = found(client, "/studies?includefield=SOPClassesInStudy")
    assert len(study["00080062"]["Value"]) == 2


@pytest.mark.req("REQ-QIDO-03")
def test_a_search_that_headers_would_have_to_answer_is_bounded(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MOST_HEADERS", 2)
    answer = asked(client, "/instances?VolumetricProperties=VOLUME")
    assert answer.status_code == 413
    assert "VolumetricProperties" in answer.get_json(force=True)["detail"]
    assert found(client, "/instances?VolumetricProperties=VOLUME&Modality=ANN") == []


def test_an_older_index_is_completed_from_the_headers(
    archive: Settings, services: Services
) -> None:
    path = "/instances?OpticalPathSequence.IlluminationTypeCodeSequence.CodeValue=111744"
    before = found(Client(load_application(archive, f"http://{HOST}")), path)
    assert before
    with closing(sqlite3.connect(archive.data / "slidegate.db")) as connection:
        connection.execute("DELETE FROM instance_terms")
        connection.execute("DELETE FROM study_terms")
        connection.execute("INSERT INTO untold SELECT id FROM instances")
        connection.commit()
    after = found(Client(load_application(archive, f"http://{HOST}")), path)
    assert after == before


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """More studies than one piece of an answer holds."""
    chosen = Settings(tmp_path_factory.mktemp("large") / "data")
    services = open_services(chosen)
    for number in range(520):
        plan = planned(number)
        services.index.add_slide(plan, linked(plan), due=0.0)
    return Client(load_application(chosen, f"http://{HOST}"))


@pytest.mark.req("REQ-QIDO-03", "REQ-QIDO-04")
def test_long_answers_stream_and_are_the_pages_one_after_the_other(large: Client) -> None:
    answer = asked(large, "/studies?ModalitiesInStudy=SM")
    assert answer.content_length is None
    assert "no-cache" in answer.headers["Cache-Control"]
    whole = json.loads(answer.get_data())
    assert len(whole) == 520
    pages = [
        match
        for offset in range(0, 600, 100)
        for match in found(large, f"/studies?ModalitiesInStudy=SM&limit=100&offset={offset}")
    ]
    assert pages == whole


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ("StudyDate=2020", "StudyDate"),
        ("StudyDate=-", "StudyDate"),
        ("StudyTime=noon", "StudyTime"),
        ("AcquisitionDateTime=x", "AcquisitionDateTime"),
        ("StudyInstanceUID=1.2*", "StudyInstanceUID"),
        ("limit=many", "limit"),
        ("fuzzymatching=maybe", "fuzzymatching"),
        ("PatientID.CodeValue=1", "PatientID"),
        ("ICCProfile=1", "ICCProfile"),
        ("OpticalPathSequence=1", "OpticalPathSequence"),
        ("PatientID=%00", "PatientID"),
        ("PatientName=a%00b&fuzzymatching=true", "PatientName"),
        ("VolumetricProperties=A*&VolumetricProperties=B", "VolumetricProperties"),
        ("OpticalPathSequence.ObjectiveLensPower=much", "ObjectiveLensPower"),
        ("PatientID=" + "*a" * 40, "PatientID"),
        ("multiplevaluematching=true&ImageType=" + "A%5C" * 999 + "A", "fewer values"),
        ("multiplevaluematching=true&ModalitiesInStudy=" + "A%5C" * 2000 + "A", "fewer values"),
    ],
)
@pytest.mark.req("REQ-QIDO-05", "REQ-QIDO-08")
def test_a_malformed_key_is_named(client: Client, parameters: str, says: str) -> None:
    answer = asked(client, f"/instances?{parameters}")
    assert answer.status_code == 400
    assert says in answer.get_json(force=True)["detail"]


KEYS = st.sampled_from(
    [
        *(word for words in INDEXED.values() for word in words),
        *("ModalitiesInStudy", "SOPClassesInStudy", "AcquisitionDateTime", "00400560.00400551"),
        *("OpticalPathSequence.ObjectiveLensPower", "limit", "offset", "includefield"),
        *("fuzzymatching", "emptyvaluematching", "multiplevaluematching", "PixelData", "00091001"),
        *(
            "FrameIncrementPointer",
            "SmallestImagePixelValue",
            "OpticalPathSequence..",
            ".",
            "accept",
        ),
    ]
)
VALUES = st.one_of(
    st.text(max_size=20).map(lambda text: quote(text.encode(errors="surrogatepass"))),
    st.binary(max_size=12).map(quote_from_bytes),
    st.sampled_from(
        ["true", '""', "*", "1.2", "-", "20200101-", "10-12", "9" * 40, "a%5Cb", "1,2"]
    ),
    st.sampled_from(
        ["1e999", "nan", "%00", "%ED%A0%80", "x" * 5000, "?*" * 30, "^=^", "00000000-"]
    ),
)


@pytest.mark.req("REQ-QIDO-05", "REQ-QIDO-08")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["/studies", "/series", "/instances"]),
    st.lists(st.tuples(st.one_of(KEYS, VALUES), VALUES), max_size=4),
)
def test_no_query_is_an_error_of_the_server(
    client: Client, path: str, pairs: list[tuple[str, str]]
) -> None:
    answer = asked(client, f"{path}?{'&'.join('='.join(pair) for pair in pairs)}")
    assert answer.status_code in (200, 400, 406, 413)
    json.loads(answer.get_data())
