"""Whether the number of an instance's frames matters for serving one of them."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from conformance.bench import servers
from conformance.bench.client import Frames, base_level
from conformance.bench.contenders import add, dicomweb
from conformance.bench.load import Load, random_frames
from conformance.bench.programs import slide, warm
from conformance.bench.report import Chapter, at_most, median, spread

_CONNECTIONS = 16
_APART = 1.2
_FRAME_BYTES = 8192
_READS = 20_000
_COLUMNS = (
    "instance",
    "frames/s",
    "p99 ms",
    "1 client: p50 ms",
    "bytes of an answer",
    "open + pread alone us",
)
_NOTE = (
    "slidegate, linked, both instances in one server, in turn; both files sparse and in the page "
    "cache. 'open + pread alone' is what the operating system takes for one random frame of the "
    "file. The goals are the ratio of the medians, the slower to the faster: once with as many "
    "distinct frames asked for, so that only the size of the instance differs, and once with all, "
    "so that the memory that is read differs too (9 MB, which fits processor caches, and 3.5 GB)."
)


@dataclass(slots=True)
class _Measured:
    """An instance, how many of its frames are asked for, and what was measured in each round."""

    source: Path
    level: Frames
    asked: int
    crowd: list[Load] = field(default_factory=list)
    single: list[Load] = field(default_factory=list)
    reads_us: list[float] = field(default_factory=list)


def compare(work: Path, wrk: Path, tiles: Sequence[int], rounds: int, seconds: float) -> Chapter:
    """Measure an instance with few frames and one with many; the frames are of one size.

    Parameters
    ----------
    tiles
        Frames of the instances.
    rounds, seconds
        Runs of each instance, and their length.
    """
    data = work / "sizes"
    shutil.rmtree(data, ignore_errors=True)
    try:
        sources = [_slide(work, count) for count in tiles]
        studies = [add(work, source, data) for source in sources]
        with servers.slidegate(data, work / "serve.log") as server:
            levels = [base_level(server.port, study) for study in studies]
            instances = [
                _Measured(source, level, level.count)
                for source, level in zip(sources, levels, strict=True)
            ]
            # The same number of distinct frames out of the larger one: only its size differs then.
            instances.append(_Measured(sources[-1], levels[-1], levels[0].count))
            for _ in range(rounds):
                for instance in instances:
                    _load(work, wrk, server.port, instance, seconds)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return _chapter(instances)


def _slide(work: Path, tiles: int) -> Path:
    """Return a sparse slide whose frames have the one size; its levels add a sixteenth."""
    return slide(work, tiles * (_FRAME_BYTES + 2048) * 17 // 16, tiles, sparse=True)


def _load(work: Path, wrk: Path, port: int, instance: _Measured, seconds: float) -> None:
    target = replace(dicomweb(instance.level), ranges=[(1, instance.asked)])
    warm(instance.source)
    instance.reads_us.append(_read_us(instance.source))
    random_frames(wrk, port, target, _CONNECTIONS, 1, work)
    instance.crowd.append(random_frames(wrk, port, target, _CONNECTIONS, seconds, work))
    instance.single.append(random_frames(wrk, port, target, 1, seconds, work))


def _read_us(source: Path) -> float:
    """Return the microseconds of opening the file and reading one frame's bytes from it."""
    places = range(0, source.stat().st_size - _FRAME_BYTES, _FRAME_BYTES)
    offsets = random.choices(places, k=_READS)
    started = time.perf_counter()
    for offset in offsets:
        descriptor = os.open(source, os.O_RDONLY)
        os.pread(descriptor, _FRAME_BYTES, offset)
        os.close(descriptor)
    return (time.perf_counter() - started) / _READS * 1e6


def _chapter(instances: Sequence[_Measured]) -> Chapter:
    counts = " and of ".join(f"{one.level.count:,}" for one in instances[:2])
    chapter = Chapter(f"Frames of an instance of {counts} frames", _COLUMNS, [_NOTE])
    for one in instances:
        chapter.rows.append(
            (
                f"{one.level.count:,} frames, {one.asked:,} asked for",
                spread([load.rate for load in one.crowd], 0),
                spread([load.p99_ms for load in one.crowd], 1),
                spread([load.p50_ms for load in one.single], 3),
                spread([load.answer_bytes for load in one.crowd], 0),
                spread(one.reads_us, 1),
            )
        )
    rates = [median([load.rate for load in one.crowd]) for one in instances]
    delays = [median([load.p50_ms for load in one.single]) for one in instances]
    for number, which in ((2, "as many frames asked for"), (1, "all frames asked for")):
        for text, values in (("frames/s", rates), ("one client's median", delays)):
            pair = values[0], values[number]
            apart = max(pair) / min(pair)
            chapter.goals.append(at_most(f"{text}, {which}", apart, _APART, ""))
    return chapter
