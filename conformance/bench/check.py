"""Checking a folder of small DICOM objects, as ``slidegate check`` does; it has no peer yet."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.filereader import dcmread

from conformance.bench import peers
from conformance.bench.objects import annotations_of, report_of
from conformance.bench.programs import Usage, measure, warm
from conformance.bench.report import Chapter, at_least, at_most, median, spread
from conformance.bench.slides import make_large_svs
from converters.convert import convert
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN
from gateway.dicom.streams.part10 import encode_header
from gateway.store.files import FileStore

_LARGEST = 100_000
"""Bytes: labels and overviews of drawn slides are larger and left out."""

_TAIL = re.compile(rb"(2\.25\.\d{20,33})\d{6}")
"""A UID of ours; its last digits become the number of the copy."""

_GOAL, _MEMORY_MB = 500.0, 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to check, and how often.

    Parameters
    ----------
    instances
        Number of files.
    rounds
        Runs.
    """

    instances: int = 10_000
    rounds: int = 3


SMALL = Plan(500, 1)


def run(work: Path, plan: Plan) -> list[Chapter]:
    """Measure the check of a folder."""
    folder = work / f"{plan.instances}-instances"
    if not folder.exists():
        aside = work / "instances.part"
        make_instances(aside, plan.instances)
        aside.rename(folder)
    warm(folder)
    command: list[str | Path] = [peers.slidegate(), "check", "--json", folder]
    return [_chapter(plan, [measure(command, work / "check.log") for _ in range(plan.rounds)])]


def make_instances(folder: Path, count: int) -> None:
    """Write copies of a small slide's objects under new UIDs: images, annotations, a report.

    What belongs to one copy refers to itself. The same count gives the same files.
    """
    folder.mkdir(parents=True)
    originals = _originals(folder)
    for number in range(count):
        copy, one = divmod(number, len(originals))
        place = folder / f"{copy % 100:02}"
        place.mkdir(exist_ok=True)
        stream = _TAIL.sub(rb"\g<1>%06d" % copy, originals[one])
        (place / f"{copy}-{one}.dcm").write_bytes(stream)


def _originals(folder: Path) -> list[bytes]:
    """Return the streams of a slide's levels and thumbnail, of annotations and of a report."""
    with TemporaryDirectory(dir=folder) as scratch:
        source, converted = Path(scratch, "slide.svs"), Path(scratch, "dicom")
        make_large_svs(source, file_bytes=40_000, tiles=9, tile=64)
        list(convert(source, FileStore(converted)))
        streams = [path.read_bytes() for path in sorted(converted.glob("*.dcm"))]
    small = [stream for stream in streams if len(stream) < _LARGEST]
    datasets = [dcmread(BytesIO(stream)) for stream in small]
    image = next(one for one in datasets if one.ImageType[2] == "VOLUME")
    others = (annotations_of(image), report_of(image))
    return [*small, *(encode_header(one, EXPLICIT_VR_LITTLE_ENDIAN) for one in others)]


def _chapter(plan: Plan, usages: Sequence[Usage]) -> Chapter:
    rates = [plan.instances / usage.wall_s for usage in usages]
    peak = max(usage.peak_mb for usage in usages)
    verdicts = Counter(json.loads(line)["verdict"] for line in usages[0].output.splitlines())
    chapter = Chapter(
        f"Checking {plan.instances:,} DICOM objects",
        ("program", "wall s", "CPU s", "objects a second", "peak RSS MB"),
        [
            "Whole process, files in the page cache; images, annotations and reports mixed. "
            "Peak RSS is that of the largest process.",
            f"Verdicts: {', '.join(f'{count} {name}' for name, count in verdicts.items())}.",
        ],
    )
    chapter.rows.append(
        (
            f"slidegate check, n = {len(usages)}",
            spread([usage.wall_s for usage in usages], 2),
            spread([usage.cpu_s for usage in usages], 2),
            spread(rates, 0),
            f"{peak:.0f}",
        )
    )
    chapter.goals.append(at_least("objects a second", median(rates), _GOAL, ""))
    chapter.goals.append(at_most("peak RSS of a process", peak, _MEMORY_MB, " MB"))
    return chapter
