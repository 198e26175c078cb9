"""Metadata that is true or absent: from a worklist, never from the scanner's file alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.valuerep import PersonName

from converters.convert import convert
from converters.library import ScannerFiles
from converters.worklist.columns import COLUMNS, described_columns
from gateway.core.errors import Conflict, InvalidInput, Unmatched
from gateway.core.instances import Identified
from gateway.core.ports import SlidePlan, UnmatchedSlide
from gateway.dicom.attributes import empty_keywords
from gateway.dicom.streams.part10 import decode_header
from gateway.store.files import FileStore
from tests.conftest import tool
from tests.factories import make_svs
from tests.worklists import FULL, write_csv, write_json

DOCUMENT = Path(__file__).parents[2] / "conformance" / "METADATA.md"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide whose scanner has read the barcode B1."""
    path = tmp_path_factory.mktemp("slides") / "labelled.svs"
    make_svs(path, extra_description="|Barcode = B1")
    return path


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of which the scanner has read nothing."""
    path = tmp_path_factory.mktemp("slides") / "S26-1-A1-1.svs"
    make_svs(path, seed=5)
    return path


def planned(slide: Path, worklist: Path | None, row: str | None = None) -> SlidePlan:
    plan = ScannerFiles(worklist).plan(str(slide), None, row)
    assert isinstance(plan, SlidePlan)
    return plan


def base(plan: SlidePlan) -> Dataset:
    return decode_header(plan.instances[0].header)


def described(slide: Path, folder: Path, **cells: str) -> Dataset:
    return base(planned(slide, write_csv(folder / "w.csv", {"barcode": "B1"} | cells)))


# -- what is written


def example() -> Any:
    (block,) = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    return json.loads(block)


@pytest.mark.req("REQ-WSI-02", "REQ-WSI-22", "REQ-WSI-30", "REQ-WSI-33", "REQ-WSI-35")
@pytest.mark.parametrize("form", ["table", "document"])
def test_validators_find_no_error_in_full_metadata(
    form: str, labelled: Path, tmp_path: Path
) -> None:
    if form == "table":
        worklist = write_csv(tmp_path / "w.csv", FULL, delimiter=";")
    else:
        (row,) = example()
        row["match"] = {"barcode": "B1"}
        row["metadata"]["study"]["identifier"] = "1"
        worklist = write_json(tmp_path / "w.json", row)
    list(convert(labelled, FileStore(tmp_path / "out"), worklist=worklist))
    files = sorted((tmp_path / "out").iterdir())
    for file in files:
        command = [tool("dciodvfy", "dicom3tools"), "-new", str(file)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        faults = [line for line in told.splitlines() if line.startswith(("Error", "Warning"))]
        assert [line for line in faults if "needed to build DICOMDIR" not in line] == []
    command = [tool("dcentvfy", "dicom3tools"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.req("REQ-WSI-35")
def test_names_of_any_script_come_through(labelled: Path, tmp_path: Path) -> None:
    worklist = write_csv(tmp_path / "w.csv", FULL)
    (first, *_) = convert(labelled, FileStore(tmp_path / "out"), worklist=worklist)
    dataset = pydicom.dcmread(tmp_path / "out" / first.name)
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert dataset.PatientName == PersonName("Müller^Jürg=山田^太郎")
    assert dataset.PatientName.ideographic == "山田^太郎"
    assert dataset.InstitutionName == "Universitätsspital"


@pytest.mark.req("REQ-WSI-06", "REQ-WSI-22", "REQ-WSI-30")
def test_every_column_arrives(labelled: Path, tmp_path: Path) -> None:
    plan = planned(labelled, write_csv(tmp_path / "w.csv", FULL))
    dataset = base(plan)
    assert empty_keywords(dataset) == []
    assert (dataset.PatientID, dataset.IssuerOfPatientID) == ("P1", "HOSPITAL")
    assert (dataset.PatientBirthDate, dataset.PatientSex) == ("19600203", "M")
    assert dataset.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "HOSPITAL"
    assert (dataset.StudyDate, dataset.StudyTime[:4]) == ("20260131", "1000")
    assert dataset.ContainerIdentifier == "S26-1-A1-1"
    assert dataset.ManufacturerModelName == "ScanScope"
    assert dataset.Manufacturer == "Aperio"
    (specimen,) = dataset.SpecimenDescriptionSequence
    said = str(specimen.SpecimenPreparationSequence)
    for meaning in ("Excision", "Neutral Buffered Formalin", "Paraffin wax", "Block sectioning"):
        assert meaning in said
    for text in ("S26-1-A1'", "hematoxylin stain", "water soluble eosin stain", "H&E routine"):
        assert text in said
    assert specimen.PrimaryAnatomicStructureSequence[0].CodeMeaning == "Skin"
    labels = [one for one in plan.instances if "LABEL" in one.attributes["ImageType"]]
    label = decode_header(labels[0].header)
    assert (label.BarcodeValue, label.LabelText) == ("B1", "S26-1 A1")


def test_a_row_that_says_nothing_changes_nothing_but_what_it_confirms(
    labelled: Path, tmp_path: Path
) -> None:
    plan = planned(labelled, write_csv(tmp_path / "w.csv", {"barcode": "B1"}))
    assert plan.identified is Identified.SLIDE
    bare = planned(labelled, None)
    assert [one.header for one in plan.instances] == [one.header for one in bare.instances]


@pytest.mark.req("REQ-WSI-22")
def test_what_nobody_stated_is_reported(labelled: Path, tmp_path: Path) -> None:
    dataset = described(labelled, tmp_path, patient_id="P1")
    missing = empty_keywords(dataset)
    assert "PatientName" in missing
    assert "SpecimenPreparationSequence" in missing
    assert "ManufacturerModelName" in missing
    assert "PatientID" not in missing
    converted = list(convert(labelled, FileStore(tmp_path / "out")))
    assert {"PatientID", "AccessionNumber", "LabelText"} <= set(converted[3].empty)


# -- UIDs


@pytest.mark.req("REQ-WSI-32", "REQ-WSI-24")
def test_uids_derive_from_the_order_and_the_slide(
    labelled: Path, silent: Path, tmp_path: Path
) -> None:
    accession = {"accession": "S26-1", "accession_issuer": "HOSPITAL"}
    rows = [
        {"barcode": "B1"} | accession,
        {"file": silent.name, "scanned": "2009-12-29"} | accession,
    ]
    worklist = write_csv(tmp_path / "w.csv", *rows)
    one, other = planned(labelled, worklist), planned(silent, worklist)
    assert one.identified is Identified.ACCESSION
    assert one.study == other.study
    assert one.series != other.series
    assert planned(labelled, worklist).instances[0].key == one.instances[0].key

    bare, ordered = base(planned(labelled, None)), described(labelled, tmp_path, study_uid="1.2.3")
    assert ordered.StudyInstanceUID == "1.2.3"
    for keyword in ("FrameOfReferenceUID", "PyramidUID", "AcquisitionUID"):
        assert bare[keyword] == ordered[keyword] == base(one)[keyword]
        assert bare[keyword] != base(other)[keyword]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert len({bare[keyword].value, ordered[keyword].value, base(one)[keyword].value}) == 3


@pytest.mark.req("REQ-WSI-23", "REQ-WSI-33")
def test_two_slides_of_a_case_are_one_study_that_validators_take(
    labelled: Path, silent: Path, tmp_path: Path
) -> None:
    second = FULL | {"barcode": "", "file": silent.name, "scanned": "2009-12-29"}
    second |= {"slide_id": "S26-1-A1-2", "specimen_id": "S26-1-A1-2"}
    worklist = write_csv(tmp_path / "w.csv", FULL, second)
    for slide in (labelled, silent):
        list(convert(slide, FileStore(tmp_path / "out"), worklist=worklist))
    files = sorted((tmp_path / "out").iterdir())
    assert len({pydicom.dcmread(file).StudyInstanceUID for file in files}) == 1
    command = [tool("dcentvfy", "dicom3tools"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.req("REQ-WSI-22")
def test_a_specimen_has_one_uid_wherever_its_issuer_names_it(
    labelled: Path, silent: Path, tmp_path: Path
) -> None:
    def specimen(slide: Path, **cells: str) -> str:
        match = {"file": silent.name, "scanned": "2009-12-29", "slide_id": "S"}
        row = ({"barcode": "B1"} if slide is labelled else match) | cells
        dataset = base(planned(slide, write_csv(tmp_path / "w.csv", row)))
        return str(dataset.SpecimenDescriptionSequence[0].SpecimenUID)

    issued = {"specimen_id": "A1", "specimen_id_issuer": "HOSPITAL"}
    assert specimen(labelled, **issued) == specimen(silent, **issued)
    assert specimen(labelled, **issued) != specimen(labelled, specimen_id="A1")
    assert specimen(labelled, specimen_id="A1") != specimen(silent, specimen_id="A1")


# -- which row


@pytest.mark.req("REQ-WSI-23")
def test_the_name_of_a_file_alone_is_no_identity(silent: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="row 1, match: it needs"):
        planned(silent, write_csv(tmp_path / "w.csv", {"file": silent.name, "patient_id": "P"}))
    named = write_csv(tmp_path / "w.csv", {"barcode": silent.stem, "patient_id": "P"})
    assert isinstance(ScannerFiles(named).plan(str(silent)), UnmatchedSlide)
    confirmed = {"file": silent.name, "scanner_serial": "CPAPERIOCS", "scanned": "2009-12-29"}
    plan = planned(silent, write_csv(tmp_path / "w.csv", confirmed | {"patient_id": "P"}))
    assert base(plan).PatientID == "P"
    for wrong in ({"scanned": "2009-12-30"}, {"scanner_serial": "OTHER"}):
        unmatched = ScannerFiles(write_csv(tmp_path / "w.csv", confirmed | wrong)).plan(str(silent))
        assert isinstance(unmatched, UnmatchedSlide)
        assert "row 1 has another" in unmatched.reason


@pytest.mark.req("REQ-WSI-23")
def test_a_barcode_that_the_file_does_not_state_confirms_no_name(
    silent: Path, tmp_path: Path
) -> None:
    named = {"barcode": "B9", "file": silent.name, "patient_id": "P"}
    unmatched = ScannerFiles(write_csv(tmp_path / "w.csv", named)).plan(str(silent))
    assert isinstance(unmatched, UnmatchedSlide)
    confirmed = write_csv(tmp_path / "w.csv", named | {"scanned": "2009-12-29"})
    assert base(planned(silent, confirmed)).PatientID == "P"


@pytest.mark.req("REQ-WSI-23")
def test_a_slide_without_a_row_is_not_converted(labelled: Path, tmp_path: Path) -> None:
    worklist = write_csv(tmp_path / "w.csv", {"barcode": "B2"})
    with pytest.raises(Unmatched, match="no row of the worklist has the barcode B1"):
        list(convert(labelled, FileStore(tmp_path / "out"), worklist=worklist))
    assert not (tmp_path / "out").exists()


def test_an_operator_may_name_the_row(silent: Path, tmp_path: Path) -> None:
    rows = [{"id": "x", "barcode": "B8"}, {"id": "y", "barcode": "B9", "patient_id": "P"}]
    worklist = write_csv(tmp_path / "w.csv", *rows)
    dataset = base(planned(silent, worklist, "y"))
    assert (dataset.PatientID, dataset.ContainerIdentifier) == ("P", "B9")
    with pytest.raises(InvalidInput, match="has no row z"):
        planned(silent, worklist, "z")
    rows = [{"barcode": "2", "patient_id": "P"}, {"barcode": "3", "patient_id": "Q"}]
    worklist = write_csv(tmp_path / "w.csv", *rows)
    with pytest.raises(InvalidInput, match=r"two rows 2: .*, row 2 by its id .*, row 1 by its b"):
        planned(silent, worklist, "2")
    assert base(planned(silent, worklist, "3")).PatientID == "Q"


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"serial_number": "OTHER"}, r"row 1, equipment\.device_serial_number .* states another"),
        ({"spacing_um": "0.25"}, r"row 1, pixel_spacing .* 0\.499 micrometres"),
        ({"barcode": "B2", "id": "1"}, r"row 1, match\.barcode: the file states another"),
    ],
)
def test_a_row_that_contradicts_the_file_is_refused(
    cells: dict[str, str], told: str, labelled: Path, tmp_path: Path
) -> None:
    worklist = write_csv(tmp_path / "w.csv", {"barcode": "B1"} | cells)
    with pytest.raises(Conflict, match=told):
        planned(labelled, worklist, "1")


def test_a_row_may_state_the_spacing_that_the_file_does_not(tmp_path: Path) -> None:
    make_svs(tmp_path / "s.svs", mpp=None, extra_description="|Barcode = B1")
    listed = planned(
        tmp_path / "s.svs", write_csv(tmp_path / "w.csv", {"barcode": "B1", "spacing_um": "0,5"})
    )
    stated = ScannerFiles().plan(str(tmp_path / "s.svs"), 0.5)
    assert isinstance(stated, SlidePlan)
    assert listed.identity == stated.identity


@pytest.mark.req("REQ-WSI-19")
def test_a_row_may_state_where_the_slide_lies(labelled: Path, tmp_path: Path) -> None:
    system = {"origin": {"x": 20.5, "y": 41.25}, "rotation": 270}
    row = {
        "match": {"barcode": "B1"},
        "metadata": {"pyramid": {"image": {"image_coordinate_system": system}}},
    }
    worklist = tmp_path / "w.json"
    worklist.write_text(json.dumps([row]))
    plan = planned(labelled, worklist)
    dataset = base(plan)
    (origin,) = dataset.TotalPixelMatrixOriginSequence
    assert origin.XOffsetInSlideCoordinateSystem == 20.5
    assert origin.YOffsetInSlideCoordinateSystem == 41.25
    assert dataset.ImageOrientationSlide == [1, 0, 0, 0, -1, 0]  # the label is above
    remarks = dataset.ContributingEquipmentSequence[0].ContributionDescription
    assert "lies on the slide was stated by the operator" in remarks
    assert (
        plan.identity
        != planned(labelled, write_csv(tmp_path / "w.csv", {"barcode": "B1"})).identity
    )


@pytest.mark.parametrize(
    "image",
    [
        [],
        {"pixel_spacing": {"width": 0.001, "height": 0}},
        {"pixel_spacing": {"width": "0.001", "height": "0.001"}},
        {"depth_of_field": 1},
        {"image_coordinate_system": {"origin": {"x": 1, "y": 2}}},
        {"image_coordinate_system": {"origin": {"x": 1, "y": "far"}, "rotation": 0}},
        {"image_coordinate_system": {"origin": {"x": 1, "y": 2}, "rotation": 0, "z_offset": 1}},
    ],
)
def test_a_row_that_states_no_image_that_can_be_is_refused(
    image: object, labelled: Path, tmp_path: Path
) -> None:
    row = {"match": {"barcode": "B1"}, "metadata": {"pyramid": {"image": image}}}
    (tmp_path / "w.json").write_text(json.dumps([row]))
    with pytest.raises(InvalidInput, match=r"pyramid\.image"):
        planned(labelled, tmp_path / "w.json")


# -- malformed worklists


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"patient": "x"}, "column patient: there is no such column"),
        ({"patient_birth_date": "3.2.1960"}, "row 1, column patient_birth_date"),
        ({"patient_sex": "x"}, "row 1, column patient_sex"),
        ({"accession": "S26-1"}, r"row 1: accession_number_issuer \(accession_issuer\)"),
        ({"accession": "x" * 17, "accession_issuer": "H"}, r"row 1: study\.accession_number"),
        ({"patient_id": "x" * 65}, r"row 1: patient\.identifier: it is too long"),
        ({"patient_name": "Secret^A\\B"}, r"row 1: patient\.name: it has a backslash"),
        ({"patient_name": "Secret" * 11}, r"row 1: patient\.name: it is too long"),
        ({"institution": "x" * 65}, r"row 1: order\.institution: it is too long"),
        (
            {"study_uid": "1.02"},
            r"row 1: study\.uid: it is too long for its attribute, or of another form",
        ),
        ({"fixative": "Formalin"}, "row 1, column fixative: it needs a part_id"),
        ({"fixative": "tea", "part_id": "A"}, "row 1: slide"),
        ({"embedding_medium": "Agar"}, "row 1, column block_id: it is empty"),
        ({"anatomic_site": "Skin"}, "row 1, column anatomic_site"),
        ({"sectioning_method": "Block sectioning", "block_id": "A"}, "column block_type"),
        ({"spacing_um": "-1"}, "row 1: pyramid"),
    ],
)
def test_a_malformed_table_is_told_by_row_and_column(
    cells: dict[str, str], told: str, labelled: Path, tmp_path: Path
) -> None:
    with pytest.raises((InvalidInput, Conflict), match=told) as raised:
        described(labelled, tmp_path, **cells)
    assert "Secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({}, "no list of rows"),
        (["x"], "row 1: it is no object"),
        ([{"match": {"barcode": "B1"}, "patient": {}}], "row 1, patient: there is no such field"),
        ([{"match": {"barcode": 1}}], r"match\.barcode: it is no text"),
        ([{"match": {"barcode": "B1"}}] * 2, r"row 2: barcode: .* row 1 has the same"),
        ([{"match": {"barcode": "B1", "scanned": "yesterday"}}], "scanned: it is no date"),
        (
            [{"match": {"barcode": "B1"}, "order": {"institution": "\ud800"}}],
            r"row 1: order\.institution: it has a backslash or a control character",
        ),
        ({"patient": {"birth_date": "1960"}}, r"patient\.birth_date: Not a valid date"),
        ({"patient": {"nmae": "A"}}, r"patient\.nmae: Unknown field"),
        ({"optical": {}}, r"metadata\.optical: this is no part"),
        ({"series": {"uid": "1.2"}}, r"series\.uid: that is taken from the scanner's file"),
        ({"slide": {"samples": [{"identifier": "A", "steps": [], "type": None}]}}, "must end on"),
        ({"slide": {"samples": 5}}, r"slide\.samples: Invalid type"),
        ({"slide": {"samples": [{"steps": 5}]}}, "slide: it does not fit"),
    ],
)
def test_a_malformed_document_is_told_by_row_and_field(
    rows: Any, told: str, labelled: Path, tmp_path: Path
) -> None:
    if isinstance(rows, dict) and rows:
        rows = [{"match": {"barcode": "B1"}, "metadata": rows}]
    path = tmp_path / "w.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(InvalidInput, match=told):
        planned(labelled, path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("w.json", b"[", r"no JSON \(line 1\)"),
        ("w.json", b"\xff", "not UTF-8"),
        ("w.json", b"[" * 100_000, "no JSON"),
        ("w.json", b'[{"match": {"barcode": "B1", "barcode": "B2"}}]', "'barcode' twice"),
        ("w.csv", b"", "no CSV table"),
        ("w.csv", b"barcode,id\nB1\n", "row 1: it has 1 cells, not 2"),
        ("w.csv", b'barcode\n"B1\n', "no CSV table"),
        ("none", None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_worklist_is_told(
    name: str, content: bytes | None, told: str, labelled: Path, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=told):
        planned(labelled, tmp_path / name)


def test_a_worklist_that_changed_is_read_again(labelled: Path, tmp_path: Path) -> None:
    library = ScannerFiles(write_csv(tmp_path / "w.csv", {"barcode": "B2"}))
    assert isinstance(library.plan(str(labelled)), UnmatchedSlide)
    write_csv(tmp_path / "w.csv", {"barcode": "B1"}, {"barcode": "B2"})
    assert isinstance(library.plan(str(labelled)), SlidePlan)


# -- what else is promised


def test_the_document_describes_every_column() -> None:
    assert described_columns() in DOCUMENT.read_text(encoding="utf-8")
    assert set(FULL) <= set(COLUMNS)


def test_the_model_is_imported_only_where_there_is_a_worklist(silent: Path) -> None:
    code = (
        "import sys; from converters.library import ScannerFiles\n"
        "ScannerFiles().plan(sys.argv[1]); print({'wsidicom', 'marshmallow'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(silent)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
