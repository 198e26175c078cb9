"""Adding a slide of gigabytes, and the first frame from a running server after it."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance.bench import peers, servers
from conformance.bench.client import VIEWER_ACCEPT, Frames, base_level, get
from conformance.bench.programs import ProgramFailed, Usage, measure, slide, warm
from conformance.bench.report import Chapter, Goal, at_most, median, spread

_WORK_MS, _FRAME_MS, _MEMORY_MB = 300.0, 200.0, 300.0
_PATIENCE_S = 10.0
_VERSION = "slidegate --version"
_IMPORTS = "Python and the imports of add"
_NEW = "add, new data folder, no server"
_SERVED = "add beside a running server"
_NOTED = """\
import atexit, pathlib, sys
names = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: names.write_text("\\n".join(sys.modules)))
from gateway.cli import main
main()
"""
_IMPORTED = """\
import contextlib, gc, importlib, os, pathlib, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the command does
gc.disable()
for name in pathlib.Path(sys.argv[1]).read_text().splitlines():
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
gc.freeze()
"""
_NOTES = (
    "Fresh data folder each time; the slide in the page cache; median (least-most).",
    f"'{_IMPORTS}' is a process that imports every module that add has imported when it ends, "
    "and does nothing: what add takes beyond it is its work.",
    "'frame' begins when the process of add has returned, through fresh connections, the first "
    "frame request that the server sees: once with the UIDs known before, once asked for by QIDO.",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to add, and how often."""

    file_bytes: int = 3_000_000_000
    tiles: int = 40_000
    rounds: int = 5


SMALL = Plan(100_000_000, 6_000, 2)


@dataclass(slots=True)
class _Times:
    """Milliseconds from the return of add, one value of each kind a round."""

    frame_first: list[float]
    frame_end: list[float]
    query: list[float]
    queried_first: list[float]
    queried_end: list[float]
    server_mb: list[float]


def run(work: Path, plan: Plan) -> list[Chapter]:
    """Measure ``add`` and the first frame."""
    sparse = shutil.disk_usage(work).free < 2 * plan.file_bytes
    source = slide(work, plan.file_bytes, plan.tiles, sparse=sparse)
    title = f"Adding an SVS of {source.stat().st_size / 1e6:,.0f} MB, {plan.tiles:,} tiles"
    return added(work, source, title + (", sparse" if sparse else ""), plan.rounds)


def added(work: Path, source: Path, title: str, rounds: int) -> list[Chapter]:
    """Measure ``add`` and the first frame of one slide."""
    names, known = _noted(work, source)
    usages: dict[str, list[Usage]] = defaultdict(list)
    times = _Times([], [], [], [], [], [])
    for _ in range(rounds):
        _round(work, source, names, known, usages, times)
    return [_processes(title, usages), _first_frame(times)]


def _noted(work: Path, source: Path) -> tuple[dict[str, Path], Frames]:
    """Add once without a server and once with one.

    Returns
    -------
    names, known
        Files with the names of the modules that were imported, and the base level.
    """
    script = work / "noted.py"
    script.write_text(_NOTED)
    names = {_NEW: work / "modules-new", _SERVED: work / "modules-served"}
    with _data(work) as data:
        measure(_add(source, data, sys.executable, script, names[_NEW]), work / "add.log")
    with _data(work) as data, servers.slidegate(data, work / "serve.log") as server:
        command = _add(source, data, sys.executable, script, names[_SERVED])
        study = _study(measure(command, work / "add.log"))
        return names, base_level(server.port, study)


def _round(
    work: Path,
    source: Path,
    names: dict[str, Path],
    known: Frames,
    usages: dict[str, list[Usage]],
    times: _Times,
) -> None:
    log, ours = work / "add.log", peers.slidegate()
    warm(source)
    imported = work / "imported.py"
    imported.write_text(_IMPORTED)
    usages[_VERSION].append(measure((ours, "--version"), log))
    for name, file in names.items():
        command = (sys.executable, str(imported), str(file))
        usages[f"{_IMPORTS}: {name}"].append(measure(command, log))
    with _data(work) as data:
        usages[_NEW].append(measure(_add(source, data, ours), log))
    for query in (False, True):
        with _data(work) as data, servers.slidegate(data, work / "serve.log") as server:
            usage = measure(_add(source, data, ours), log)
            usages[_SERVED].append(usage)
            _time_frame(server, usage, known, times, query=query)


