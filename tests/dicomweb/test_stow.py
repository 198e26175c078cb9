"""Objects are stored as clients store them, and the answers are those that clients read."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from werkzeug.test import Client, TestResponse

from conformance.bench.objects import annotations_of, report_of
from gateway.bootstrap import load_application
from gateway.dicomweb import stow
from gateway.settings import Settings
from tests.conftest import Server, serving
from tests.dicomweb.test_incoming import framed
from tests.services.test_kinds import binary, parametric_map
from tests.services.test_receive import changed, written

Json = dict[str, Any]
B = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
JAVASCRIPT = f'multipart/related; type="application/dicom"; boundary="{B}"'
FAILED, STORED, OTHER = "00081198", "00081199", "0008119A"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without slides."""
    with serving(tmp_path_factory.mktemp("archive") / "data") as running:
        yield running


@dataclass(frozen=True)
class Sample:
    """An image nobody has stored yet."""

    stream: bytes

    def __getattr__(self, keyword: str) -> str:
        return str(getattr(dcmread(BytesIO(self.stream), stop_before_pixels=True), keyword))


def new(stream: bytes, **values: object) -> Sample:
    """Return a copy of an object, in a study of its own unless it is given one."""
    values = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()} | values
    return Sample(changed(stream, SOPInstanceUID=generate_uid(), **values))


@pytest.fixture
def image(objects: dict[str, bytes]) -> Sample:
    return new(objects["VOLUME/NONE"])


def post(
    server: Server,
    parts: Sequence[bytes],
    study: str = "",
    content_type: str = JAVASCRIPT,
    **headers: str,
) -> requests.Response:
    body = framed(list(parts), boundary=B)
    headers = {"Content-Type": content_type} | headers
    path = f"/studies/{study}" if study else "/studies"
    return requests.post(f"{server.root}{path}", body, headers=headers, timeout=60)


def module(answer: requests.Response) -> Json:
    """Return the Store Instances Response Module of an answer."""
    assert answer.headers["Content-Type"] == "application/dicom+json"
    document = answer.json()
    assert isinstance(document, dict)
    Dataset.from_json(document)
    return document


def reasons(answer: requests.Response, sequence: str = FAILED) -> list[int]:
    items = module(answer).get(sequence, {"Value": []})["Value"]
    return [item["00081197"]["Value"][0] for item in items]


def names(answer: requests.Response, sequence: str = STORED) -> list[str]:
    items = module(answer).get(sequence, {"Value": []})["Value"]
    return [item["00081155"]["Value"][0] for item in items]


def is_there(server: Server, instance: str) -> bool:
    return bool(server.get(f"/instances?SOPInstanceUID={instance}").json())


# -- what is answered


