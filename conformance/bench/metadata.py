"""Metadata of a slide of ten levels and of an image with 400,000 frames, beside Orthanc's."""

from __future__ import annotations

import http.client
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread

from conformance.bench import peers, servers
from conformance.bench.client import post_file
from conformance.bench.programs import ProgramFailed, measure, slide
from conformance.bench.report import Chapter, at_most, median, spread
from conformance.bench.sparse import write_sparse
from gateway.core.instances import derive_uid

_LEVELS = 10
_SPARSE = "sparse.dcm"
_GOAL_LEVELS_MS, _GOAL_FIRST_S = 20.0, 1.0
_GOAL_GROWTH_MB = 60.0
"""What may be added to the memory of the server while the large answer is sent: buffers."""

_LIMIT_S = 900.0
_WARM_UP = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for, and how often.

    Parameters
    ----------
    frames
        Of the sparse image.
    requests, their_requests
        For the ten levels: of slidegate, and of Orthanc.
    rounds
        Requests for the sparse image.
    """

    frames: int = 400_000
    requests: int = 500
    their_requests: int = 20
    rounds: int = 5


SMALL = Plan(20_000, 100, 3, 2)


@dataclass(slots=True)
class _Contender:
    name: str
    encoding: str
    start: Callable[[], AbstractContextManager[servers.Server]]
    requests: int
    rounds: int
    add_sparse: Callable[[servers.Server], bool] = lambda server: True
    """Stores the sparse image, if it is not there; returns whether that can be done."""

    levels_ms: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    body_bytes: int = 0
    growth_mb: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Objects:
    levels: str
    """Path of the series with ten levels, below the root."""

    sparse: str
    files: list[Path]


def run(work: Path, plan: Plan) -> list[Chapter]:
    """Measure both, of all servers in turn."""
    objects = _objects(work, plan)
    notes: list[str] = []
    contenders = list(_contenders(work, plan, objects, notes))
    for one in contenders:
        with one.start() as server:
            for _ in range(_WARM_UP if one.requests > _WARM_UP else 1):
                _asked(server.port, objects.levels, one.encoding)
            for _ in range(one.requests):
                _, whole_s, _ = _asked(server.port, objects.levels, one.encoding)
                one.levels_ms.append(1000 * whole_s)
            for _ in range(one.rounds if one.add_sparse(server) else 0):
                before = server.peak_mb()
                first_s, whole_s, one.body_bytes = _asked(server.port, objects.sparse, one.encoding)
                one.first_s.append(first_s)
                one.whole_s.append(whole_s)
                one.growth_mb.append(server.peak_mb() - before)
    return [_chapter(plan, contenders, notes)]


def _objects(work: Path, plan: Plan) -> _Objects:
    source = slide(work, 20_000_000, 1_000)
    converted, folder = work / "converted", work / "metadata"
    for old in (converted, folder):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir()
    measure((peers.slidegate(), "convert", source, converted), work / "convert.log")
    level = max(converted.iterdir(), key=lambda path: path.stat().st_size)
    dataset = dcmread(level)
    dataset.SeriesInstanceUID = series = derive_uid("bench", "levels")
    for number in range(_LEVELS):
        dataset.SOPInstanceUID = derive_uid("bench", "level", number)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.InstanceNumber = number + 1
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    sparse = folder / _SPARSE
    write_sparse(sparse, level, plan.frames)
    study = f"/studies/{dataset.StudyInstanceUID}/series"
    large = dcmread(sparse, specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID
    return _Objects(f"{study}/{series}", f"{study}/{large}", sorted(folder.iterdir()))


def _added(work: Path, objects: _Objects, notes: list[str]) -> Path:
    """Return a data folder with all objects."""
    data = work / "metadata-data"
    shutil.rmtree(data, ignore_errors=True)
    for file in objects.files:
        command = (peers.slidegate(), "add", file, "--data", data)
        usage = measure(command, work / "add.log", limit_s=_LIMIT_S)
        if file.name == _SPARSE:
            notes.append(
                f"`slidegate add` of the sparse image, {file.stat().st_size / 1e6:.0f} MB: "
                f"{usage.wall_s:.1f} s, at most {usage.peak_mb:.0f} MB of memory."
            )
    return data


def _contenders(
    work: Path, plan: Plan, objects: _Objects, notes: list[str]
) -> Iterator[_Contender]:
    data = _added(work, objects, notes)

    def ours() -> AbstractContextManager[servers.Server]:
        return servers.slidegate(data, work / "serve.log")

    for encoding in ("gzip", "identity"):
        yield _Contender(f"slidegate, {encoding}", encoding, ours, plan.requests, plan.rounds)
    peer = peers.orthanc()
    if (program := peer.program) is None:
        notes.append(peer.skipped)
        return

    @contextmanager
    def theirs() -> Iterator[servers.Server]:
        shutil.rmtree(work / "orthanc", ignore_errors=True)
        with servers.orthanc(program, work / "orthanc") as server:
            for file in objects.files:
                if file.name != _SPARSE:
                    post_file(server.port, "/instances", file)
            yield server
        shutil.rmtree(work / "orthanc")

    def add_sparse(server: servers.Server) -> bool:
        try:
            post_file(server.port, "/instances", work / "metadata" / _SPARSE)
        except TimeoutError:
            notes.append(f"Orthanc did not take an image with {plan.frames:,} frames in 2 minutes.")
            return False
        return True

    yield _Contender("Orthanc", "gzip", theirs, plan.their_requests, 1, add_sparse)


def _asked(port: int, series: str, encoding: str) -> tuple[float, float, int]:
    """Return seconds to the first byte and to the last, and the bytes of the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT_S)
    headers = {"Accept": "application/dicom+json", "Accept-Encoding": encoding}
    begun = time.perf_counter()
    try:
        connection.request("GET", f"/dicom-web{series}/metadata", headers=headers)
        answer = connection.getresponse()
        size = len(answer.read(1))
        first_s = time.perf_counter() - begun
        while piece := answer.read(1 << 20):
            size += len(piece)
        if answer.status != 200:
            raise ProgramFailed(f"metadata were answered with {answer.status}")
        return first_s, time.perf_counter() - begun, size
    finally:
        connection.close()


