"""Whose slides are, where it is hard: processes at once, strangers in a series, swapped files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import UID

from gateway.bootstrap import Services
from gateway.core.errors import Conflict, Contradicted, SourceChanged, Unmatched
from gateway.core.identity import CorrectionKind
from gateway.core.instances import Slide, SlideState
from gateway.core.ports import Attributes, Match
from gateway.core.queries import Query, QueryLevel
from gateway.core.storage import Buffer
from tests.conftest import slidegate
from tests.factories import make_svs
from tests.services.test_identity import (
    ANN,
    BEN,
    DETAILS,
    IDENTITY,
    correct,
    found,
    frames_of,
    headers,
    opened,
    part10,
    received,
)
from tests.worklists import write_csv

LONGER = ANN | {"patient_name": "A-name-that-is-longer^Than-the-one-before"}


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """Slides with the barcodes B1 and B2, and one without; tests leave them as they are."""
    folder = tmp_path_factory.mktemp("slides")
    for number in (1, 2):
        make_svs(folder / f"{number}.svs", extra_description=f"|Barcode = B{number}", seed=number)
    make_svs(folder / "silent.svs", seed=3)
    return [folder / name for name in ("1.svs", "2.svs", "silent.svs")]


@pytest.fixture
def slide(slides: Sequence[Path]) -> Path:
    return slides[0]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def served_frames(data: Path, slide: Slide) -> list[list[bytes]]:
    """Return all frames as a server that was started now gives them."""
    services = opened(data)
    return frames_of(services, services.retrieve.instances(slide.study))


def shown(services: Services) -> set[tuple[str, str]]:
    """Return who each study shows, in searches and in metadata."""
    studies = {str(one["StudyInstanceUID"]): str(one["PatientName"]) for one in found(services)}
    return {*studies.items()} | {
        (study, str(header.PatientName)) for study in studies for header in headers(services, study)
    }


# -- processes at once


@pytest.mark.req("REQ-WSI-23")
def test_of_two_corrections_at_once_one_is_shown_at_all_doors(slide: Path, data: Path) -> None:
    opened(data, ANN).ingest.add(str(slide))
    planned = []
    for name in ("One^Ben", "Two^Ben"):
        corrections = opened(data, BEN | {"patient_name": name}).corrections
        planned.append(corrections.plan(str(slide), None, IDENTITY, "tester", "x"))
    first, second = planned
    assert first.correction.new_study == second.correction.new_study
    corrections.apply(first)
    with pytest.raises(Conflict):
        corrections.apply(second)
    assert {name for _, name in shown(opened(data))} == {"One^Ben"}


def test_of_two_worklists_at_once_one_is_shown_at_all_doors(
    slide: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat = opened(data, ANN | {"patient_id": "C", "patient_name": "Other^Cat"})
    check = cat.index.check_slide

    def checked(attributes: Attributes) -> None:
        check(attributes)
        opened(data, ANN).ingest.add(str(slide))

    monkeypatch.setattr(cat.index, "check_slide", checked)
    with pytest.raises(Conflict):
        cat.ingest.add(str(slide))
    assert {name for _, name in shown(opened(data))} == {ANN["patient_name"]}


def test_what_is_corrected_during_a_search_is_no_match(
    slides: Sequence[Path], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = opened(data, ANN, BEN | {"barcode": "B2"})
    for path in slides[:2]:
        services.ingest.add(str(path))
    search = services.index.search

    def searched(query: Query) -> Iterator[Match]:
        matches = search(query)
        if query.level is QueryLevel.SERIES:
            correct(data, IDENTITY, ANN | {"study_uid": "1.2.3"}, slides[0])
        return matches

    monkeypatch.setattr(services.index, "search", searched)
    (match,) = services.search.find(Query(QueryLevel.SERIES), headers=True)
    assert match.header is not None
    assert match.header.PatientName == match.match["PatientName"] == BEN["patient_name"]


def test_frames_are_whole_while_a_slide_is_materialised_twice_and_corrected(
    slide: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = opened(data, ANN), opened(data, ANN)
    served = early.ingest.add(str(slide))
    frames = served_frames(data, served)
    put = late.store.put
    written: list[str] = []

    def slow(name: str, chunks: Iterable[Sequence[Buffer]]) -> None:
        put(name, chunks)
        written.append(name)
        if len(written) == 1:
            correct(data, DETAILS, LONGER, slide)
            early.ingest.materialise(served)
        assert served_frames(data, served) == frames

    monkeypatch.setattr(late.store, "put", slow)
    late.ingest.materialise(served)
    assert len(written) == 2 * served.instances
    for services in (early, late, opened(data)):
        assert frames_of(services, services.retrieve.instances(served.study)) == frames


# -- quarantine


@pytest.mark.req("REQ-WSI-23")
def test_what_lies_there_now_is_not_matched_in_place_of_what_waits(
    slides: Sequence[Path], data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "swapped.svs"
    shutil.copy(slides[2], path)
    row = ANN | {"barcode": "B9"}
    with pytest.raises(Unmatched):
        opened(data, row).ingest.add(str(path))
    make_svs(path, seed=4)
    services = opened(data, row)
    (waiting,) = services.quarantine.waiting()
    for name in (waiting.file.fingerprint, str(path)):
        with pytest.raises(SourceChanged, match="another slide now"):
            services.quarantine.match(name, "1")
        with pytest.raises(SourceChanged, match="another slide now"):
            services.quarantine.serve_unidentified(name)
    (left,) = services.quarantine.match_all()
    assert isinstance(left[1], SourceChanged)
    assert found(services) == []


# -- objects that came into the series of a slide


def send_stranger(services: Services, slide: Slide) -> str:
    """Receive an object of another system in the series of a slide; return its UID."""
    dataset = part10(services, services.retrieve.instances(slide.study)[-1])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    dataset.ContainerIdentifier, dataset.Manufacturer = "STRANGE", "Elsewhere"
    stream = BytesIO()
    dataset.save_as(stream)
    services.receive.receive([[stream.getvalue()]])
    return str(dataset.SOPInstanceUID)


@pytest.mark.parametrize(("kind", "row"), [(DETAILS, LONGER), (IDENTITY, BEN)])
def test_a_correction_takes_no_received_object_for_the_slides_own(
    kind: CorrectionKind, row: dict[str, str], slide: Path, data: Path
) -> None:
    services = opened(data, ANN)
    served = services.ingest.add(str(slide))
    uid = send_stranger(services, served)
    correct(data, kind, row, slide)
    (stranger,) = [one for one in headers(services, served.study) if one.SOPInstanceUID == uid]
    assert (stranger.ContainerIdentifier, stranger.Manufacturer) == ("STRANGE", "Elsewhere")
    series = {one["ContainerIdentifier"] for one in found(services, QueryLevel.SERIES)}
    assert series == {ANN["slide_id"], row["slide_id"]}
    assert len(headers(services, services.ingest.slides()[0].study)) == served.instances + (
        kind is DETAILS
    )


def test_received_objects_in_its_series_keep_no_slide_from_being_materialised(
    slide: Path, data: Path
) -> None:
    services = opened(data, ANN)
    served = services.ingest.add(str(slide))
    send_stranger(services, served)
    services.ingest.materialise(served)
    assert services.ingest.slides()[0].state is SlideState.MATERIALISED


# -- which kind of correction


def test_a_terminal_without_the_letters_of_a_name_ends_no_correction(
    slide: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(data, ANN | {"patient_name": "Doe^Ann"}).ingest.add(str(slide))
    worklist = write_csv(data.parent / "w.csv", ANN | {"patient_name": "山田^アン"})
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    options = ("--data", data, "--metadata", worklist, "--kind", "details", "--reason", "spelling")
    assert "'??^??'" in slidegate("correct", slide, *options).stdout
    assert found(opened(data))[0]["PatientName"] == "山田^アン"


@pytest.mark.parametrize("before", [ANN, ANN | {"study_uid": "1.2.3"}])
def test_another_order_is_no_detail(before: dict[str, str], slide: Path, data: Path) -> None:
    opened(data, before).ingest.add(str(slide))
    with pytest.raises(Conflict, match="use --kind identity"):
        correct(data, DETAILS, LONGER | {"study_uid": "1.2.4"}, slide)
    assert correct(data, IDENTITY, LONGER | {"study_uid": "1.2.4"}, slide) == "1.2.4"


def test_a_study_beside_the_orders_own_is_not_left_without_need(slide: Path, data: Path) -> None:
    opened(data, ANN).ingest.add(str(slide))
    right = BEN | {"accession": ANN["accession"]}
    study = correct(data, IDENTITY, right, slide)
    with pytest.raises(Conflict, match="use --kind details"):
        correct(data, IDENTITY, right | {"label_text": "Benjamin"}, slide)
    assert correct(data, DETAILS, right | {"label_text": "Benjamin"}, slide) == study


def test_slides_that_come_later_join_the_study_that_a_correction_began(
    slides: Sequence[Path], data: Path
) -> None:
    opened(data, ANN).ingest.add(str(slides[0]))
    right = BEN | {"accession": ANN["accession"]}
    later = right | {"barcode": "B2"}
    with pytest.raises(Contradicted, match="another patient's"):
        opened(data, later).ingest.add(str(slides[1]))
    study = correct(data, IDENTITY, right, slides[0])
    for _ in range(2):
        assert opened(data, later).ingest.add(str(slides[1])).study == study
    third = opened(data, later | {"patient_id": "C", "barcode": "B3"})
    with pytest.raises(Unmatched):
        third.ingest.add(str(slides[2]))
    with pytest.raises(Contradicted, match="another patient's"):
        third.quarantine.match(str(slides[2]), "1")


def test_a_row_of_another_spacing_corrects_nothing(slide: Path, data: Path) -> None:
    opened(data, ANN).ingest.add(str(slide))
    for kind, row in ((DETAILS, LONGER), (IDENTITY, BEN)):
        with pytest.raises(Conflict, match="spacing_um"):
            correct(data, kind, row | {"spacing_um": "0.25"}, slide)
    correct(data, DETAILS, LONGER | {"spacing_um": "0.499"}, slide)


def test_what_was_said_in_another_character_set_stays_readable(
    slide: Path, data: Path, tmp_path: Path
) -> None:
    services = opened(data)
    issuer = Dataset()
    issuer.LocalNamespaceEntityID = "Königsklinik"
    said = {"SpecificCharacterSet": "ISO_IR 100", "PatientID": "A", "PatientName": "Müller^Ann"}
    study = received(services, slide, tmp_path, **said, IssuerOfAccessionNumberSequence=[issuer])
    for name in ("Müller^Änne", "山田^アン"):
        corrections = opened(data, {"barcode": "B1", "patient_id": "A", "patient_name": name})
        plan = corrections.corrections.plan(study, None, DETAILS, "tester", "spelling")
        corrections.corrections.apply(plan)
    for header in headers(services, study):
        first, second = (
            item.ModifiedAttributesSequence[0] for item in header.OriginalAttributesSequence
        )
        assert first.IssuerOfAccessionNumberSequence[0] == issuer
        assert [first.PatientName, second.PatientName] == ["Müller^Ann", "Müller^Änne"]
