"""Whose slides are, the whole way: quarantine, matching, corrections, and all doors."""

from __future__ import annotations

import json
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset

from converters.convert import convert
from converters.library import ScannerFiles
from gateway.bootstrap import Services, open_services
from gateway.core.errors import Conflict, NotFound
from gateway.core.identity import CorrectionKind
from gateway.core.instances import Instance
from gateway.core.ports import SlidePlan
from gateway.core.queries import Query, QueryLevel
from gateway.settings import Settings
from gateway.store.files import FileStore
from tests.conftest import Server, serving, slidegate, tool
from tests.factories import make_svs
from tests.worklists import FULL, write_csv

DETAILS, IDENTITY = CorrectionKind

ANN = {
    "barcode": "B1",
    "patient_id": "A",
    "patient_name": "Müller^Ann",
    "accession": "S26-1",
    "accession_issuer": "HOSPITAL",
    "slide_id": "S26-1-A1",
    "institution": "General",
    "label_text": "Ann",
}
BEN = ANN | {
    "patient_id": "B",
    "patient_name": "Smith^Ben",
    "accession": "S26-2",
    "slide_id": "S26-2-A1",
    "label_text": "Ben",
}


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide with the barcode B1; tests leave it as it is."""
    path = tmp_path_factory.mktemp("slides") / "one.svs"
    make_svs(path, extra_description="|Barcode = B1")
    return path


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another slide, with the barcode B2."""
    path = tmp_path_factory.mktemp("slides") / "two.svs"
    make_svs(path, extra_description="|Barcode = B2", seed=7)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def opened(data: Path, *rows: dict[str, str]) -> Services:
    """Open a data folder with a worklist of these rows, or with none."""
    metadata = write_csv(data.parent / "worklist.csv", *rows) if rows else None
    return open_services(Settings(data, metadata=metadata))


def correct(
    data: Path, kind: CorrectionKind, row: dict[str, str], slide: Path, reason: str = "typo"
) -> str:
    """Correct a slide; return its study."""
    corrections = opened(data, row).corrections
    planned = corrections.plan(str(slide), None, kind, "tester", reason)
    corrections.apply(planned)
    return planned.correction.new_study


def headers(services: Services, study: str) -> list[Dataset]:
    return [services.retrieve.header(one) for one in services.retrieve.instances(study)]


def frames_of(services: Services, instances: list[Instance]) -> list[list[bytes]]:
    return [
        [services.retrieve.frame(one, number) for number in range(1, one.number_of_frames + 1)]
        for one in instances
    ]


def found(services: Services, level: QueryLevel = QueryLevel.STUDY) -> list[dict[str, Any]]:
    return [dict(one.match) for one in services.search.find(Query(level))]


def part10(services: Services, instance: Instance) -> Dataset:
    return pydicom.dcmread(BytesIO(b"".join(services.retrieve.part10(instance).pieces)))