def _chapter(plan: Plan, contenders: list[_Contender], notes: list[str]) -> Chapter:
    chapter = Chapter(
        f"Metadata of {_LEVELS} levels, and of {plan.frames:,} frames with a place each",
        (
            "server",
            "levels: median ms",
            "p95 ms",
            "frames: first byte s",
            "last byte s",
            "body MB",
            "memory grows MB",
        ),
        [
            f"Series metadata, {plan.requests} requests for the levels, one after the other, each "
            f"through a fresh connection; {plan.their_requests} of Orthanc. For the frames "
            f"{plan.rounds} requests, 1 of Orthanc. Memory is by how much the sum of the "
            "peaks of the server's processes grew with an answer: the most of all rounds.",
            *notes,
        ],
    )
    for one in contenders:
        chapter.rows.append(
            (
                one.name,
                spread(one.levels_ms, 1),
                f"{_p95(one.levels_ms):.1f}",
                spread(one.first_s, 3),
                spread(one.whole_s, 2),
                f"{one.body_bytes / 1e6:.1f}" if one.first_s else "-",
                f"{max(one.growth_mb):.0f}" if one.first_s else "-",
            )
        )
    own = [one for one in contenders if one.name.startswith("slidegate")]
    worst_first = max(median(one.first_s) for one in own)
    slowest = max(_p95(one.levels_ms) for one in own)
    growth = max(max(one.growth_mb) for one in own)
    chapter.goals += [
        at_most("p95 of the levels", slowest, _GOAL_LEVELS_MS, " ms"),
        at_most("first byte of the frames", worst_first, _GOAL_FIRST_S, " s"),
        at_most("growth of the server's memory", growth, _GOAL_GROWTH_MB, " MB"),
    ]
    return chapter


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]
