"""Hamamatsu slides: converting them beside wsidicomizer and ``cp``, adding them, their frames."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.bench import peers
from conformance.bench.add import added
from conformance.bench.convert import COLUMNS, NOTES, Converter, add_rows, run_once
from conformance.bench.programs import ProgramFailed, Usage, ndpi
from conformance.bench.report import Chapter, at_least, at_most, median

_TILE = 512
_FASTER, _COPIES = 3.0, 2.0
_CUT = f"slidegate convert, tiles of {_TILE} x {_TILE}"
_JOINED = "slidegate convert, stripes joined"
_COPY = "cp"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to convert and to add, and how often."""

    cut_bytes: int = 90_000_000
    joined_bytes: Sequence[int] = (90_000_000, 1_400_000_000)
    added_bytes: int = 6_000_000_000
    rounds: int = 5


SMALL = Plan(30_000_000, (30_000_000,), 300_000_000, 2)


def run(work: Path, plan: Plan) -> list[Chapter]:
    """Measure converting in both ways, adding, and the first frame."""
    chapters = [_cut(work, plan)]
    chapters += [_joined(work, size, plan.rounds) for size in plan.joined_bytes]
    sparse = shutil.disk_usage(work).free < 2 * plan.added_bytes
    source = ndpi(work, plan.added_bytes, sparse=sparse)
    title = f"Adding an NDPI of {source.stat().st_size / 1e6:,.0f} MB"
    return chapters + added(work, source, title + (", sparse" if sparse else ""), plan.rounds)


def _cut(work: Path, plan: Plan) -> Chapter:
    source, peer = ndpi(work, plan.cut_bytes), peers.wsidicomizer()
    converters, notes = [_ours(_CUT, "crop")], list(NOTES)
    if (program := peer.program) is None:
        notes.append(peer.skipped)
    else:
        converters.append(
            Converter(
                peer.name,
                lambda slide, folder: (
                    *(program, "-i", slide, "-o", folder / "dicom"),
                    *("--tile-size", str(_TILE)),
                ),
            )
        )
    chapter = Chapter(f"Cutting an NDPI of {_megabytes(source)} to tiles", COLUMNS, notes)
    usages = _measured(work, source, converters, plan.rounds, notes)
    add_rows(chapter, usages)
    if peer.name in usages:
        walls = [median([one.wall_s for one in usages[name]]) for name in (peer.name, _CUT)]
        text = "times faster than wsidicomizer at equal tile size"
        chapter.goals.append(at_least(text, walls[0] / walls[1], _FASTER, ""))
    return chapter


def _joined(work: Path, file_bytes: int, rounds: int) -> Chapter:
    source = ndpi(work, file_bytes)
    copy = Converter(_COPY, lambda slide, folder: ("cp", slide, folder / "copy"))
    notes = list(NOTES)
    usages = _measured(work, source, [_ours(_JOINED, "stripes"), copy], rounds, notes)
    chapter = Chapter(f"Joining the stripes of an NDPI of {_megabytes(source)}", COLUMNS, notes)
    add_rows(chapter, usages)
    ours, copied = (median([one.wall_s for one in usages[name]]) for name in (_JOINED, _COPY))
    chapter.goals.append(at_most(f"wall, {_COPIES} x (cp + fsync)", ours, _COPIES * copied, " s"))
    return chapter


def _ours(name: str, tiling: str) -> Converter:
    program = peers.slidegate()
    return Converter(
        name, lambda slide, folder: (program, "convert", slide, folder, "--tile-by", tiling)
    )


def _measured(
    work: Path, source: Path, converters: Sequence[Converter], rounds: int, notes: list[str]
) -> dict[str, list[Usage]]:
    """Run all programs in turn, ours first; a peer that fails is noted and left out."""
    usages: dict[str, list[Usage]] = {}
    failed: set[str] = set()
    for _ in range(rounds):
        for converter in converters:
            if converter.name in failed:
                continue
            try:
                usage = run_once(work, source, converter)
            except ProgramFailed as error:
                if converter is converters[0]:
                    raise
                failed.add(converter.name)
                notes.append(str(error))
            else:
                usages.setdefault(converter.name, []).append(usage)
    return usages


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:,.0f} MB"
