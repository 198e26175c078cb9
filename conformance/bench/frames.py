"""Frames over HTTP: random ones of a whole slide, beside nginx and Orthanc."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.bench import lists, peers, sizes
from conformance.bench.client import VIEWER_ACCEPT
from conformance.bench.contenders import (
    CEILING,
    ORTHANC_FRAMES,
    ORTHANC_TILES,
    Contender,
    Field,
    Running,
    contenders,
)
from conformance.bench.load import Load, random_frames
from conformance.bench.programs import ProgramFailed, slide, warm
from conformance.bench.report import Chapter, at_least, at_most, median, spread

_CONNECTIONS = 16
_SLOW_S, _SLOW_RUN_S = 0.1, 20.0
_TILE_BYTES = 16_100
_RATIO, _P99_MS, _SINGLE_MS, _MEMORY_MB = 0.35, 15.0, 1.0, 200.0
_TIMES = {ORTHANC_TILES: 2.0, ORTHANC_FRAMES: 1000.0}
"""How many times as many frames as Orthanc, by what it is asked."""

_COLUMNS = (
    "server",
    "frames/s",
    "/ nginx",
    "p50 ms",
    "p99 ms",
    "1 client: p50 ms",
    "1 client: p99 ms",
    "peak RSS MB",
    "memory MB",
)
_NOTES = (
    f"wrk -t1 -c1, then wrk -t2 -c{_CONNECTIONS}, keep-alive, random frames of the base level, "
    f"client and server on one machine; Accept: {VIEWER_ACCEPT}.",
    "Each server is started, warmed up, measured and stopped, in turn; median (least-most) of the "
    "rounds; the ratio is that of the same round; peak RSS is summed over a server's processes, "
    "memory likewise after the load, but pages that several share count once.",
    f"A server that takes more than {_SLOW_S * 1e3:.0f} ms for a frame is measured for at least "
    f"{_SLOW_RUN_S:.0f} s.",
    "Every server gave the same bytes of a probed frame before each round; what it serves was in "
    "the page cache.",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve, and for how long.

    Parameters
    ----------
    file_bytes
        Size of the slide.
    rounds
        Runs of each server.
    seconds
        Of each run, with many connections and with one.
    few, many
        Tiles of the two slides whose instances are compared.
    """

    file_bytes: int = 150_000_000
    rounds: int = 3
    seconds: float = 8.0
    few: int = 1_000
    many: int = 400_000


SMALL = Plan(20_000_000, 1, 2.0, 1_000, 20_000)


def run(work: Path, plan: Plan) -> list[Chapter]:
    """Measure all servers that are installed, and how the size of an instance matters."""
    wrk = peers.wrk()
    if wrk.program is None:
        return [Chapter("Frames over HTTP", ("server",), [wrk.skipped])]
    return [
        _compare(work, plan, wrk.program),
        lists.compare(work, slide(work, plan.file_bytes, plan.file_bytes // _TILE_BYTES)),
        sizes.compare(work, wrk.program, (plan.few, plan.many), plan.rounds, plan.seconds),
    ]


def _compare(work: Path, plan: Plan, wrk: Path) -> Chapter:
    source = slide(work, plan.file_bytes, plan.file_bytes // _TILE_BYTES)
    title = f"Frames over HTTP, an SVS of {source.stat().st_size / 1e6:,.0f} MB"
    with contenders(work, source) as all_:
        for number in range(plan.rounds):
            for contender in [*all_.others, *all_.ours]:
                _measure(work, wrk, all_, contender, number, plan.seconds)
    chapter = Chapter(title, _COLUMNS, [*_NOTES, *all_.notes])
    ceiling = [load for one in all_.others if one.name == CEILING for load in one.crowd]
    chapter.rows += [_row(one, ceiling) for one in [*all_.ours, *all_.others]]
    for one in all_.ours:
        _set_goals(chapter, one, ceiling)
        for other in all_.others:
            if other.name in _TIMES:
                times = median(_ratios(one, other.crowd))
                goal = at_least(f"{one.name}: {other.name}, times", times, _TIMES[other.name], "")
                chapter.goals.append(goal)
    return chapter


def _measure(
    work: Path, wrk: Path, all_: Field, contender: Contender, number: int, seconds: float
) -> None:
    """Start a server, check a frame, load it, and stop it."""
    warm(contender.served)
    with contender.start() as running:
        port, target = running.server.port, running.target
        _check(running, contender.name, all_, 1 + 7919 * number % all_.frames)
        slow = _seconds_of_a_frame(running) > _SLOW_S
        if not slow:
            random_frames(wrk, port, target, _CONNECTIONS, 1, work)
        contender.single.append(random_frames(wrk, port, target, 1, seconds, work))
        seconds = max(seconds, _SLOW_RUN_S) if slow else seconds
        contender.crowd.append(random_frames(wrk, port, target, _CONNECTIONS, seconds, work))
        contender.peaks_mb.append(running.server.peak_mb())
        contender.memory_mb.append(running.server.memory_mb())


def _check(running: Running, name: str, all_: Field, frame_number: int) -> None:
    answer = running.target.probe(running.server.port, running.numbers(frame_number))
    expected = (all_.static / str(frame_number)).read_bytes()
    if answer.status != 200 or expected not in answer.body:
        raise ProgramFailed(f"{name}: frame {frame_number} answered {answer.status}, other bytes")


def _seconds_of_a_frame(running: Running) -> float:
    """Return the time of the second frame in a row, without what a server does only once."""
    ends = [
        running.target.probe(running.server.port, running.numbers(frame_number)).end
        for frame_number in (1, 2)
    ]
    return ends[1] - ends[0]


def _row(contender: Contender, ceiling: Sequence[Load]) -> list[str]:
    rates, ratios = [load.rate for load in contender.crowd], _ratios(contender, ceiling)
    return [
        contender.name,
        spread(rates, 0 if median(rates) > 100 else 1),
        spread(ratios, 3 if ratios and median(ratios) > 0.01 else 5),
        spread([load.p50_ms for load in contender.crowd], 2),
        spread([load.p99_ms for load in contender.crowd], 1),
        spread([load.p50_ms for load in contender.single], 2),
        spread([load.p99_ms for load in contender.single], 2),
        spread(contender.peaks_mb, 0),
        spread(contender.memory_mb, 0),
    ]


def _ratios(contender: Contender, ceiling: Sequence[Load]) -> list[float]:
    return [mine.rate / top.rate for mine, top in zip(contender.crowd, ceiling, strict=False)]


def _set_goals(chapter: Chapter, contender: Contender, ceiling: Sequence[Load]) -> None:
    name = contender.name
    if ratios := _ratios(contender, ceiling):
        chapter.goals.append(at_least(f"{name}: of nginx", median(ratios), _RATIO, ""))
    p99 = median([load.p99_ms for load in contender.crowd])
    chapter.goals.append(at_most(f"{name}: p99, {_CONNECTIONS} connections", p99, _P99_MS, " ms"))
    p50 = median([load.p50_ms for load in contender.single])
    chapter.goals.append(at_most(f"{name}: median, one client", p50, _SINGLE_MS, " ms"))
    memory = median(contender.memory_mb)
    chapter.goals.append(at_most(f"{name}: memory", memory, _MEMORY_MB, " MB"))
