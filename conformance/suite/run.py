"""Runs all checks of all sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.suite import (
    caching,
    frames,
    http,
    instances,
    metadata,
    qido,
    rendered,
    store,
    stored,
    uploads,
)
from conformance.suite.checks import Outcome, outcomes
from conformance.suite.site import Site

SECTIONS = (http, caching, qido, metadata, frames, instances, rendered, store, stored)
"""The modules whose checks are registered."""


def run(site: Site, only: Sequence[str] = ()) -> Iterator[Outcome]:
    """Check a server; with leave to write, the suite's own objects are stored first.

    Parameters
    ----------
    only
        Beginnings of requirements or of names of checks; all if there are none.
    """
    if site.write:
        uploads.seed(site)
    yield from outcomes(site, only)
