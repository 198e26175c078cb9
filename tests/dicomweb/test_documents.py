"""Reports and other objects without pixels, as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
import requests
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from conformance.bench.objects import annotations_of, report_of
from gateway.core.instances import derive_uid
from tests.conftest import Server, serving, slidegate
from tests.factories import SvsTruth

EVIL = "<script>alert(1)</script> & 'x'"
PDF = b"%PDF-1.4\n%nothing in it\n%%EOF\n"


class Reader(HTMLParser):
    """Collects the words and the tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words = ""
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def path_of(dataset: Dataset) -> str:
    return (
        f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )


def report(image: Dataset) -> Dataset:
    made = report_of(image)
    made.SpecificCharacterSet = "ISO_IR 192"
    made.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    made.PatientID = "S<26>"
    remark = Dataset()
    remark.RelationshipType = "CONTAINS"
    remark.ValueType = "TEXT"
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121106", "DCM", "Comment"
    remark.ConceptNameCodeSequence = [name]
    remark.TextValue = EVIL
    made.ContentSequence = [*map(Dataset, made.ContentSequence), remark]
    return made


def pdf(image: Dataset) -> Dataset:
    made = Dataset()
    made.SOPClassUID = EncapsulatedPDFStorage
    made.SOPInstanceUID = derive_uid("tests", "pdf")
    made.StudyInstanceUID = image.StudyInstanceUID
    made.SeriesInstanceUID = derive_uid("tests", "pdf series")
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID"):
        setattr(made, keyword, image.get(keyword))
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"):
        setattr(made, keyword, image.get(keyword))
    made.Modality, made.SeriesNumber, made.InstanceNumber = "DOC", 9, 1
    made.ConversionType, made.Manufacturer, made.BurnedInAnnotation = "WSD", "", "NO"
    made.ContentDate = made.ContentTime = made.AcquisitionDateTime = made.DocumentTitle = ""
    made.ConceptNameCodeSequence = []
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = PDF + bytes(len(PDF) % 2)
    made.EncapsulatedDocumentLength = len(PDF)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


@pytest.fixture(scope="module")
def objects(
    svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Dataset]:
    """A report, annotations and a document of a slide, and the slide without its pixels."""
    folder = tmp_path_factory.mktemp("objects")
    slidegate("convert", svs[0], folder)
    image = max((dcmread(file) for file in folder.iterdir()), key=lambda one: one.NumberOfFrames)
    image.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    image.PatientID, image.SpecificCharacterSet = "S<26>", "ISO_IR 192"
    image.StudyID = ""
    made = {"report": report(image), "annotations": annotations_of(image), "pdf": pdf(image)}
    made["annotations"].SeriesNumber = 0
    return made | {"image": image}


@pytest.fixture(scope="module")
def archive(
    objects: dict[str, Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("archive") / "data"
    folder = tmp_path_factory.mktemp("received")
    names = ("image", "annotations", "report", "pdf")
    for name in names:
        objects[name].SpecificCharacterSet = "ISO_IR 192"
        objects[name].save_as(folder / f"{name}.dcm", enforce_file_format=True)
    slidegate("add", *(folder / f"{name}.dcm" for name in names), "--data", data)
    with serving(data, "--no-materialise") as running:
        yield running


def test_a_report_is_a_page_that_says_all_of_it(
    archive: Server, objects: dict[str, Dataset]
) -> None:
    answer = archive.get(f"{path_of(objects['report'])}/rendered", "text/html")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = Reader(answer.content.decode())
    for words in (
        "Imaging Measurement Report",
        "Yamada, Tarou = 山田, 太郎 = やまだ, たろう",
        "S<26>",
        "Verified by",
        "Reader, First, Laboratory",
        "0.5 mm2",
        "Nucleus (84640000, SCT)",
        "POLYGON of 4 points",
        "Evidence",
        objects["image"].SOPInstanceUID,
        EVIL,
    ):
        assert words in page.words, words


def test_nothing_of_a_report_runs(archive: Server, objects: dict[str, Dataset]) -> None:
    answer = archive.get(f"{path_of(objects['report'])}/rendered", "text/html")
    assert "script" not in Reader(answer.text).tags
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_report_is_plain_text_too(archive: Server, objects: dict[str, Dataset]) -> None:
    answer = archive.get(f"{path_of(objects['report'])}/rendered", "text/plain")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert f"Comment (121106, DCM): {EVIL}\n" in answer.content.decode()
    assert (
        archive.get(f"{path_of(objects['report'])}/rendered")
        .headers["Content-Type"]
        .startswith("text/html")
    )
    assert archive.get(f"{path_of(objects['report'])}/rendered", "image/jpeg").status_code == 406


def test_an_encapsulated_document_is_given_as_it_is(
    archive: Server, objects: dict[str, Dataset]
) -> None:
    answer = archive.get(f"{path_of(objects['pdf'])}/rendered")
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.content == PDF


def test_annotations_are_no_picture(archive: Server, objects: dict[str, Dataset]) -> None:
    answer = archive.get(f"{path_of(objects['annotations'])}/rendered")
    assert answer.status_code == 406
    assert "no image" in answer.json()["detail"]
    for name in ("annotations", "report", "pdf"):
        assert archive.get(f"{path_of(objects[name])}/thumbnail").status_code == 404


@pytest.mark.req("REQ-REN-03")
def test_the_thumbnail_of_a_study_shows_its_slide_though_other_series_come_first(
    archive: Server, objects: dict[str, Dataset]
) -> None:
    study = path_of(objects["image"]).split("/series")[0]
    answer = requests.get(f"{archive.root}{study}/thumbnail", timeout=10)
    assert answer.status_code == 200, answer.text
    with Image.open(BytesIO(answer.content)) as image:
        assert image.size == (256, 188)
    series = path_of(objects["annotations"]).split("/instances")[0]
    assert archive.get(f"{series}/thumbnail").status_code == 404
    assert archive.get(f"{series}/rendered", "image/jpeg").status_code in (404, 406)
