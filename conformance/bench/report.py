"""What a benchmark tells: tables of medians, goals, and a dated record of machine and versions."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
_TITLE = "# Results of the benchmarks\n\nWritten by `python -m conformance.bench --record`.\n"


@dataclass(frozen=True, slots=True)
class Goal:
    """Something to be reached, and what was measured.

    Parameters
    ----------
    text
        The goal.
    measured
        What it was, with its unit.
    met
        Whether the goal is reached.
    """

    text: str
    measured: str
    met: bool

    def __str__(self) -> str:
        return f"- {'met' if self.met else 'MISSED'}: {self.text}: {self.measured}"


@dataclass(slots=True)
class Chapter:
    """A table with what has to be said about it.

    Parameters
    ----------
    title
        Of the table.
    columns
        Heads of the columns.
    notes
        How it was measured, and what was left out.
    """

    title: str
    columns: Sequence[str]
    notes: list[str] = field(default_factory=list)
    rows: list[Sequence[str]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def __str__(self) -> str:
        table = _table([self.columns, *self.rows]) if self.columns else []
        lines = [f"### {self.title}", "", *table]
        if self.goals:
            lines += ["", "Goals:", "", *map(str, self.goals)]
        if self.notes:
            lines += [*([""] if table else []), *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"


def at_most(text: str, measured: float, limit: float, unit: str) -> Goal:
    """Return a goal that a measured value must not exceed."""
    return Goal(f"{text} <= {limit:.3g}{unit}", f"{measured:.3g}{unit}", measured <= limit)


def at_least(text: str, measured: float, limit: float, unit: str) -> Goal:
    """Return a goal that a measured value must reach."""
    return Goal(f"{text} >= {limit:.3g}{unit}", f"{measured:.3g}{unit}", measured >= limit)


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def spread(values: Sequence[float], digits: int) -> str:
    """Return ``median (least-most)``, or the value if there is only one."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def record(chapters: Sequence[Chapter], command: str, setting: Sequence[str]) -> None:
    """Append a dated section to RESULTS.md."""
    day = time.strftime("%Y-%m-%d %H:%M")
    old = RESULTS.read_text("utf-8") if RESULTS.exists() else _TITLE
    lines = [f"\n## {day}\n", f"`{command}`\n", *(f"- {line}" for line in setting), ""]
    RESULTS.write_text(old + "\n".join([*lines, *map(str, chapters)]), "utf-8")


def machine(work: Path) -> list[str]:
    """Describe the machine, and the load that was on it before the start."""
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        f"{_cpu()}, {os.cpu_count()} cores, {memory_gb:.0f} GB, load before {load}",
        f"{release}, Linux {platform.release()}, Python {platform.python_version()}, "
        f"scratch files on {_file_system(work)}",
    ]


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """Return the type of the file system that a folder lies on."""
    place = str(folder.resolve())
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    over = [
        (len(point), kind)
        for point, kind in mounts
        if place == point or place.startswith(point.rstrip("/") + "/")
    ]
    return max(over)[1] if over else "an unknown file system"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]