def validated(folder: Path, services: Services, study: str) -> None:
    """Let the validators look at all instances of a study as they leave."""
    folder.mkdir()
    files = []
    for one in services.retrieve.instances(study):
        files.append(folder / f"{one.key.instance}.dcm")
        files[-1].write_bytes(b"".join(services.retrieve.part10(one).pieces))
        command = [tool("dciodvfy", "dicom3tools"), "-new", str(files[-1])]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        faults = [line for line in told.splitlines() if line.startswith(("Error", "Warning"))]
        assert [line for line in faults if "needed to build DICOMDIR" not in line] == []
    command = [tool("dcentvfy", "dicom3tools"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


# -- quarantine


@pytest.mark.req("REQ-WSI-23")
def test_a_slide_without_a_match_is_behind_no_door_until_it_has_one(
    slide: Path, data: Path, tmp_path: Path
) -> None:
    worklist = write_csv(tmp_path / "w.csv", ANN | {"barcode": "B9"})
    options = ("--data", data, "--metadata", worklist)
    done = slidegate("add", slide, *options, "--json", fails=True)
    record = json.loads(done.stdout)
    assert record["state"] == "quarantined"
    with serving(data, "--no-materialise") as server:
        assert server.get("/studies", "application/dicom+json").json() == []
        waiting = json.loads(slidegate("match", "--data", data, "--json", fails=True).stdout)
        assert (waiting["barcode"], waiting["path"]) == ("B1", str(slide))
        assert waiting["fingerprint"] == record["fingerprint"]
        assert "no row of the worklist has the barcode B1" in waiting["reason"]

        slidegate("match", *options, fails=True)
        write_csv(worklist, ANN)
        served = json.loads(slidegate("match", *options, "--json").stdout)
        assert (served["identity"], served["state"]) == ("accession", "linked")
        assert "No slide waits" in slidegate("match", "--data", data).stdout
        (study,) = server.get("/studies", "application/dicom+json").json()
        assert study["00100020"]["Value"] == ["A"]
        assert study["0020000D"]["Value"] == [served["study"]]


def test_an_operator_matches_a_slide_by_naming_its_row(slide: Path, data: Path) -> None:
    quarantined(slide, data)
    silent = {"file": "other.svs", "scanned": "2020-01-01", "patient_id": "C", "id": "x"}
    services = opened(data, ANN | {"barcode": "B9"}, silent)
    with pytest.raises(Conflict, match="states another"):
        services.quarantine.match(str(slide), "B9")
    assert len(services.quarantine.waiting()) == 1
    served = services.quarantine.match(services.quarantine.waiting()[0].file.fingerprint, "x")
    assert headers(services, served.study)[0].PatientID == "C"
    assert services.quarantine.waiting() == []
    with pytest.raises(NotFound, match="slidegate correct"):
        services.quarantine.match(str(slide), "x")


def test_a_slide_that_waits_is_not_served_by_leaving_the_worklist_away(
    slide: Path, data: Path
) -> None:
    quarantined(slide, data)
    done = slidegate("add", slide, "--data", data, fails=True)
    assert "waits in quarantine" in done.stdout
    words = ("--data", data, "--kind", "details", "--reason", "x")
    done = slidegate("correct", slide, *words, fails=True)
    assert "--metadata" in done.stderr
    done = slidegate("match", slide, "--unidentified", "--data", data, "--json")
    assert json.loads(done.stdout)["identity"] == "none"


def test_a_slide_that_waits_cannot_be_corrected(slide: Path, data: Path) -> None:
    quarantined(slide, data)
    with pytest.raises(Conflict, match="slidegate match"):
        correct(data, DETAILS, ANN, slide)


def quarantined(slide: Path, data: Path) -> None:
    with pytest.raises(Conflict, match="waits in quarantine"):
        opened(data, ANN | {"barcode": "B9"}).ingest.add(str(slide))


def test_without_a_worklist_a_slide_is_served_at_once_as_nobodys(slide: Path, data: Path) -> None:
    record = json.loads(slidegate("add", slide, "--data", data, "--json").stdout)
    assert record["identity"] == "none"
    assert "PatientID" in record["empty"]


def test_a_served_slide_is_not_matched_again_to_something_else(slide: Path, data: Path) -> None:
    first = opened(data, ANN).ingest.add(str(slide))
    assert opened(data, ANN).ingest.add(str(slide)) == first
    assert opened(data).ingest.add(str(slide)) == first
    assert opened(data, ANN | {"barcode": "B9"}).ingest.add(str(slide)) == first
    for changed in ({"patient_name": "Mueller^Ann"}, {"study_uid": "1.2.3"}, {"label_text": "x"}):
        with pytest.raises(Conflict, match="slidegate correct"):
            opened(data, ANN | changed).ingest.add(str(slide))


@pytest.mark.req("REQ-WSI-23")
def test_a_study_is_one_patients(slide: Path, other: Path, data: Path) -> None:
    opened(data, ANN).ingest.add(str(slide))
    with pytest.raises(Conflict, match="another patient's"):
        opened(data, ANN | {"barcode": "B2", "patient_id": "Z"}).ingest.add(str(other))
    with pytest.raises(Conflict, match="another StudyDate"):
        opened(data, ANN | {"barcode": "B2", "study_date": "2026-01-01"}).ingest.add(str(other))
    services = opened(data, ANN | {"barcode": "B2", "slide_id": "S26-1-A2"})
    services.ingest.add(str(other))
    (study,) = found(services)
    assert study["NumberOfStudyRelatedSeries"] == 2


# -- details


@pytest.mark.req("REQ-WSI-23", "REQ-WSI-32")
@pytest.mark.parametrize("materialised", [False, True])
def test_details_change_at_all_doors_over_the_same_frames(
    materialised: bool, slide: Path, other: Path, data: Path, tmp_path: Path
) -> None:
    services = opened(data, FULL, FULL | {"barcode": "B2", "slide_id": "A2", "specimen_id": "A2"})
    served = services.ingest.add(str(slide))
    services.ingest.add(str(other))
    if materialised:
        services.ingest.materialise(served)
    before = services.retrieve.instances(served.study)
    frames = frames_of(services, before)
    old = headers(services, served.study)

    corrected = FULL | {"patient_name": "Meier^Jürg", "accession": "S26-9", "label_text": "new"}
    assert correct(data, DETAILS, corrected, slide) == served.study
    after = services.retrieve.instances(served.study)
    assert [one.key for one in after] == [one.key for one in before]
    assert [one.frame_table for one in after] == [one.frame_table for one in before]
    assert frames_of(services, after) == frames
    for was, instance in zip(old, after, strict=True):
        now = services.retrieve.header(instance)
        assert (now.PatientName, now.AccessionNumber) == ("Meier^Jürg", "S26-9")
        (item,) = now.OriginalAttributesSequence
        (modified,) = item.ModifiedAttributesSequence
        assert (modified.PatientName, modified.AccessionNumber) == (was.PatientName, "S26-1")
        assert item.ReasonForTheAttributeModification == "CORRECT"
        own = "LABEL" in now.ImageType and instance.key.series == served.series
        assert ("LabelText" in modified) is own
        whole = part10(services, instance)
        assert whole.PatientName == now.PatientName
        assert whole.file_meta.MediaStorageSOPInstanceUID == instance.key.instance
    (study,) = found(services)
    assert (study["PatientName"], study["AccessionNumber"]) == ("Meier^Jürg", "S26-9")
    validated(tmp_path / "out", services, served.study)

    assert opened(data, corrected).ingest.add(str(slide)).study == served.study
    with pytest.raises(Conflict, match="slidegate correct"):
        opened(data, FULL).ingest.add(str(slide))
    (one,) = services.corrections.listed()
    assert (one.kind, one.actor, one.reason) == (DETAILS, "tester", "typo")
    assert {"PatientName", "AccessionNumber"} <= set(one.keywords)


def test_corrections_add_up_in_their_order(slide: Path, data: Path) -> None:
    services = opened(data, ANN)
    study = services.ingest.add(str(slide)).study
    for name in ("One^A", "Two^A"):
        correct(data, DETAILS, ANN | {"patient_name": name}, slide)
    items = headers(services, study)[0].OriginalAttributesSequence
    names = [str(item.ModifiedAttributesSequence[0].PatientName) for item in items]
    assert names == ["Müller^Ann", "One^A"]
    with pytest.raises(Conflict, match="says what is stored already"):
        correct(data, DETAILS, ANN | {"patient_name": "Two^A"}, slide)
    assert len(services.corrections.listed()) == 2


def test_a_slide_corrected_while_it_is_materialised_stays_corrected(
    slide: Path, data: Path
) -> None:
    services = opened(data, ANN)
    served = services.ingest.add(str(slide))
    done = False

    def meanwhile(_done: int, _total: int) -> None:
        nonlocal done
        if not done:
            done = True
            correct(data, DETAILS, ANN | {"patient_name": "New^Ann"}, slide)

    services.ingest.materialise(served, meanwhile)
    for instance in services.retrieve.instances(served.study):
        assert isinstance(instance.frames, str)
        assert part10(services, instance).PatientName == "New^Ann"


# -- identity


@pytest.mark.req("REQ-WSI-23", "REQ-WSI-32")
@pytest.mark.parametrize("materialised", [False, True])
def test_a_slide_of_another_patient_gets_other_uids_over_the_same_frames(
    materialised: bool, slide: Path, data: Path, tmp_path: Path
) -> None:
    services = opened(data, ANN)
    served = services.ingest.add(str(slide))
    correct(data, DETAILS, ANN | {"patient_name": "Mueller^Ann"}, slide)
    if materialised:
        services.ingest.materialise(served)
    before = services.retrieve.instances(served.study)
    frames = frames_of(services, before)

    study = correct(data, IDENTITY, BEN, slide)
    after = services.retrieve.instances(study)
    assert frames_of(services, after) == frames
    for one in before:
        with pytest.raises(NotFound):
            services.retrieve.instance(one.key)
    assert [one["StudyInstanceUID"] for one in found(services)] == [study]
    assert [one["SOPInstanceUID"] for one in found(services, QueryLevel.INSTANCE)] == [
        one.key.instance for one in after
    ]
    for was, now in zip(before, after, strict=True):
        assert {was.key.study, was.key.series, was.key.instance}.isdisjoint(
            {now.key.study, now.key.series, now.key.instance}
        )
        whole = part10(services, now)
        assert whole.SOPInstanceUID == whole.file_meta.MediaStorageSOPInstanceUID
        assert whole.SOPInstanceUID == now.key.instance
        assert whole.PatientID == "B"
        assert not any(word in str(whole) for word in ("Müller", "Mueller", "S26-1"))
    validated(tmp_path / "out", services, study)

    # As if it had been added so from the start, on any machine.
    elsewhere = opened(tmp_path / "elsewhere", BEN)
    fresh = elsewhere.ingest.add(str(slide))
    assert fresh.study == study
    assert [part10(elsewhere, one) for one in elsewhere.retrieve.instances(study)] == [
        part10(services, one) for one in after
    ]
    if not materialised:
        services.ingest.materialise(services.ingest.slides()[0])
        assert frames_of(services, services.retrieve.instances(study)) == frames


def test_rejected_uids_never_come_back(slide: Path, data: Path) -> None:
    first = opened(data, ANN).ingest.add(str(slide))
    seen = {one.key.instance for one in opened(data).retrieve.instances(first.study)}
    correct(data, IDENTITY, BEN, slide)
    with pytest.raises(Conflict, match="slidegate correct"):
        opened(data, ANN).ingest.add(str(slide))
    assert correct(data, IDENTITY, ANN, slide) == first.study
    again = opened(data).retrieve.instances(first.study)
    assert seen.isdisjoint({one.key.instance for one in again})
    assert opened(data, ANN).ingest.add(str(slide)).study == first.study


def test_a_study_that_was_anothers_by_mistake_is_passed_over(
    slide: Path, other: Path, data: Path
) -> None:
    second = {"barcode": "B2", "slide_id": "S26-1-A2"}
    rows = [ANN, ANN | second]
    services = opened(data, *rows)
    wrong = services.ingest.add(str(slide)).study
    services.ingest.add(str(other))
    right = ANN | {"patient_id": "Z", "patient_name": "Zoe"}
    with pytest.raises(Conflict, match="--kind details"):
        correct(data, IDENTITY, ANN, slide)
    study = correct(data, IDENTITY, right, slide)
    assert study != wrong
    assert correct(data, IDENTITY, right | second, other) == study
    assert [one["PatientID"] for one in found(services)] == ["Z"]
    with pytest.raises(Conflict, match="another patient's"):
        plan = opened(data, right | {"study_uid": wrong})
        plan.corrections.plan(str(slide), None, IDENTITY, "tester", "x")


def test_nobodys_slide_gets_its_identity(slide: Path, data: Path) -> None:
    services = opened(data)
    first = services.ingest.add(str(slide))
    with pytest.raises(Conflict, match="--kind identity"):
        correct(data, DETAILS, ANN, slide)
    study = correct(data, IDENTITY, ANN, slide)
    assert study != first.study
    assert services.ingest.slides()[0].identified == "accession"


def test_nobodys_slide_without_an_order_keeps_its_study(slide: Path, data: Path) -> None:
    services = opened(data)
    first = services.ingest.add(str(slide))
    row = {"barcode": "B1", "patient_id": "A"}
    assert correct(data, DETAILS, row, slide) == first.study
    assert services.ingest.slides()[0].identified == "slide"
    assert found(services)[0]["PatientID"] == "A"
    other_row = {"barcode": "B1", "patient_id": "B"}
    assert correct(data, IDENTITY, other_row, slide) != first.study


def test_what_changed_meanwhile_is_not_corrected(slide: Path, data: Path) -> None:
    corrections = opened(data, ANN).corrections
    opened(data, ANN).ingest.add(str(slide))
    planned = [
        opened(data, BEN).corrections.plan(str(slide), None, kind, "tester", "x")
        for kind in (DETAILS, IDENTITY)
    ]
    correct(data, DETAILS, ANN | {"patient_name": "New^Ann"}, slide)
    for plan in planned:
        with pytest.raises(Conflict, match="changed meanwhile"):
            corrections.apply(plan)
    assert len(corrections.listed()) == 1
    assert found(opened(data))[0]["PatientName"] == "New^Ann"


# -- objects that came as DICOM


def received(services: Services, slide: Path, folder: Path, **said: Any) -> str:
    """Receive the instances of a slide as another system would send them; return their study."""
    store = FileStore(folder)
    for one in convert(slide, store):
        dataset = pydicom.dcmread(folder / one.name)
        for keyword, value in said.items():
            setattr(dataset, keyword, value)
        stream = BytesIO()
        dataset.save_as(stream)
        services.receive.receive([[stream.getvalue()]])
    return str(dataset.StudyInstanceUID)


def test_details_of_received_objects_are_corrected(slide: Path, data: Path, tmp_path: Path) -> None:
    services = opened(data)
    said = {"SpecificCharacterSet": "ISO_IR 100", "PatientID": "A", "PatientName": "Müller^Ann"}
    study = received(services, slide, tmp_path / "sent", **said)
    frames = frames_of(services, services.retrieve.instances(study))
    row = {"barcode": "B1", "patient_id": "A", "patient_name": "山田^アン"}
    planned = opened(data, row).corrections.plan(study, None, DETAILS, "tester", "spelling")
    services.corrections.apply(planned)
    after = services.retrieve.instances(study)
    assert frames_of(services, after) == frames
    for instance in after:
        whole = part10(services, instance)
        assert (whole.SpecificCharacterSet, whole.PatientName) == ("ISO_IR 192", "山田^アン")
        (item,) = whole.OriginalAttributesSequence
        assert item.ModifiedAttributesSequence[0].PatientName == "Müller^Ann"
    with pytest.raises(Conflict, match="must be sent again"):
        opened(data, row).corrections.plan(study, None, IDENTITY, "tester", "x")


def test_received_objects_that_stay_behind_are_told(
    slide: Path, other: Path, data: Path, tmp_path: Path
) -> None:
    services = opened(data, ANN)
    served = services.ingest.add(str(slide))
    said = {"StudyInstanceUID": served.study, "PatientID": "A", "PatientName": "Müller^Ann"}
    received(services, other, tmp_path / "sent", **said)
    planned = opened(data, BEN).corrections.plan(str(slide), None, IDENTITY, "tester", "swapped")
    assert planned.left == len(services.retrieve.instances(served.study)) - served.instances > 0
    services.corrections.apply(planned)
    assert len(services.retrieve.instances(served.study)) == planned.left
    assert len(found(services)) == 2


def test_rejected_objects_do_not_come_back_by_another_door(
    slide: Path, data: Path, tmp_path: Path
) -> None:
    services = opened(data, ANN)
    served = services.ingest.add(str(slide))
    streams = [
        b"".join(services.retrieve.part10(one).pieces)
        for one in services.retrieve.instances(served.study)
    ]
    correct(data, IDENTITY, BEN, slide)
    for stream in streams:
        with pytest.raises(Conflict, match="does not come back"):
            services.receive.receive([[stream]])
    assert len(found(services)) == 1


# -- over HTTP, and as a person does it


def base_of(server: Server, study: str) -> tuple[str, dict[str, Any]]:
    metadata = server.get(f"/studies/{study}/metadata", "application/dicom+json").json()
    (base,) = [one for one in metadata if one["00200013"]["Value"] == [1]]
    series, instance = base["0020000E"]["Value"][0], base["00080018"]["Value"][0]
    return f"/studies/{study}/series/{series}/instances/{instance}", base


def test_a_running_server_shows_corrections_at_once(
    slide: Path, data: Path, tmp_path: Path
) -> None:
    worklist = write_csv(tmp_path / "w.csv", ANN)
    options = ("--data", data, "--metadata", worklist)
    record = json.loads(slidegate("add", slide, *options, "--json").stdout)
    with serving(data, "--no-materialise") as server:
        path, base = base_of(server, record["study"])
        frame = server.get(f"{path}/frames/1", "image/jpeg").content
        assert base["00100010"]["Value"] == [{"Alphabetic": "Müller^Ann"}]

        write_csv(worklist, ANN | {"patient_name": "山田^アン"})
        words = ("correct", slide, *options, "--kind", "details", "--reason", "spelling", "--json")
        dry = json.loads(slidegate(*words, "--dry-run").stdout)
        assert (dry["applied"], dry["instances"]) == (False, 5)
        assert dry["changes"] == [
            {"keyword": "PatientName", "before": "Müller^Ann", "after": "山田^アン"}
        ]
        assert base_of(server, record["study"])[1] == base
        assert json.loads(slidegate(*words).stdout)["applied"]
        assert base_of(server, record["study"])[1]["00100010"]["Value"] == [
            {"Alphabetic": "山田^アン"}
        ]
        assert server.get(f"{path}/frames/1", "image/jpeg").content == frame

        write_csv(worklist, BEN)
        swapped = ("--kind", "identity", "--reason", "swapped")
        told = slidegate("correct", record["series"], *options, *swapped).stdout
        assert "5 instances are corrected" in told
        (study,) = server.get("/studies", "application/dicom+json").json()
        assert study["00100020"]["Value"] == ["B"]
        for gone in ("/frames/1", "/metadata", ""):
            assert server.get(path + gone).status_code == 404
        assert server.get(f"/studies/{record['study']}/metadata").status_code == 404
        now, _ = base_of(server, study["0020000D"]["Value"][0])
        assert server.get(f"{now}/frames/1", "image/jpeg").content == frame
        assert server.get(now, "application/dicom; transfer-syntax=*").status_code == 200

    listed = slidegate("correct", "--list", "--data", data, "--json").stdout.splitlines()
    assert [json.loads(one)["reason"] for one in listed] == ["spelling", "swapped"]
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    assert {json.loads(one)["actor"] for one in listed} == {user}
    assert not any(word in "".join(listed) for word in ("Ann", "Ben", "山田"))
    assert "swapped" in slidegate("correct", "--list", "--data", data).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["correct", "SLIDE"], "--kind and --reason"),
        (["correct", "1.2.3", "--kind", "details", "--reason", "x"], "no slide and no study 1.2.3"),
        (["correct", "SLIDE", "--kind", "details", "--reason", "x"], "already"),
        (["correct", "SLIDE", "--kind", "details", "--reason", "x", "--row", "9"], "no row 9"),
        (["match", "SLIDE"], "--row or --unidentified"),
        (["match", "--row", "1"], "--row or --unidentified"),
        (["match", "SLIDE", "--row", "1"], "slidegate correct"),
    ],
)
def test_what_cannot_be_done_is_told(
    words: list[str], told: str, slide: Path, data: Path, tmp_path: Path
) -> None:
    worklist = write_csv(tmp_path / "w.csv", ANN)
    options = ("--data", data, "--metadata", worklist)
    slidegate("add", slide, *options)
    arguments = [str(slide) if word == "SLIDE" else word for word in words]
    assert told in slidegate(*arguments, *options, fails=True).stderr


def test_two_slides_of_a_study_are_told_apart(slide: Path, other: Path, data: Path) -> None:
    services = opened(data, ANN, ANN | {"barcode": "B2", "slide_id": "S26-1-A2"})
    study = services.ingest.add(str(slide)).study
    services.ingest.add(str(other))
    with pytest.raises(Conflict, match="2 slides in the study"):
        services.corrections.plan(study, "1", DETAILS, "tester", "x")


def test_a_rewritten_header_that_says_the_same_is_the_same(slide: Path, data: Path) -> None:
    services = opened(data, FULL)
    served = services.ingest.add(str(slide))
    plan = ScannerFiles(data.parent / "worklist.csv").plan(str(slide))
    assert isinstance(plan, SlidePlan)
    assert plan.row is not None
    for planned in plan.instances:
        assert plan.row.rewritten(planned.header, served) == planned.header
