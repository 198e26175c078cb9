"""Pictures of a large slide: thumbnail, regions and single frames, beside Orthanc."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance.bench.client import get
from conformance.bench.contenders import ORTHANC_FRAMES, Contender, Running, contenders
from conformance.bench.programs import ProgramFailed, slide, warm
from conformance.bench.report import Chapter, Goal, at_most

_TILE_BYTES = 16_100
_TILE = 240
_SIDE = 512
_P95_MS = 100.0
_NOTES = (
    "One client, one connection a picture, as JPEG; regions and frames at random places of the "
    "base level; the page cache was warm, the server was not: the first picture counts.",
    "Orthanc renders single frames; what it answers for whole levels is not a picture of them.",
)

Paths = Iterator[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to render.

    Parameters
    ----------
    file_bytes
        Size of the slide.
    pictures
        Of each kind.
    orthanc
        Of single frames by Orthanc.
    """

    file_bytes: int = 1_400_000_000
    pictures: int = 200
    orthanc: int = 5


SMALL = Plan(20_000_000, 60, 5)


def run(work: Path, plan: Plan) -> list[Chapter]:
    """Measure Slidegate with a linked slide, and Orthanc with what is converted of it."""
    source = slide(work, plan.file_bytes, plan.file_bytes // _TILE_BYTES)
    chapter = Chapter(
        f"Pictures of an SVS of {source.stat().st_size / 1e6:,.0f} MB",
        ("server", "picture", "p50 ms", "p95 ms", "most ms", "memory MB"),
        list(_NOTES),
    )
    kinds = {"thumbnail": _thumbnails, f"region of {_SIDE} px": _regions, "frame": _frames}
    with contenders(work, source) as all_:
        _measure(chapter, all_.ours[0], kinds, plan.pictures)
        for other in all_.others:
            if other.name == ORTHANC_FRAMES:
                _measure(chapter, other, {"frame": _frames}, plan.orthanc)
    return [chapter]


def _measure(
    chapter: Chapter,
    contender: Contender,
    kinds: Mapping[str, Callable[[Running], Paths]],
    count: int,
) -> None:
    warm(contender.served)
    with contender.start() as running:
        for kind, paths in kinds.items():
            times = sorted(_times(running, paths(running), count))
            p95 = times[-max(1, len(times) // 20)]
            figures = [f"{value:.1f}" for value in (statistics.median(times), p95, times[-1])]
            memory = f"{running.server.memory_mb():.0f}"
            chapter.rows.append((contender.name, kind, *figures, memory))
            if contender.name != ORTHANC_FRAMES:
                chapter.goals.append(_goal(kind, p95))


def _goal(kind: str, p95: float) -> Goal:
    return at_most(f"{kind}: p95", p95, _P95_MS, " ms")


def _times(running: Running, paths: Paths, count: int) -> Iterator[float]:
    """Yield the milliseconds of each picture."""
    for _, path in zip(range(count), paths, strict=False):
        start = time.perf_counter()
        answer = get(running.server.port, path, "image/jpeg")
        if answer.status != 200 or not answer.body.startswith(b"\xff\xd8"):
            raise ProgramFailed(f"{path} answered {answer.status}: {answer.body[:200]!r}")
        yield 1e3 * (time.perf_counter() - start)


def _instance(running: Running) -> str:
    return running.target.prefix.removesuffix("/frames/")


def _thumbnails(running: Running) -> Paths:
    while True:
        yield f"{_instance(running)}/thumbnail"


def _regions(running: Running) -> Paths:
    """Yield regions that are a square power of two larger than what is seen."""
    chance = random.Random(0)
    # Slides are about square.
    across = int(running.target.ranges[0][1] ** 0.5) * _TILE
    while True:
        side = _SIDE * chance.choice((1, 2, 4, 8))
        left, top = (chance.randrange(max(1, across * 3 // 4 - side)) for _ in "xy")
        yield f"{_instance(running)}/rendered?viewport={_SIDE},{_SIDE},{left},{top},{side},{side}"


def _frames(running: Running) -> Paths:
    chance = random.Random(0)
    while True:
        yield f"{running.target.prefix}{chance.randint(*running.target.ranges[0])}/rendered"
