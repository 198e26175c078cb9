"""What the port Index promises, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import dataclasses
import multiprocessing
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, suppress
from multiprocessing.context import SpawnContext
from pathlib import Path
from random import Random
from string import digits

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VM, tag_for_keyword

from gateway.core.errors import (
    Conflict,
    DuplicateInstance,
    GatewayError,
    InvalidDataset,
    InvalidInput,
    InvalidQuery,
    NotFound,
    OutOfResources,
    Unavailable,
)
from gateway.core.instances import Instance, InstanceKey, LinkedFile, Signature, SlideState
from gateway.core.matching import name_form
from gateway.core.ports import Index
from gateway.core.queries import AnyOf, Key, Query, QueryLevel, Range, Rule, Wildcard
from gateway.dicom.attributes import COMPUTED, INDEXED, LEVEL_OF
from gateway.index.connect import connect, translated
from gateway.index.migrations import configuration
from gateway.index.tables import MULTI_VALUED, REVISIONS, metadata
from gateway.index.work import SqlIndex, open_index
from tests.index import samples
from tests.index.conftest import KINDS
from tests.index.samples import add, linked, planned, search

STUDY, SERIES, INSTANCE = QueryLevel


@pytest.fixture(scope="module")
def spawn() -> SpawnContext:
    return multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def elsewhere(spawn: SpawnContext) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=spawn) as executor:
        yield executor


# Slides


def test_the_sql_index_is_an_index(index: SqlIndex) -> None:
    port: Index = index
    assert port.slides() == []


def test_a_slide_and_all_its_instances_become_visible_together(index: SqlIndex, url: str) -> None:
    plan = planned(1)
    other = open_index(url)
    seen: list[object] = []

    class Watched(list[Instance]):
        def __iter__(self) -> Iterator[Instance]:
            seen.extend([other.slide("print-1"), search(other, Query(INSTANCE)), other.epoch()])
            return super().__iter__()

    before = other.epoch()
    index.add_slide(plan, Watched(linked(plan)), due=0.0)
    assert seen == [None, [], before]
    assert other.slide("print-1") is not None
    assert [other.instance(one.key) for one in plan.instances] == linked(plan)
    assert other.epoch() != before
    other.close()


def test_an_instance_comes_back_as_it_went_in(index: SqlIndex) -> None:
    plan = planned(1)
    path = b"/slides/M\xfcller.svs".decode(errors="surrogateescape")
    plan = dataclasses.replace(plan, file=dataclasses.replace(plan.file, path=path))
    volume, label = linked(plan)
    label = dataclasses.replace(label, frames="label.blob", number_of_frames=1)
    index.add_slide(plan, [volume, label], due=0.0)
    assert index.instance(volume.key) == volume
    assert index.instance(label.key) == label
    assert index.instances("1.2.1") == [volume, label]


def test_a_slide_that_is_there_is_a_conflict(index: SqlIndex) -> None:
    add(index, 1)
    before = index.epoch()
    with pytest.raises(Conflict):
        add(index, 1)
    assert len(index.slides()) == 1
    assert index.epoch() == before


@pytest.mark.parametrize("clash", ["instance", "series", "fingerprint"])
def test_a_conflict_leaves_no_half_slide(index: SqlIndex, clash: str) -> None:
    add(index, 1)
    plan = planned(2)
    if clash == "fingerprint":
        plan = dataclasses.replace(plan, file=planned(1).file)
    else:
        keyword = {"instance": "SOPInstanceUID", "series": "SeriesInstanceUID"}[clash]
        plan = planned(2, "", **{keyword: planned(1).instances[0].attributes[keyword]})
    with pytest.raises(Conflict):
        index.add_slide(plan, linked(plan), due=0.0)
    assert [slide.study for slide in index.slides()] == ["1.2.1"]
    assert len(search(index, Query(STUDY))) == 1
    assert len(search(index, Query(SERIES))) == 1
    assert len(search(index, Query(INSTANCE))) == 2


def received(number: int, study: str = "", **attributes: str) -> tuple[Instance, dict[str, str]]:
    """Return an instance as it comes from somebody else, and what the index keeps of it."""
    one = planned(number, study, **attributes).instances[0]
    header = f"{one.key.instance}.header"
    instance = Instance(one.key, one.transfer_syntax, 7, header, "table", "blob.dcm", header)
    return instance, dict(one.attributes)


def test_a_received_instance_is_held_with_its_digest(index: SqlIndex) -> None:
    instance, attributes = received(1, PatientID="p")
    assert index.holding(instance.key.instance) is None
    index.check_study(attributes)
    before = index.epoch()
    index.add_instance(instance, attributes, "5ha")
    assert index.epoch() != before
    assert index.instance(instance.key) == instance
    assert index.instance(instance.key).verbatim
    holding = index.holding(instance.key.instance)
    assert holding is not None
    assert (holding.instance, holding.sha256) == (instance, "5ha")
    assert index.slides() == []
    (match,) = search(index, Query(STUDY))
    assert (match["PatientID"], match["NumberOfStudyRelatedInstances"]) == ("p", 1)


def test_the_instances_of_slides_are_held_without_a_digest(index: SqlIndex) -> None:
    add(index, 1)
    (one, _) = linked(planned(1))
    holding = index.holding(one.key.instance)
    assert holding is not None
    assert (holding.instance, holding.sha256) == (one, None)
    assert not holding.instance.verbatim
    with pytest.raises(DuplicateInstance):
        index.add_instance(*received(1), "5ha")


def test_a_study_is_of_one_patient_and_a_series_of_one_study(index: SqlIndex) -> None:
    index.add_instance(*received(1, PatientID="p"), "5ha")
    add(index, 2)
    before = index.epoch()
    strangers = [
        received(3, "1.2.1", PatientID="q"),
        received(3, "1.2.1"),
        received(3, "1.2.2", PatientID="p"),
        received(3, SeriesInstanceUID="1.3.1"),
    ]
    for instance, attributes in strangers:
        with pytest.raises(Conflict):
            index.check_study(attributes)
        with pytest.raises(Conflict):
            index.add_instance(instance, attributes, "5ha")
    assert index.epoch() == before
    assert len(search(index, Query(INSTANCE))) == 3
    index.add_instance(*received(4, "1.2.1", PatientID="p"), "5ha")
    index.add_instance(*received(5, "1.2.2", PatientID=""), "5ha")


@pytest.mark.parametrize("keyword", ["PatientID", "AccessionNumber", "ContainerIdentifier"])
def test_what_is_too_long_for_an_index_is_refused(index: SqlIndex, keyword: str) -> None:
    random = Random(1)  # PostgreSQL compresses what it can before it counts
    longest, longer = ("".join(random.choices(digits, k=length)) for length in (2000, 2001))
    index.add_instance(*received(1, **{keyword: longest}), "5ha")
    with pytest.raises(InvalidDataset, match=keyword):
        index.check_study(received(2, **{keyword: longer})[1])


def test_an_instance_is_found_under_its_own_three_uids_only(index: SqlIndex) -> None:
    add(index, 1, 2)
    key = planned(1).instances[0].key
    assert index.instance(key).key == key
    for wrong in (
        InstanceKey("1.2.2", key.series, key.instance),
        InstanceKey(key.study, "1.3.2", key.instance),
        InstanceKey(key.study, key.series, "1.3.2.0"),
    ):
        with pytest.raises(NotFound):
            index.instance(wrong)
        with pytest.raises(NotFound):
            index.instances(wrong.study, wrong.series, wrong.instance)


def test_instances_are_those_of_a_study_a_series_or_one(index: SqlIndex) -> None:
    add(index, 1, 2, 3, study="1.2.9")
    everything = [one for number in (1, 2, 3) for one in linked(planned(number, study="1.2.9"))]
    assert index.instances("1.2.9") == everything
    assert index.instances("1.2.9", "1.3.2") == everything[2:4]
    assert index.instances("1.2.9", "1.3.2", "1.3.2.1") == everything[3:4]
    with pytest.raises(NotFound):
        index.instances("1.2.1")


def test_slides_are_listed_in_the_order_they_were_added(index: SqlIndex) -> None:
    add(index, 3, 1, 2)
    assert [slide.series for slide in index.slides()] == ["1.3.3", "1.3.1", "1.3.2"]
    assert [slide.study for slide in index.slides(["1.2.2", "1.2.3"])] == ["1.2.3", "1.2.2"]
    slide = index.slide("print-1")
    assert slide == index.slides(["1.2.1"])[0]
    assert (slide.file, slide.identity) == (planned(1).file, "identity-1")
    assert (slide.state, slide.instances) == (SlideState.LINKED, 2)
    assert index.slide("print-9") is None


def test_linked_slides_fall_due_oldest_first_until_materialised(index: SqlIndex) -> None:
    add(index, 3, 1, 2)
    assert [slide.series for slide in index.due_slides(2.0)] == ["1.3.1", "1.3.2"]
    index.postpone("print-1", 2.5)
    assert [slide.series for slide in index.due_slides(3.0)] == ["1.3.2", "1.3.1", "1.3.3"]
    index.materialised("print-2", "sha", stored(2))
    assert [slide.series for slide in index.due_slides(3.0)] == ["1.3.1", "1.3.3"]


def test_slides_are_counted_by_state(index: SqlIndex) -> None:
    assert set(index.stock(9.0).values()) == {0}
    add(index, 3, 1, 2)
    index.materialised("print-2", "sha", stored(2))
    wanted = {"linked": 2, "materialised": 1, "due": 1, "quarantined": 0}
    assert index.stock(2.0) == wanted


def test_materialising_swaps_the_frames_of_all_instances(index: SqlIndex) -> None:
    add(index, 1, 2)
    index.materialised("print-1", "sha", stored(1))
    assert index.instances("1.2.1") == stored(1)
    assert index.instances("1.2.2") == linked(planned(2))
    slide = index.slide("print-1")
    assert slide is not None and slide.state is SlideState.MATERIALISED


def test_a_slide_can_be_materialised_from_the_start(index: SqlIndex) -> None:
    index.add_slide(planned(1), stored(1), due=0.0, sha256="sha")
    assert index.instances("1.2.1") == stored(1)
    slide = index.slide("print-1")
    assert slide is not None
    assert (slide.state, slide.sha256) == (SlideState.MATERIALISED, "sha")
    assert index.due_slides(9.0) == []


def test_materialising_other_instances_changes_nothing(index: SqlIndex) -> None:
    add(index, 1, 2)
    for wrong in (stored(1)[:1], stored(2)):
        with pytest.raises(Conflict):
            index.materialised("print-1", "sha", wrong)
    assert index.instances("1.2.1") == linked(planned(1))
    slide = index.slide("print-1")
    assert slide is not None and slide.state is SlideState.LINKED


def test_a_slide_that_moved_is_read_where_it_lies_now(index: SqlIndex) -> None:
    add(index, 1)
    moved = LinkedFile("/elsewhere/1.svs", "print-1", Signature(9, 8, 7, 6))
    index.relink(moved)
    assert {one.frames for one in index.instances("1.2.1")} == {moved}
    slide = index.slide("print-1")
    assert slide is not None and slide.file == moved


def test_what_is_done_to_an_unknown_slide_is_said(index: SqlIndex) -> None:
    with pytest.raises(NotFound):
        index.relink(planned(1).file)
    with pytest.raises(NotFound):
        index.postpone("print-1", 0.0)
    with pytest.raises(NotFound):
        index.materialised("print-1", "sha", [])


def stored(number: int) -> list[Instance]:
    """Return the instances of a slide after it was materialised."""
    return [
        dataclasses.replace(one, frames=f"{one.key.instance}.dcm", frame_table="new")
        for one in linked(planned(number))
    ]


# The epoch


def test_every_commit_changes_the_epoch_and_nothing_else_does(index: SqlIndex) -> None:
    seen = [index.epoch()]
    writes: list[Callable[[], None]] = [
        lambda: add(index, 1),
        lambda: index.postpone("print-1", 1.0),
        lambda: index.relink(planned(1).file),
        lambda: index.materialised("print-1", "sha", stored(1)),
    ]
    for write in writes:
        write()
        seen.append(index.epoch())
        search(index, Query(STUDY))
        assert index.epoch() == seen[-1]
    assert len(set(seen)) == 5


def test_a_commit_of_another_process_changes_the_epoch(
    index: SqlIndex, url: str, elsewhere: ProcessPoolExecutor
) -> None:
    before = index.epoch()
    elsewhere.submit(samples.add_elsewhere, url, 1, 1).result()
    assert index.epoch() != before
    assert len(index.slides()) == 1


# Searches


@pytest.fixture(scope="module", params=KINDS)
def archive(
    request: pytest.FixtureRequest, new_database: Callable[[str], str]
) -> Iterator[SqlIndex]:
    """Index of six slides; the number of a slide is the last part of its UIDs."""
    index = open_index(new_database(request.param))
    add(index, 1, PatientName="Müller^Ann", StudyDate="20200131", StudyTime="101530.5")
    add(index, 2, PatientName="MÜLLER^BEN", StudyDate="20200201", StudyTime="1015", PatientID="a")
    add(index, 3, PatientName="Smith^Cy", StudyDate="20210101", StudyTime="10", PatientID="A")
    add(index, 4, PatientName="", StudyDate="", StudyTime="", PatientID="", Modality="SR")
    of_6 = {"PatientID": "50%_[x]\\", "StudyTime": "235959", "AccessionNumber": "*"}
    add(index, 5, study="1.2.6", Modality="ANN", SeriesDescription="b", **of_6)
    add(index, 6, study="1.2.6", Modality="SM", SeriesDescription="a", **of_6)
    yield index
    index.close()


def found(index: SqlIndex, level: QueryLevel, *keys: tuple[str, Rule]) -> list[str]:
    """Return the last parts of the UIDs of all matches at a level."""
    matches = search(index, Query(level, tuple(Key(*key) for key in keys)))
    uid = INDEXED[level][0]
    prefix = {STUDY: "1.2.", SERIES: "1.3.", INSTANCE: "1.3."}[level]
    return [str(match[uid]).removeprefix(prefix) for match in matches]


@pytest.mark.req("REQ-QIDO-07", "REQ-QIDO-08", "REQ-QIDO-14")
@pytest.mark.parametrize(
    ("keyword", "rule", "studies"),
    [
        ("PatientID", AnyOf(("a",)), "2"),
        ("PatientID", AnyOf(("A", "a")), "2 3"),
        ("PatientID", AnyOf(()), ""),
        ("PatientID", AnyOf(("",)), "1 4"),
        ("PatientID", AnyOf(("", "a")), "1 2 4"),
        ("StudyInstanceUID", AnyOf(("1.2.1", "1.2.3", "1.2.7")), "1 3"),
        ("PatientName", AnyOf(("müller^ann",)), "1"),
        ("PatientName", AnyOf(("Mu\u0308ller^Ann",)), "1"),
        ("PatientName", Wildcard("MÜLLER*"), "1 2"),
        ("PatientName", Wildcard("*üL?er^b*"), "2"),
        ("PatientName", Wildcard("m?ller"), ""),
        ("PatientID", Wildcard("a"), "2"),
        ("PatientID", Wildcard("?"), "2 3"),
        ("PatientID", Wildcard("*"), "1 2 3 4 6"),
        ("PatientID", Wildcard("50%_[x]\\"), "6"),
        ("PatientID", Wildcard("*_[?]*"), "6"),
        ("PatientID", Wildcard("[a]"), ""),
        ("PatientID", Wildcard("%"), ""),
        ("StudyDate", AnyOf(("20200131",)), "1"),
        ("StudyDate", Range("20200131", "20200201"), "1 2"),
        ("StudyDate", Range("20200201", None), "2 3"),
        ("StudyDate", Range(None, "20200131"), "1"),
        ("StudyDate", Range(None, None), "1 2 3"),
        ("StudyTime", AnyOf(("101500",)), "2"),
        ("StudyTime", AnyOf(("101530.50",)), "1"),
        ("StudyTime", Range("1000", "1014"), "3"),
        ("StudyTime", Range("1015", "1015"), "1 2"),
        ("StudyTime", Range("101530", "101530.49"), ""),
        ("StudyTime", Range("101530.4", None), "1 6"),
        ("StudyTime", Range(None, "10"), "1 2 3"),
        ("ModalitiesInStudy", AnyOf(("SM",)), "1 2 3 6"),
        ("ModalitiesInStudy", AnyOf(("SR", "ANN")), "4 6"),
        ("ModalitiesInStudy", Wildcard("S*"), "1 2 3 4 6"),
        ("AccessionNumber", AnyOf(("*",)), "6"),
        ("AccessionNumber", Wildcard("*\\*"), ""),
    ],
)
def test_studies_match_by_the_rule_of_the_key(
    archive: SqlIndex, keyword: str, rule: Rule, studies: str
) -> None:
    assert found(archive, STUDY, (keyword, rule)) == studies.split()


@pytest.mark.req("REQ-QIDO-01")
@pytest.mark.parametrize(
    ("level", "keys", "expected"),
    [
        (SERIES, [("StudyInstanceUID", AnyOf(("1.2.6",)))], "5 6"),
        (SERIES, [("PatientName", Wildcard("müller*")), ("Modality", AnyOf(("SM",)))], "1 2"),
        (SERIES, [("ModalitiesInStudy", AnyOf(("ANN",)))], "5 6"),
        (SERIES, [("SOPInstanceUID", AnyOf(("1.3.3.0", "1.3.4.1")))], "3 4"),
        (INSTANCE, [("SeriesInstanceUID", AnyOf(("1.3.2",)))], "2.0 2.1"),
        (INSTANCE, [("StudyInstanceUID", AnyOf(("1.2.6",)))], "5.0 5.1 6.0 6.1"),
        (STUDY, [("Modality", AnyOf(("SR",)))], "4"),
        (STUDY, [("SOPInstanceUID", AnyOf(("1.3.5.1",)))], "6"),
        (STUDY, [("SeriesDescription", Wildcard("?")), ("Modality", AnyOf(("SM",)))], "6"),
    ],
)
def test_keys_of_other_levels_ask_what_lies_above_and_whether_below_exists(
    archive: SqlIndex, level: QueryLevel, keys: list[tuple[str, Rule]], expected: str
) -> None:
    assert found(archive, level, *keys) == expected.split()


def test_keys_of_lower_levels_must_match_in_one_place(archive: SqlIndex) -> None:
    description, modality = ("SeriesDescription", AnyOf(("b",))), ("Modality", AnyOf(("SM",)))
    assert found(archive, STUDY, description) == ["6"]
    assert found(archive, STUDY, description, modality) == []


@pytest.mark.parametrize(
    ("rule", "places"),
    [
        (AnyOf(("VOLUME",)), "0"),
        (AnyOf(("PRIMARY", "LABEL")), "0 1"),
        (AnyOf(("ORIGINAL\\PRIMARY",)), ""),
        (AnyOf(("",)), ""),
        (Wildcard("V*E"), "0"),
        (Wildcard("L????"), "1"),
        (Wildcard("ORIG*PRIM*"), ""),
        (Wildcard("volume"), ""),
        (Wildcard("*"), "0 1"),
    ],
)
def test_of_several_values_any_may_match(archive: SqlIndex, rule: Rule, places: str) -> None:
    series = ("SeriesInstanceUID", AnyOf(("1.3.1",)))
    expected = [f"1.{place}" for place in places.split()]
    assert found(archive, INSTANCE, series, ("ImageType", rule)) == expected


@pytest.mark.req("REQ-QIDO-10", "REQ-QIDO-11", "REQ-QIDO-13")
def test_a_match_has_all_attributes_of_its_level_and_above(archive: SqlIndex) -> None:
    for level in QueryLevel:
        above = [keyword for keyword in LEVEL_OF if LEVEL_OF[keyword] <= level]
        for match in search(archive, Query(level)):
            computed = {one for at in QueryLevel if at <= level for one in COMPUTED[at]}
            assert set(match) == {*above, *computed, "TimezoneOffsetFromUTC"}
    study = search(archive, Query(STUDY))[-1]
    assert study["ModalitiesInStudy"] == "ANN\\SM"
    assert study["NumberOfStudyRelatedSeries"] == 2
    assert study["NumberOfStudyRelatedInstances"] == 4
    assert (study["PatientID"], study["StudyDate"]) == ("50%_[x]\\", None)
    series = search(archive, Query(SERIES))[-1]
    assert series["NumberOfSeriesRelatedInstances"] == 2
    assert series["StudyTime"] == "235959"


@pytest.mark.req("REQ-QIDO-13")
def test_counts_and_modalities_follow_each_commit(index: SqlIndex) -> None:
    for number, modality in enumerate(("SM", "SR", "SM"), 1):
        add(index, number, study="1.2.9", Modality=modality)
        (study,) = search(index, Query(STUDY))
        assert study["NumberOfStudyRelatedSeries"] == number
        assert study["NumberOfStudyRelatedInstances"] == 2 * number
        assert study["ModalitiesInStudy"] == ("SM" if number == 1 else "SM\\SR")


@pytest.mark.req("REQ-QIDO-03", "REQ-QIDO-04")
@pytest.mark.parametrize("level", QueryLevel)
def test_pages_are_stable_and_leave_nothing_out(archive: SqlIndex, level: QueryLevel) -> None:
    everything = search(archive, Query(level))
    for limit in (1, 2, 5, 100):
        offsets = range(0, len(everything), limit)
        pages = [search(archive, Query(level, limit=limit, offset=start)) for start in offsets]
        assert [match for page in pages for match in page] == everything
    assert search(archive, Query(level, offset=1)) == everything[1:]
    assert search(archive, Query(level, limit=0)) == []
    assert search(archive, Query(level, offset=len(everything))) == []
    assert search(archive, Query(level, limit=10**30, offset=10**30)) == []


@pytest.mark.parametrize(
    ("keyword", "rule"),
    [
        ("PixelData", AnyOf(("1",))),
        ("NumberOfStudyRelatedInstances", AnyOf(("1",))),
        ("PatientID", Range("a", "b")),
        ("StudyDate", Range("2020", None)),
        ("StudyDate", AnyOf(("1.1.2020",))),
        ("StudyTime", Range(None, "noon")),
        ("PatientID", AnyOf(("a\0",))),
        ("PatientName", Wildcard("\ud800*")),
    ],
)
def test_a_key_that_cannot_match_is_refused(archive: SqlIndex, keyword: str, rule: Rule) -> None:
    with pytest.raises(InvalidQuery):
        found(archive, STUDY, (keyword, rule))


ALPHABET = "aAbüÜßs*?[]^-%_\\!'"


@pytest.fixture(scope="module", params=KINDS)
def texts(
    request: pytest.FixtureRequest, new_database: Callable[[str], str]
) -> Iterator[tuple[SqlIndex, list[str]]]:
    """Index of a study for each of many texts."""
    index = open_index(new_database(request.param))
    values = [
        *ALPHABET,
        *(a + b for a in ALPHABET for b in "aA*[\\%"),
        "Straße",
        "STRASSE",
        "a_b%c",
    ]
    for number, value in enumerate(values):
        add(index, number, PatientID=value, PatientName=value)
    yield index, values
    index.close()


def wildcard(pattern: str, text: str) -> bool:
    """Match as the standard says (PS3.4 C.2.2.2.4)."""
    signs = {"*": ".*", "?": "."}
    return bool(re.fullmatch("".join(signs.get(c, re.escape(c)) for c in pattern), text, re.S))


def several(text: str) -> list[str]:
    return text.split("\\")


@pytest.mark.req("REQ-QIDO-08")
@settings(max_examples=100, deadline=None)
@given(pattern=st.text(st.sampled_from(ALPHABET + "**??"), min_size=1, max_size=5))
def test_wildcards_are_stars_and_question_marks_and_nothing_else(
    texts: tuple[SqlIndex, list[str]], pattern: str
) -> None:
    index, values = texts
    forms = (("PatientID", str, lambda text: [text]), ("PatientName", name_form, several))
    for keyword, form, split in forms:
        matches = search(index, Query(STUDY, (Key(keyword, Wildcard(pattern)),)))
        everything = not pattern.strip("*")
        expected = [
            value
            for value in values
            if everything
            or any(form(one) and wildcard(form(pattern), form(one)) for one in split(value))
        ]
        assert [match[keyword] for match in matches] == expected


# The schema


def test_the_migrations_make_exactly_the_tables(url: str) -> None:
    engine = connect(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        history = ScriptDirectory.from_config(configuration(connection)).walk_revisions()
        assert [script.revision for script in history] == list(reversed(REVISIONS))
    engine.dispose()


def test_the_attributes_of_several_values_are_known() -> None:
    several = {word for word in LEVEL_OF if dictionary_VM(tag_for_keyword(word) or 0) != "1"}
    always_one = {"AvailableTransferSyntaxUID"}  # the one that is stored
    assert several - always_one == MULTI_VALUED


def test_processes_may_make_the_tables_at_once(url: str, spawn: SpawnContext) -> None:
    barrier = spawn.Barrier(2)
    processes = [spawn.Process(target=samples.open_together, args=(url, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    with closing(open_index(url)) as index:
        add(index, 1)


def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    open_index(url).close()
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(GatewayError, match="9999"):
        open_index(url)


def test_opening_a_current_database_imports_no_migrations_and_no_orm(url: str) -> None:
    open_index(url).close()
    code = (
        "import sys; from gateway.index.work import open_index; open_index(sys.argv[1]).epoch();"
        "print([name for name in sys.modules if name in ('alembic', 'sqlalchemy.orm')])"
    )
    told = subprocess.run([sys.executable, "-c", code, url], capture_output=True, check=True)
    assert told.stdout.strip() == b"[]"


@pytest.mark.parametrize("url", ["mysql://host/name", "nonsense", "sqlite:////no/such/place/x.db"])
def test_a_database_that_cannot_be_opened_is_said(url: str) -> None:
    with pytest.raises((InvalidInput, Unavailable)):
        open_index(url)


# Many at once, and failures


def test_writers_of_several_processes_all_succeed(
    index: SqlIndex, url: str, elsewhere: ProcessPoolExecutor
) -> None:
    tasks = [elsewhere.submit(samples.add_elsewhere, url, first, 20) for first in (100, 200)]
    add(index, *range(20))
    for task in tasks:
        task.result()
    assert len(index.slides()) == 60
    assert len(search(index, Query(INSTANCE))) == 120


def test_an_index_is_usable_on_both_sides_of_a_fork(
    index: SqlIndex, url: str, elsewhere: ProcessPoolExecutor
) -> None:
    status, before, after = elsewhere.submit(samples.fork_and_add, url).result()
    assert status == 0
    assert before != after
    assert len(index.slides()) == 3


def execute(url: str, statement: str) -> None:
    with connection_of(url) as run:
        run(statement)


@contextmanager
def connection_of(url: str) -> Iterator[Callable[[str], object]]:
    """Open a database past the index; what is yielded executes a statement."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.isolation_level = None
            yield connection.execute
    else:
        with psycopg.connect(url, autocommit=True) as server:
            yield lambda statement: server.execute(statement.encode())


