"""Metrics in the format of Prometheus: what was answered, how fast, and what there is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.telemetry.sharing import SHARED

METRICS_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Content type of metrics."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)


class Metrics:
    """Counts answers. All labels are few: routes by their templates, methods, classes of status."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        # Those of several processes are read from their files.
        own = None if os.environ.get(SHARED) else self._registry
        self._seconds = Histogram(
            "slidegate_answer_seconds",
            "Time from a request to the end of its answer",
            ["route", "method", "status"],
            buckets=_SECONDS,
            registry=own,
        )
        self._bytes = Counter(
            "slidegate_answer_bytes", "Bytes of bodies of answers", ["route"], registry=own
        )
        self._under_way = Gauge(
            "slidegate_answers_under_way",
            "Answers that come in pieces and have not ended",
            registry=own,
            multiprocess_mode="livesum",
        )
        self._frames = Counter("slidegate_frames", "Frames in answers", registry=own)
        self._received = Counter(
            "slidegate_received", "Objects that came in", ["outcome"], registry=own
        )
        self._answers: dict[tuple[str, str, str], tuple[Histogram, Counter]] = {}

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
        if (known := self._answers.get(labels)) is None:
            seconds_of = self._seconds.labels(route, method, f"{status}xx")
            known = self._answers[labels] = (seconds_of, self._bytes.labels(route))
        known[0].observe(seconds)
        known[1].inc(size)

    def began(self) -> None:
        """Count an answer in pieces as under way."""
        self._under_way.inc()

    def ended(self) -> None:
        """Count it as under way no longer."""
        self._under_way.dec()

    def frames(self, number: int) -> None:
        """Count frames that are given."""
        self._frames.inc(number)

    def received(self, outcome: str, number: int = 1) -> None:
        """Count objects that came in: stored, known, refused."""
        self._received.labels(outcome).inc(number)

    def exposition(self, slides: Mapping[str, int]) -> bytes:
        """Return all metrics in the text format of Prometheus.

        Parameters
        ----------
        slides
            How many there are in which state.
        """
        counted = self._registry
        if folder := os.environ.get(SHARED):
            counted = CollectorRegistry()
            _forget_dead(Path(folder))
            multiprocess.MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        stock = CollectorRegistry()
        stock.register(_Slides(slides))
        return generate_latest(counted) + generate_latest(stock)


class _Slides(Collector):
    """Slides by state, as they are now: nothing that processes add up."""

    def __init__(self, slides: Mapping[str, int]) -> None:
        self._slides = slides

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("slidegate_slides", "Slides by state", labels=["state"])
        for state, number in self._slides.items():
            family.add_metric([state], number)
        yield family


def _forget_dead(folder: Path) -> None:
    """Leave out what processes that are gone had under way."""
    for file in folder.glob("gauge_live*.db"):
        process = file.stem.rpartition("_")[2]
        if not Path("/proc", process).exists():
            multiprocess.mark_process_dead(int(process), str(folder))  # type: ignore[no-untyped-call]
