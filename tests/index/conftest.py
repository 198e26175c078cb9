"""Real databases of both kinds, empty for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gateway.index.work import SqlIndex, open_index

KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """URL of an empty database."""
    return new_database(request.param)


@pytest.fixture
def index(url: str) -> Iterator[SqlIndex]:
    """Return the index of an empty database."""
    index = open_index(url)
    yield index
    index.close()
