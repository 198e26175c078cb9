"""Converting a slide to DICOM files, beside wsidicomizer, OrthancWSIDicomizer and ``cp``."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.bench import peers
from conformance.bench.programs import ProgramFailed, Usage, measure, slide, warm
from conformance.bench.report import Chapter, at_least, at_most, median, spread

COLUMNS = ("program", "wall s", "CPU s", "peak RSS MB", "wall / slidegate")
_TILE_BYTES = 16_100
_OURS = "slidegate convert"
_COPY = "cp"
_WSIDICOMIZER = "wsidicomizer"
_ORTHANC = "OrthancWSIDicomizer"
_FASTER_SMALL, _FASTER_LARGE, _LARGE = 3.0, 2.0, 1_000_000_000
_COPIES, _START_S, _MEMORY_MB = 1.5, 0.4, 200.0
NOTES = (
    "Wall time of the whole process and then an fsync of every file it wrote and of the folder, "
    "on all sides; slidegate also does that by itself. CPU: user + system, with that fsync.",
    "Source in the page cache; a fresh folder each time; the programs take turns; median "
    "(least-most). OrthancWSIDicomizer writes no label and no overview.",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to convert, and how often.

    Parameters
    ----------
    file_bytes
        Sizes of the slides.
    rounds
        Runs of each program and slide.
    slow_rounds
        Runs of OrthancWSIDicomizer on a slide above 1 GB.
    """

    file_bytes: Sequence[int] = (150_000_000, 1_400_000_000)
    rounds: int = 5
    slow_rounds: int = 3


SMALL = Plan((20_000_000, 60_000_000), 2, 1)


@dataclass(frozen=True, slots=True)
class Converter:
    """A program that turns a slide into files in a folder."""

    name: str
    command: Callable[[Path, Path], Sequence[str | Path]]


def run(work: Path, plan: Plan) -> list[Chapter]:
    """Measure all converters that are installed, one chapter for each slide."""
    converters, skipped = _converters()
    return [_chapter(work, plan, size, converters, skipped) for size in plan.file_bytes]


def _converters() -> tuple[list[Converter], list[str]]:
    """Return the programs, and lines about those that are not installed."""
    ours = peers.slidegate()
    found = [Converter(_OURS, lambda source, folder: (ours, "convert", source, folder))]
    skipped = []
    for peer, command in (
        (peers.wsidicomizer(), _wsidicomizer),
        (peers.orthanc_wsi_dicomizer(), _orthanc),
    ):
        if peer.program is None:
            skipped.append(peer.skipped)
        else:
            found.append(Converter(peer.name, command(peer.program)))
    copy = Converter(_COPY, lambda source, folder: ("cp", source, folder / "copy"))
    return [*found, copy], skipped


def _wsidicomizer(program: Path) -> Callable[[Path, Path], Sequence[str | Path]]:
    """Return its command; it wants to make the folder itself."""
    return lambda source, folder: (program, "-i", source, "-o", folder / "dicom")


def _orthanc(program: Path) -> Callable[[Path, Path], Sequence[str | Path]]:
    return lambda source, folder: (program, "--folder", folder, source)


def _chapter(
    work: Path, plan: Plan, size: int, converters: Sequence[Converter], skipped: Sequence[str]
) -> Chapter:
    source = slide(work, size, size // _TILE_BYTES)
    measured = source.stat().st_size / 1e6
    chapter = Chapter(
        f"Converting an SVS of {measured:,.0f} MB",
        COLUMNS,
        [*NOTES, *skipped],
    )
    usages = _measured(work, plan, source, size, converters, chapter.notes)
    add_rows(chapter, usages)
    _set_goals(chapter, usages, size)
    return chapter


def add_rows(chapter: Chapter, usages: dict[str, list[Usage]]) -> None:
    """Tell what each program took, beside ours, the first."""
    own = median([usage.wall_s for usage in next(iter(usages.values()))])
    for name, runs in usages.items():
        walls = [usage.wall_s for usage in runs]
        chapter.rows.append(
            (
                f"{name} + fsync, n = {len(runs)}",
                spread(walls, 2),
                spread([usage.cpu_s for usage in runs], 2),
                "-" if name == _COPY else spread([usage.peak_mb for usage in runs], 0),
                f"{median(walls) / own:.2f}",
            )
        )


def _measured(
    work: Path,
    plan: Plan,
    source: Path,
    size: int,
    converters: Sequence[Converter],
    notes: list[str],
) -> dict[str, list[Usage]]:
    """Run all programs in turn; one that fails is noted and left out from then on."""
    usages: dict[str, list[Usage]] = defaultdict(list)
    failed: set[str] = set()
    for number in range(plan.rounds):
        for converter in converters:
            slow = converter.name == _ORTHANC and size > _LARGE
            if converter.name in failed or (slow and number >= plan.slow_rounds):
                continue
            try:
                usages[converter.name].append(run_once(work, source, converter))
            except ProgramFailed as error:
                if converter.name == _OURS:
                    raise
                failed.add(converter.name)
                notes.append(str(error))
    return {name: runs for name, runs in usages.items() if runs}


def run_once(work: Path, source: Path, converter: Converter) -> Usage:
    """Run a program on a slide, into a folder that goes afterwards."""
    folder = work / "converted"
    folder.mkdir()
    warm(source)
    try:
        return measure(
            converter.command(source, folder), work / "convert.log", output_folder=folder
        )
    finally:
        shutil.rmtree(folder)


def _set_goals(chapter: Chapter, usages: dict[str, list[Usage]], size: int) -> None:
    walls = {name: median([one.wall_s for one in runs]) for name, runs in usages.items()}
    if _WSIDICOMIZER in walls:
        factor = _FASTER_LARGE if size > _LARGE else _FASTER_SMALL
        ratio = walls[_WSIDICOMIZER] / walls[_OURS]
        chapter.goals.append(at_least("times faster than wsidicomizer", ratio, factor, ""))
    limit = _COPIES * walls[_COPY] + _START_S
    text = f"wall, {_COPIES} x (cp + fsync) + {_START_S} s"
    chapter.goals.append(at_most(text, walls[_OURS], limit, " s"))
    peak = max(usage.peak_mb for usage in usages[_OURS])
    chapter.goals.append(at_most("peak RSS", peak, _MEMORY_MB, " MB"))