def _time_frame(
    server: servers.Server, usage: Usage, known: Frames, times: _Times, *, query: bool
) -> None:
    """Get the frame in the middle of the slide as soon as it is there."""
    if query:
        known = base_level(server.port, _study(usage))
        times.query.append(1e3 * (time.perf_counter() - usage.ended))
    path = known.frame(known.count // 2)
    answer = get(server.port, path, VIEWER_ACCEPT)
    while answer.status != 200 and time.perf_counter() < usage.ended + _PATIENCE_S:
        answer = get(server.port, path, VIEWER_ACCEPT)
    if answer.status != 200:
        raise ProgramFailed(f"the first frame answered {answer.status}: {answer.body[:200]!r}")
    first, end = (1e3 * (moment - usage.ended) for moment in (answer.first_byte, answer.end))
    (times.queried_first if query else times.frame_first).append(first)
    (times.queried_end if query else times.frame_end).append(end)
    times.server_mb.append(server.peak_mb())


def _processes(title: str, usages: dict[str, list[Usage]]) -> Chapter:
    columns = ("process", "wall ms", "CPU ms", "peak RSS MB", "beyond the imports ms")
    chapter = Chapter(title, columns, list(_NOTES))
    for name, runs in usages.items():
        beyond = _beyond(name, usages)
        chapter.rows.append(
            (
                f"{name}, n = {len(runs)}",
                spread([1e3 * one.wall_s for one in runs], 0),
                spread([1e3 * one.cpu_s for one in runs], 0),
                spread([one.peak_mb for one in runs], 0),
                "-" if beyond is None else f"{beyond:.0f}",
            )
        )
        if beyond is not None:
            chapter.goals.append(at_most(f"{name}: work", beyond, _WORK_MS, " ms"))
    peak = max(one.peak_mb for one in usages[_NEW] + usages[_SERVED])
    chapter.goals.append(at_most("peak RSS of add", peak, _MEMORY_MB, " MB"))
    return chapter


def _beyond(name: str, usages: dict[str, list[Usage]]) -> float | None:
    """Return the milliseconds that add takes beyond its imports."""
    idle = usages.get(f"{_IMPORTS}: {name}")
    if idle is None:
        return None
    medians = [median([one.wall_s for one in runs]) for runs in (usages[name], idle)]
    return 1e3 * (medians[0] - medians[1])


def _first_frame(times: _Times) -> Chapter:
    chapter = Chapter(
        "The first frame after the return of add",
        ("request", "first byte ms", "last byte ms"),
        ["The server's memory is the sum of the peaks of all its processes."],
    )
    rows: Sequence[tuple[str, list[float], list[float]]] = (
        ("frame", times.frame_first, times.frame_end),
        ("QIDO alone", times.query, times.query),
        ("QIDO, then frame", times.queried_first, times.queried_end),
    )
    chapter.rows += [(name, spread(first, 1), spread(end, 1)) for name, first, end in rows]
    for name, values in (("frame", times.frame_end), ("QIDO, then frame", times.queried_end)):
        chapter.goals.append(at_most(f"{name}, the slowest", max(values), _FRAME_MS, " ms"))
    chapter.goals.append(_memory(times.server_mb))
    return chapter


def _memory(peaks: Sequence[float]) -> Goal:
    return at_most("peak RSS of the server", max(peaks), _MEMORY_MB, " MB")


@contextmanager
def _data(work: Path) -> Iterator[Path]:
    """Give a data folder that goes with its use."""
    data = work / "data"
    try:
        yield data
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _add(source: Path, data: Path, *program: str | Path) -> list[str]:
    return [*map(str, program), "add", str(source), "--data", str(data), "--json"]


def _study(usage: Usage) -> str:
    study: str = json.loads(usage.output)["study"]
    return study