def test_a_locked_database_is_unavailable(url: str) -> None:
    waits = "?timeout=0.1" if url.startswith("sqlite") else "&options=-c%20lock_timeout%3D100ms"
    with closing(open_index(url + waits)) as index, connection_of(url) as run:
        run("BEGIN IMMEDIATE" if url.startswith("sqlite") else "BEGIN")
        run("UPDATE epoch SET number = number + 1")
        with pytest.raises(Unavailable):
            add(index, 1)
        assert index.slides() == []
        run("ROLLBACK")
        add(index, 1)
        assert len(index.slides()) == 1


def test_connections_that_the_server_ended_are_replaced(
    new_database: Callable[[str], str],
) -> None:
    url = new_database("postgresql")
    with closing(open_index(url)) as index:
        for ask in (index.epoch, index.slides):
            ask()
            execute(
                url,
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            # One that was used a moment ago is not asked first whether it lives.
            with suppress(Unavailable):
                ask()
            ask()


def test_a_full_disk_is_out_of_resources(url: str) -> None:
    with connection_of(url) as run:
        if url.startswith("sqlite"):
            run("PRAGMA max_page_count = 1")
            statement = "CREATE TABLE t AS SELECT 1"
        else:
            statement = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$"
        with pytest.raises((sqlite3.Error, psycopg.Error)) as caught:
            run(statement)
    assert type(translated(caught.value)) is OutOfResources


def test_a_writer_that_is_killed_leaves_no_half_slide(index: SqlIndex, url: str) -> None:
    add(index, 1)
    command = [sys.executable, "-m", "tests.index.samples", url]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"inside\n"
        assert index.slide("print-2") is None
        writer.send_signal(signal.SIGKILL)
    assert index.instances("1.2.1") == linked(planned(1))
    assert len(search(index, Query(STUDY))) == len(index.slides()) == 1
    add(index, 2)
    assert index.instances("1.2.2") == linked(planned(2))
