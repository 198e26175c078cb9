"""Metrics in the format of Prometheus: what was answered, how fast, and what there is.

Counting is on the way of every frame, so it is additions in memory. Each process of the server
writes its numbers to a small file every second, and whoever is asked adds those of all. The
library's own way, a file in memory that each number is written to at once, costs four times as
much.
"""

from __future__ import annotations

import json
import os
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway.telemetry.sharing import SHARED

METRICS_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Content type of metrics."""

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histogram, in seconds; there is no bound to the last bucket."""

_WRITE_EVERY_S = 1.0

Labels = tuple[str, str, str]
"""Template of the route, method, and class of the status."""


@dataclass(slots=True)
class _Answers:
    """Answers of the same labels: how many took how long, seconds and bytes of all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    seconds: float = 0.0
    size: int = 0

    def add(self, counts: list[int], seconds: float, size: int) -> None:
        self.counts = [a + b for a, b in zip(self.counts, counts, strict=True)]
        self.seconds += seconds
        self.size += size


class Metrics:
    """Counts answers. All labels are few: routes by their templates, methods, classes of status."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Labels, _Answers] = {}
        self._numbers: Counter[str] = Counter()
        self._folder = Path(os.environ[SHARED]) if os.environ.get(SHARED) else None
        if self._folder is not None:
            threading.Thread(target=self._write_forever, args=[self._folder], daemon=True).start()

    def answered(self, route: str, method: str, status: str, seconds: float, size: int) -> None:
        """Count an answer.

        Parameters
        ----------
        status
            First digit of its status.
        size
            Bytes of its body.
        """
        labels = (route, method, status)
        bucket = bisect_left(_BOUNDS, seconds)
        with self._lock:
            if (found := self._answers.get(labels)) is None:
                found = self._answers[labels] = _Answers()
            found.counts[bucket] += 1
            found.seconds += seconds
            found.size += size

    def began(self) -> None:
        """Count an answer in pieces as under way."""
        self._add("under way", 1)

    def ended(self) -> None:
        """Count it as under way no longer."""
        self._add("under way", -1)

    def frames(self, number: int) -> None:
        """Count frames that are given."""
        self._add("frames", number)

    def received(self, outcome: str, number: int) -> None:
        """Count objects that came in: taken, refused."""
        self._add(outcome, number)

    def _add(self, name: str, number: int) -> None:
        with self._lock:
            self._numbers[name] += number

    def exposition(self, slides: Mapping[str, int]) -> bytes:
        """Return all metrics in the text format of Prometheus.

        Parameters
        ----------
        slides
            How many there are in which state.
        """
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Total([self._state(), *self._others()], slides))
        return generate_latest(registry)

    def _state(self) -> dict[str, Any]:
        with self._lock:
            answers = [
                [labels, list(one.counts), one.seconds, one.size]
                for labels, one in self._answers.items()
            ]
            return {"answers": answers, "numbers": dict(self._numbers)}

    def _others(self) -> Iterator[dict[str, Any]]:
        """Yield what the other processes, of now and before, have written."""
        for file in self._folder.glob("*.json") if self._folder else ():
            if file.stem != str(os.getpid()):
                with suppress(OSError, ValueError):
                    state = json.loads(file.read_bytes())
                    if not Path("/proc", file.stem).exists():
                        state["numbers"].pop("under way", None)
                    yield state

    def _write_forever(self, folder: Path) -> None:
        file, written = folder / f"{os.getpid()}.json", b""
        while True:
            time.sleep(_WRITE_EVERY_S)
            if (text := json.dumps(self._state()).encode()) != written:
                with suppress(OSError):  # no memory: old numbers are no harm
                    file.with_suffix(".part").write_bytes(text)
                    file.with_suffix(".part").rename(file)
                    written = text


class _Total(Collector):
    """The numbers of all processes, and slides as they are now."""

    def __init__(self, states: list[dict[str, Any]], slides: Mapping[str, int]) -> None:
        self._slides = slides
        self._answers: dict[Labels, _Answers] = {}
        self._numbers: Counter[str] = Counter()
        for state in states:
            self._numbers.update(state["numbers"])
            for labels, counts, seconds, size in state["answers"]:
                self._answers.setdefault(tuple(labels), _Answers()).add(counts, seconds, size)

    def collect(self) -> Iterator[Metric]:
        names = ["route", "method", "status"]
        seconds = HistogramMetricFamily(
            "slidegate_answer_seconds", "Time from a request to the end of its answer", labels=names
        )
        sizes = CounterMetricFamily(
            "slidegate_answer_bytes", "Bytes of bodies of answers", labels=names
        )
        bounds = [*map(str, _BOUNDS), "+Inf"]
        for (route, method, status), one in sorted(self._answers.items()):
            labels = [route, method, f"{status}xx"]
            buckets = zip(bounds, map(float, accumulate(one.counts)), strict=True)
            seconds.add_metric(labels, list(buckets), one.seconds)
            sizes.add_metric(labels, one.size)
        yield seconds
        yield sizes
        numbers = self._numbers
        yield GaugeMetricFamily(
            "slidegate_answers_under_way",
            "Answers that come in pieces and have not ended",
            numbers["under way"],
        )
        yield CounterMetricFamily("slidegate_frames", "Frames in answers", numbers["frames"])
        received = CounterMetricFamily(
            "slidegate_received", "Objects that came in", labels=["outcome"]
        )
        for outcome in ("taken", "refused"):
            received.add_metric([outcome], numbers[outcome])
        yield received
        slides = GaugeMetricFamily("slidegate_slides", "Slides by state", labels=["state"])
        for state, number in self._slides.items():
            slides.add_metric([state], number)
        yield slides
