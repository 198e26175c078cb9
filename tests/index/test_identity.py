"""Whose slides are: what the port Index promises of it, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import dataclasses
from contextlib import closing

import pytest
from alembic import command

from gateway.core.errors import Conflict, NotFound
from gateway.core.identity import Correction, CorrectionKind, QuarantinedSlide, Revision
from gateway.core.instances import Identified, Instance, InstanceKey
from gateway.core.queries import AnyOf, Key, Query, QueryLevel, Similar
from gateway.index.connect import connect, writer
from gateway.index.migrations import configuration
from gateway.index.tables import metadata
from gateway.index.work import SqlIndex, open_index
from tests.index.samples import add, linked, planned, search

STUDY, SERIES, INSTANCE = QueryLevel


def stored(number: int) -> list[Instance]:
    """Return the instances of a slide after it was materialised."""
    return [
        dataclasses.replace(one, frames=f"{one.key.instance}.dcm", frame_table="new")
        for one in linked(planned(number))
    ]


def waiting(number: int) -> QuarantinedSlide:
    return QuarantinedSlide(planned(number).file, f"B{number}", "no row", float(number), None)


def test_a_slide_waits_until_it_is_added(index: SqlIndex) -> None:
    index.quarantine(waiting(1))
    index.quarantine(dataclasses.replace(waiting(2), stated_spacing_um=0.5, barcode=None))
    index.quarantine(dataclasses.replace(waiting(1), reason="another"))
    assert [(one.at, one.reason) for one in index.quarantined()] == [
        (2.0, "no row"),
        (1.0, "another"),
    ]
    assert index.quarantined()[0] == dataclasses.replace(
        waiting(2), stated_spacing_um=0.5, barcode=None
    )
    add(index, 1)
    index.quarantine(waiting(1))  # by another process that read the worklist before
    assert [one.file for one in index.quarantined()] == [planned(2).file]


def test_a_slide_comes_back_with_what_its_file_says(index: SqlIndex) -> None:
    add(index, 1)
    slide = index.slide("print-1")
    assert slide is not None
    assert slide.facts == planned(1).facts
    assert slide.identified is Identified.NONE
    roles = [(one.key.instance, role) for one, role in index.instances_of("print-1")]
    assert roles == [("1.3.1.0", "ROLE 0"), ("1.3.1.1", "ROLE 1")]


@pytest.mark.parametrize(
    ("second", "other"),
    [
        ({"PatientID": "B"}, True),
        ({"PatientID": "", "PatientName": "Ann"}, True),
        ({"PatientID": "A", "IssuerOfPatientID": "Y"}, True),
        ({"PatientID": "A", "IssuerOfPatientID": ""}, False),
        ({"PatientID": "A", "PatientName": "Mueller"}, False),
    ],
)
def test_a_study_is_one_patients(index: SqlIndex, second: dict[str, str], other: bool) -> None:
    first = {"PatientID": "A", "IssuerOfPatientID": "X", "PatientName": "Ann"}
    add(index, 1, study="1.2.9", **first)
    attributes = dict(planned(2, "1.2.9", **second).instances[0].attributes)
    assert index.is_anothers("1.2.9", attributes) is other
    assert not index.is_anothers("1.2.8", attributes)
    with pytest.raises(Conflict, match="another patient's" if other else "stored with another"):
        index.check_slide(attributes)
    if not other:
        index.check_study(attributes)  # what others send may say more or less of it
    before = index.epoch()
    with pytest.raises(Conflict):
        add(index, 2, study="1.2.9", **second)
    assert index.epoch() == before
    add(index, 3, study="1.2.9", **first)


def test_an_issuer_that_was_not_said_at_first_is_learnt(index: SqlIndex) -> None:
    add(index, 1, study="1.2.9", PatientID="A")
    for number, issuer in ((2, "X"), (3, "Y"), (4, "")):
        plan = planned(number, "1.2.9", PatientID="A", IssuerOfPatientID=issuer)
        (instance, _), (said, _) = linked(plan), plan.instances
        instance = dataclasses.replace(instance, frames="blob")
        if issuer == "Y":
            with pytest.raises(Conflict, match="another patient's"):
                index.add_instance(instance, said.attributes, "0")
        else:
            index.add_instance(instance, said.attributes, "0")


@pytest.mark.parametrize(
    ("first", "second", "other"),
    [
        ({"PatientID": "A"}, {"PatientID": " A  "}, False),
        ({"PatientID": "A"}, {"PatientID": "a"}, True),
        ({"PatientName": "Doe^Jane"}, {"PatientName": "DOE^jane^^^ "}, False),
        ({"PatientName": "Doe^Jane==ど"}, {"PatientName": "Doe^Jane^==ど^"}, False),
        ({"PatientName": "Müller^Ann"}, {"PatientName": "Mu\u0308ller^Ann"}, False),
        ({"PatientName": "Doe^Jane"}, {"PatientName": "Doe^^Jane"}, True),
        ({}, {"PatientName": "Doe"}, True),
    ],
)
def test_spelling_alone_makes_no_other_patient(
    index: SqlIndex, first: dict[str, str], second: dict[str, str], other: bool
) -> None:
    add(index, 1, study="1.2.9", **first)
    assert index.is_anothers("1.2.9", {"StudyInstanceUID": "1.2.9", **second}) is other


def corrected(
    index: SqlIndex, kind: CorrectionKind, number: int, study: str = "", **attributes: str
) -> None:
    """Correct all instances of a slide that has its study for itself."""
    slide = index.slide(f"print-{number}")
    assert slide is not None
    study = study or slide.study
    revisions = []
    for before in index.instances(slide.study):
        key = before.key
        if kind is CorrectionKind.IDENTITY:
            key = InstanceKey(study, f"{study}.3", f"{study}.3.{before.key.instance[-1]}")
        after = dataclasses.replace(before, key=key, header=f"{key.instance}.new")
        said = dict(planned(number).instances[0].attributes) | {
            "StudyInstanceUID": key.study,
            "SeriesInstanceUID": key.series,
            "SOPInstanceUID": key.instance,
            **attributes,
        }
        revisions.append(Revision(before, after, said))
    record = Correction(
        kind, slide.study, study, f"print-{number}", "tester", "typo", 1.5, ("PatientID",)
    )
    index.correct(record, revisions, Identified.ORDER)


def test_details_change_at_all_levels_together(index: SqlIndex) -> None:
    add(index, 1, PatientID="A", PatientName="Ann", ContainerIdentifier="S1")
    before = index.epoch()
    corrected(index, CorrectionKind.DETAILS, 1, PatientID="A2", ContainerIdentifier="S2")
    assert index.epoch() != before
    assert [one.header for one in index.instances("1.2.1")] == ["1.3.1.0.new", "1.3.1.1.new"]
    (match, *_) = search(index, Query(SERIES))
    assert (match["PatientID"], match["ContainerIdentifier"]) == ("A2", "S2")
    assert search(index, Query(STUDY, (Key("PatientID", AnyOf(("A",))),))) == []
    assert index.is_anothers("1.2.1", {"PatientID": "A"})
    assert not index.is_anothers("1.2.1", {"PatientID": "A2"})
    (one,) = index.corrections()
    assert (one.kind, one.keywords, one.at) == (CorrectionKind.DETAILS, ("PatientID",), 1.5)
    slide = index.slide("print-1")
    assert slide is not None and slide.identified is Identified.ORDER


def test_identity_moves_a_slide_and_keeps_what_it_was(index: SqlIndex) -> None:
    add(index, 1, 2, PatientID="A")
    before = index.instances("1.2.1")
    corrected(index, CorrectionKind.IDENTITY, 1, "1.5", PatientID="B")
    for one in before:
        with pytest.raises(NotFound):
            index.instance(one.key)
    after = index.instances("1.5")
    assert [one.frames for one in after] == [one.frames for one in before]
    assert [one.frame_table for one in after] == [one.frame_table for one in before]
    assert [one["StudyInstanceUID"] for one in search(index, Query(STUDY))] == ["1.2.2", "1.5"]
    slide = index.slide("print-1")
    assert slide is not None
    assert (slide.study, slide.series, slide.instances) == ("1.5", "1.5.3", 2)
    assert index.rejections("print-1") == ["1.2.1"]
    assert index.is_anothers("1.2.1", {"PatientID": "B"})


def test_rejected_uids_are_never_used_again(index: SqlIndex) -> None:
    add(index, 1, PatientID="A")
    corrected(index, CorrectionKind.IDENTITY, 1, "1.5", PatientID="B")
    plan = dataclasses.replace(planned(1, PatientID="A"), file=planned(3).file, identity="other")
    with pytest.raises(Conflict, match="does not come back"):
        index.add_slide(plan, linked(plan), due=0.0)
    rejected = dict(plan.instances[0].attributes) | {"StudyInstanceUID": "1.2.1"}
    with pytest.raises(Conflict, match="does not come back"):
        index.check_study(rejected)
    corrected(index, CorrectionKind.IDENTITY, 1, "1.6", PatientID="B")
    with pytest.raises(Conflict, match="does not come back"):
        corrected(index, CorrectionKind.IDENTITY, 1, "1.5", PatientID="B")
    assert index.rejections("print-1") == ["1.2.1", "1.5"]


def test_a_correction_is_whole_or_not_at_all(index: SqlIndex) -> None:
    add(index, 1, PatientID="A")
    add(index, 2, PatientID="B")
    before = index.epoch()
    with pytest.raises(Conflict, match="another patient's"):
        corrected(index, CorrectionKind.IDENTITY, 1, "1.2.2", PatientID="C")
    stale = index.instances("1.2.1")
    corrected(index, CorrectionKind.DETAILS, 1, PatientID="A2")
    record = Correction(CorrectionKind.DETAILS, "1.2.1", "1.2.1", None, "tester", "x", 2.0, ())
    attributes = planned(1).instances[0].attributes
    for revisions in (
        [Revision(one, one, attributes) for one in stale],
        [Revision(one, one, attributes) for one in index.instances("1.2.1")[:1]],
    ):
        with pytest.raises(Conflict, match="changed meanwhile"):
            index.correct(record, revisions, Identified.NONE)
    assert index.epoch() == before + 1
    assert len(index.corrections()) == 1


def test_materialising_keeps_a_corrected_header(index: SqlIndex) -> None:
    add(index, 1)
    corrected(index, CorrectionKind.DETAILS, 1, PatientID="A")
    index.materialised("print-1", "sha", stored(1))
    assert [one.header for one in index.instances("1.2.1")] == ["1.3.1.0.new", "1.3.1.1.new"]
    assert [one.frames for one in index.instances("1.2.1")] == ["1.3.1.0.dcm", "1.3.1.1.dcm"]


def test_studies_of_an_older_schema_have_their_patients(url: str) -> None:
    make_older(url, "0002")
    newer = open_index(url)
    assert newer.is_anothers("1.2.1", {"PatientID": "B"})
    slide = newer.slide("print-1")
    assert slide is not None and slide.identified is Identified.NONE
    newer.close()


def test_instances_of_an_older_schema_are_completed_from_their_headers(url: str) -> None:
    make_older(url, "0003")
    with closing(open_index(url)) as index:
        ((number, key),) = index.untold(None, 9)
        assert index.untold(number, 9) == []
        said = planned(1, PatientName="Smith^Ann", TimezoneOffsetFromUTC="+0100")
        index.complete([(key, said.instances[0].attributes)])
        assert index.untold(None, 9) == []
        similar = Key("PatientName", Similar("ann"))
        (match,) = search(index, Query(QueryLevel.STUDY, (similar,)))
        assert match["TimezoneOffsetFromUTC"] == "+0100"


def make_older(url: str, revision: str) -> None:
    """Make a database of an older schema, with a slide of one instance."""
    engine = connect(url)
    with writer(engine).begin() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
        command.upgrade(configuration(connection), revision)
        of_file = "'print-1', 'identity-1', '0:0:0:0', 'linked', 0.0"
        path = "x'2f78'" if engine.dialect.name == "sqlite" else "'\\x2f78'"
        for statement in (
            'INSERT INTO studies (id, "StudyInstanceUID", "PatientID")'
            " VALUES (1, '1.2.1', 'A')",
            """INSERT INTO series (id, study_id, "SeriesInstanceUID") VALUES (1, 1, '1.3.1')""",
            "INSERT INTO slides (id, series_id, path, fingerprint, identity, signature, state, due)"
            f" VALUES (1, 1, {path}, {of_file})",
            'INSERT INTO instances (id, series_id, slide_id, "SOPInstanceUID", transfer_syntax,'
            " number_of_frames, header, frame_table)"
            " VALUES (1, 1, 1, '1.3.1.0', '1.2.840.10008.1.2.4.50', 1, 'header', 'table')",
        ):
            connection.exec_driver_sql(statement)
        if revision > "0002":
            connection.exec_driver_sql(
                """INSERT INTO patients (id, "StudyInstanceUID", identifier, issuer, name)"""
                " VALUES (1, '1.2.1', 'A', '', '')"
            )
    engine.dispose()
