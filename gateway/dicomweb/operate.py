"""For operators and their monitors: how the server is, and what it has done."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, Response

from gateway.core.errors import Unavailable
from gateway.telemetry.metrics import METRICS_TYPE, Metrics


def blueprint(
    ready: Callable[[], object], slides: Callable[[], Mapping[str, int]], metrics: Metrics
) -> Blueprint:
    """Return the routes.

    Parameters
    ----------
    ready
        Raises if requests cannot be answered now.
    slides
        Tells how many slides there are in which state.
    """
    routes = Blueprint("operate", __name__)

    @routes.get("/health")
    def health() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/ready")
    def is_ready() -> dict[str, str]:
        ready()
        return {"status": "ready"}

    @routes.get("/metrics")
    def counted() -> Response:
        try:
            found = slides()
        except Unavailable:  # the more reason to tell the rest
            found = {}
        return Response(metrics.exposition(found), content_type=METRICS_TYPE)

    return routes