@pytest.mark.req("REQ-STOW-03", "REQ-STOW-04")
@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/dicom+json"])
def test_what_is_stored_is_told_and_is_there(
    accept: str | None, archive: Server, image: Sample
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = post(archive, [image.stream], **headers)
    assert answer.status_code == 200, answer.text
    document = module(answer)
    study = f"{archive.root}/studies/{image.StudyInstanceUID}"
    url = f"{study}/series/{image.SeriesInstanceUID}/instances/{image.SOPInstanceUID}"
    assert document["00081190"] == {"vr": "UR", "Value": [study]}
    assert document[STORED]["Value"] == [
        {
            "00081150": {"vr": "UI", "Value": [image.SOPClassUID]},
            "00081155": {"vr": "UI", "Value": [image.SOPInstanceUID]},
            "00081190": {"vr": "UR", "Value": [url]},
        }
    ]
    assert set(document) == {"00081190", STORED}
    left = requests.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"}, timeout=30)
    assert left.content == image.stream


@pytest.mark.req("REQ-STOW-03", "REQ-STOW-05")
def test_of_several_parts_each_has_its_outcome(
    archive: Server, image: Sample, objects: dict[str, bytes]
) -> None:
    other = new(image.stream, SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    held = dcmread(BytesIO(new(image.stream).stream))
    del held.ImageType
    answer = post(archive, [other.stream, image.stream, b"no DICOM", written(held)])
    assert answer.status_code == 202
    assert names(answer) == [image.SOPInstanceUID]
    assert names(answer, FAILED) == [other.SOPInstanceUID, held.SOPInstanceUID]
    assert reasons(answer) == [0x0122, 0xA900]
    assert reasons(answer, OTHER) == [0xC000]
    assert "ImageType is missing" in answer.headers["Warning"]
    assert is_there(archive, image.SOPInstanceUID)
    assert not is_there(archive, other.SOPInstanceUID)


@pytest.mark.req("REQ-STOW-03", "REQ-STOW-05")
def test_each_reason_has_its_code(archive: Server, image: Sample) -> None:
    syntax = image.stream.replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.51")
    for stream, sequence, code in (
        (syntax, FAILED, 0xC122),
        (image.stream.replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.1.99"), OTHER, 0xC122),
        (image.stream[:-1000], OTHER, 0xC000),
        (b"", OTHER, 0xC000),
    ):
        answer = post(archive, [stream])
        assert answer.status_code == 409
        assert reasons(answer, sequence) == [code]
        assert STORED not in module(answer)
        assert module(answer)["00081190"] == {"vr": "UR"}
    post(archive, [image.stream])
    patient = new(image.stream, StudyInstanceUID=image.StudyInstanceUID, PatientID="another")
    assert reasons(post(archive, [patient.stream])) == [0xC002]


@pytest.mark.req("REQ-STOW-05", "REQ-STOW-08")
def test_what_was_repaired_says_so(archive: Server, image: Sample) -> None:
    dataset = dcmread(BytesIO(image.stream))
    del dataset.PatientSex
    answer = post(archive, [written(dataset)])
    assert answer.status_code == 202
    assert module(answer)[STORED]["Value"][0]["00081196"] == {"vr": "US", "Value": [0xB000]}
    assert "PatientSex" in answer.headers["Warning"]
    series = f"/studies/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}"
    (document,) = archive.get(f"{series}/metadata").json()
    assert document["04000561"]["Value"]  # Original Attributes Sequence


@pytest.mark.req("REQ-STOW-06")
def test_a_part_of_another_study_is_refused(archive: Server, image: Sample) -> None:
    other = new(image.stream)
    answer = post(archive, [other.stream, image.stream], image.StudyInstanceUID)
    assert answer.status_code == 202
    assert names(answer) == [image.SOPInstanceUID]
    assert names(answer, FAILED) == [other.SOPInstanceUID]
    assert reasons(answer) == [0xC001]
    answer = post(archive, [other.stream], image.StudyInstanceUID)
    assert answer.status_code == 409
    assert not is_there(archive, other.SOPInstanceUID)
    assert post(archive, [image.stream], "1..2").status_code == 400


@pytest.mark.req("REQ-STOW-07", "REQ-HTTP-16")
def test_a_store_may_be_repeated_but_not_altered(archive: Server, image: Sample) -> None:
    first, again = post(archive, [image.stream]), post(archive, [image.stream])
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    altered = changed(image.stream, ContentTime="120000")
    answer = post(archive, [altered])
    assert answer.status_code == 409
    assert reasons(answer) == [0x0111]
    assert names(answer, FAILED) == [image.SOPInstanceUID]
    both = post(archive, [altered, image.stream])
    assert both.status_code == 202
    assert len(archive.get(f"/studies/{image.StudyInstanceUID}/instances").json()) == 1


@pytest.mark.req("REQ-STOW-03", "REQ-STOW-10")
@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/zip", 415),
        ("application/dicom", 415),
        ("application/dicom+json", 415),
        (f'multipart/related; type="application/dicom+json"; boundary={B}', 415),
        (f'multipart/related; type="application/dicom+xml"; boundary={B}', 415),
        (f"multipart/form-data; boundary={B}", 415),
        ("", 415),
        ('multipart/related; type="application/dicom"', 400),
        ("multipart/related; type=application/dicom; boundary=another", 400),
    ],
)
def test_other_bodies_are_refused(
    content_type: str, status: int, archive: Server, image: Sample
) -> None:
    answer = post(archive, [image.stream], content_type=content_type)
    assert answer.status_code == status
    assert not is_there(archive, image.SOPInstanceUID)


def test_what_cannot_be_answered_is_refused_before_it_is_read(
    archive: Server, image: Sample
) -> None:
    assert post(archive, [image.stream], Accept="application/dicom+xml").status_code == 406
    packed = post(archive, [image.stream], **{"Content-Encoding": "gzip"})
    assert packed.status_code == 415
    assert not is_there(archive, image.SOPInstanceUID)


def test_a_body_without_parts_is_malformed(archive: Server) -> None:
    answer = post(archive, [])
    assert answer.status_code == 400
    assert module(answer) == {"00081190": {"vr": "UR"}}


@pytest.mark.req("REQ-DEL-01")
@pytest.mark.parametrize("level", ["", "/series/1.2", "/series/1.2/instances/1.3"])
def test_nothing_is_deleted(level: str, archive: Server) -> None:
    answer = requests.delete(f"{archive.root}/studies/1.1{level}", timeout=10)
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


# -- how clients send


@pytest.mark.req("REQ-STOW-01")
@pytest.mark.parametrize(
    ("content_type", "before", "head"),
    [
        (JAVASCRIPT, b"\r\n", b"Content-Type: application/dicom\r\n"),
        (f"multipart/related; type=application/dicom; boundary={B}", b"", b""),
        (
            f"multipart/related; boundary={B}; type=application/dicom; transfer-syntax=1.2",
            b"",
            b"content-location: x\r\nCONTENT-TYPE:application/dicom;transfer-syntax=1.2.840\r\n",
        ),
        (f"multipart/related; boundary={B}", b"a preamble\r\n", b"MIME-Version: 1.0\r\n"),
    ],
)
def test_every_framing_is_read(
    content_type: str, before: bytes, head: bytes, archive: Server, image: Sample
) -> None:
    body = b"%s--%s\r\n%s\r\n%s\r\n--%s--" % (before, B.encode(), head, image.stream, B.encode())
    answer = requests.post(
        f"{archive.root}/studies", body, headers={"Content-Type": content_type}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    assert names(answer) == [image.SOPInstanceUID]


@pytest.mark.req("REQ-STOW-01", "REQ-STOW-02", "REQ-STOW-04")
def test_the_python_client_stores_small_and_large(archive: Server, image: Sample) -> None:
    client = DICOMwebClient(archive.root)
    slide = dcmread(BytesIO(image.stream))
    for length in (0, 2 << 20):  # what is over a megabyte it sends in chunks, without a length
        slide.SOPInstanceUID = slide.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        slide.DataSetTrailingPadding = bytes(length)
        outcome = client.store_instances([slide])
        (stored,) = outcome.ReferencedSOPSequence
        assert stored.ReferencedSOPInstanceUID == slide.SOPInstanceUID
        assert (
            client.retrieve_instance(
                slide.StudyInstanceUID, slide.SeriesInstanceUID, slide.SOPInstanceUID
            ).PixelData
            == slide.PixelData
        )
    client.store_instances([slide], slide.StudyInstanceUID)


@pytest.mark.req("REQ-STOW-09")
@pytest.mark.parametrize(("make", "status"), [(annotations_of, 200), (report_of, 202)])
def test_annotations_and_reports_are_stored(
    make: Any, status: int, archive: Server, image: Sample
) -> None:
    source = dcmread(BytesIO(image.stream), stop_before_pixels=True)
    made = make(source)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.SeriesInstanceUID = generate_uid()
    answer = post(archive, [image.stream, written(made)])
    assert answer.status_code == status, answer.text
    if status == 202:  # its region lies beside this small image
        assert module(answer)[STORED]["Value"][1]["00081196"]["Value"] == [0xB007]
        assert "outside of the image" in answer.headers["Warning"]
    assert is_there(archive, made.SOPInstanceUID)


@pytest.mark.req("REQ-OBJ-01")
@pytest.mark.parametrize("make", [binary, parametric_map])
def test_what_cannot_be_shown_is_kept_and_says_so(
    make: Callable[[bytes], bytes], archive: Server, image: Sample
) -> None:
    stream = make(image.stream)
    answer = post(archive, [stream])
    assert answer.status_code in (200, 202), answer.text
    url = module(answer)[STORED]["Value"][0]["00081190"]["Value"][0]
    left = requests.get(url, headers={"Accept": "application/dicom"}, timeout=30)
    assert left.content == stream
    for resource in ("frames/1/rendered", "rendered", "thumbnail", "frames/2000"):
        told = requests.get(f"{url}/{resource}", timeout=30)
        assert told.status_code in (404, 406), (resource, told.status_code, told.text)
        assert told.headers["Content-Type"] == "application/problem+json"


# -- bodies that end too early


def cut_off(server: Server, body: bytes, declared: int | None) -> None:
    """Send a part of a body, then leave."""
    host, port = re.match(r"http://(.*):(\d+)", server.url).groups()  # type: ignore[union-attr]
    length = "Transfer-Encoding: chunked" if declared is None else f"Content-Length: {declared}"
    head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: {host}\r\nContent-Type: {JAVASCRIPT}\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"{head}{length}\r\n\r\n".encode())
        if declared is None:
            body = b"%x\r\n%s\r\n" % (len(body), body)
        connection.sendall(body)


@pytest.mark.req("REQ-STOW-11")
@pytest.mark.parametrize("chunked", [False, True])
def test_of_a_sender_that_leaves_only_whole_parts_remain(
    chunked: bool, archive: Server, image: Sample
) -> None:
    second = new(image.stream)
    body = framed([image.stream, second.stream], boundary=B)
    sent = body[: len(body) - len(second.stream) // 2]
    before = {path.name for path in (archive.data / "blobs").rglob("*.dcm")}
    cut_off(archive, sent, None if chunked else len(body))
    while not is_there(archive, image.SOPInstanceUID):
        pass
    while any((archive.data / "blobs").rglob(".*.part")):
        pass
    assert not is_there(archive, second.SOPInstanceUID)
    after = {path.name for path in (archive.data / "blobs").rglob("*.dcm")}
    assert len(after - before) == 1
    assert post(archive, [image.stream, second.stream]).status_code == 200


@pytest.mark.req("REQ-STOW-03", "REQ-STOW-11")
def test_a_body_without_its_end_is_told(archive: Server, image: Sample) -> None:
    second = new(image.stream)
    body = framed([image.stream, second.stream], boundary=B)[: -len(B) - 6]
    headers = {"Content-Type": JAVASCRIPT}
    answer = requests.post(f"{archive.root}/studies", body, headers=headers, timeout=30)
    assert answer.status_code == 202
    assert names(answer) == [image.SOPInstanceUID]
    assert reasons(answer, OTHER) == [0xC000]
    body = framed([second.stream], boundary=B)[: -len(B) - 6]
    answer = requests.post(f"{archive.root}/studies", body, headers=headers, timeout=30)
    assert answer.status_code == 400
    assert reasons(answer, OTHER) == [0xC000]
    assert not is_there(archive, second.SOPInstanceUID)


# -- many at once


@pytest.mark.req("REQ-STOW-07", "REQ-STOW-11")
def test_eight_at_once_are_stored_once_each(archive: Server, image: Sample) -> None:
    samples = [image, *(new(image.stream) for _ in range(3))] * 2
    answers: list[requests.Response] = []
    threads = [
        threading.Thread(target=lambda one=one: answers.append(post(archive, [one.stream])))
        for one in samples
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 8
    for one in samples:
        assert len(archive.get(f"/instances?SOPInstanceUID={one.SOPInstanceUID}").json()) == 1


def test_the_answer_is_small_for_many_parts(archive: Server) -> None:
    answer = post(archive, [b"x"] * 50)
    assert answer.status_code == 409
    assert len(reasons(answer, OTHER)) == 50
    assert len(json.dumps(dict(answer.headers))) < 4000


def peaks_mb(data: Path) -> dict[str, float]:
    """Return the most memory that each process of a server has had."""
    found: dict[str, float] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"serve" in words and str(data).encode() in words:
                peak = re.search(r"VmHWM:\s+(\d+)", (entry / "status").read_text())
                assert peak
                found[entry.name] = int(peak[1]) / 1000
    return found


@pytest.mark.req("REQ-STOW-02")
def test_memory_does_not_grow_with_what_is_stored(archive: Server, image: Sample) -> None:
    for _ in range(8):  # all processes have read what they read once
        post(archive, [image.stream])
    before = peaks_mb(archive.data)
    large = [framed([b""], boundary=B)[: -len(B) - 6], *[bytes(1 << 20)] * 200, b"\r\n"]
    body = iter([*large, framed([image.stream], boundary=B)])
    headers = {"Content-Type": JAVASCRIPT}
    answer = requests.post(f"{archive.root}/studies", body, headers=headers, timeout=120)
    assert answer.status_code == 202
    assert reasons(answer, OTHER) == [0xC000]
    assert names(answer) == [image.SOPInstanceUID]
    after = peaks_mb(archive.data)
    assert len(after) >= 3
    assert max(after[process] - before[process] for process in after) < 40


# -- limits


@pytest.mark.req("REQ-STOW-03")
def test_what_is_too_large_is_refused(
    image: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(load_application(Settings(tmp_path / "data"), "http://localhost"))
    monkeypatch.setattr(stow, "MOST_PARTS", 2)
    monkeypatch.setattr(stow, "MOST_OBJECT_BYTES", len(image.stream))

    def sent(*parts: bytes) -> TestResponse:
        body = framed(list(parts), boundary=B)
        return client.post("/dicom-web/studies", data=body, headers={"Content-Type": JAVASCRIPT})

    too_long = sent(image.stream + bytes(2))
    assert too_long.status_code == 413
    assert too_long.json is not None
    assert too_long.json[OTHER]["Value"][0]["00081197"]["Value"] == [0xA700]
    mixed = sent(image.stream + bytes(2), image.stream)
    assert mixed.status_code == 202
    others = [new(image.stream).stream[: len(image.stream)] for _ in range(3)]
    assert sent(*others).status_code == 202
    assert len(json.loads(client.get("/dicom-web/instances").data)) == 3
