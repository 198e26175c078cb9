"""Connections to either database, their schema, and what their errors mean.

Both drivers are kept in autocommit, so that a single SELECT is no transaction; where there is
one, ``BEGIN`` is said here. Connections are pooled by each process; any thread may take one.
"""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.core.errors import (
    Conflict,
    GatewayError,
    InvalidInput,
    OutOfResources,
    Unavailable,
)
from gateway.index.tables import REVISIONS

_DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
_WAITS: Final = {
    "sqlite": {"timeout": "10"},
    "postgresql": {
        "connect_timeout": "10",
        "tcp_user_timeout": "10000",  # milliseconds that a server may be silent to what we send
        "options": "-c lock_timeout=10s",
    },
}
"""How long to wait for a server or a lock; the URL may say otherwise."""

_AUTOCOMMIT: Final[dict[str, dict[str, Any]]] = {
    "sqlite": {"isolation_level": None},
    "postgresql": {"autocommit": True},
}
_PARAMSTYLES: Final = {"sqlite": "named", "postgresql": "pyformat"}

_TRUSTED_S: Final = 0.1
"""Seconds after its last use for which a connection to a server is taken to be alive."""

_LAST_USED: Final = "slidegate.used"

_MIGRATION_LOCK: Final = 0x51D6A7E
"""Key of the PostgreSQL advisory lock under which the schema is changed."""

_SQLITE_MEANINGS: Final = {
    sqlite3.SQLITE_NOMEM: OutOfResources,
    sqlite3.SQLITE_FULL: OutOfResources,
    sqlite3.SQLITE_BUSY: Unavailable,
    sqlite3.SQLITE_LOCKED: Unavailable,
    sqlite3.SQLITE_READONLY: Unavailable,
    sqlite3.SQLITE_IOERR: Unavailable,
    sqlite3.SQLITE_CORRUPT: Unavailable,
    sqlite3.SQLITE_CANTOPEN: Unavailable,
    sqlite3.SQLITE_PROTOCOL: Unavailable,
    sqlite3.SQLITE_NOTADB: Unavailable,
}
_UNIQUE_VIOLATIONS: Final = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    "23505",
}
_SQLSTATE_MEANINGS: Final = {
    "08": Unavailable,  # connection
    "40": Unavailable,  # deadlock
    "53": OutOfResources,  # disk, memory, connections
    "55": Unavailable,  # lock not available
    "57": Unavailable,  # shut down, cancelled
    "58": Unavailable,  # input and output
}
_DETAILS: Final[dict[type[GatewayError], str]] = {
    Conflict: "The index holds a slide or an instance of the same identity already.",
    OutOfResources: "The database has no space or memory left; nothing was stored.",
    Unavailable: (
        "The database is locked, cannot be written or does not answer; see that its folder can "
        "be written, and try again."
    ),
    GatewayError: "The database refused what it was asked.",
}


def translated(error: Exception) -> GatewayError:
    """Return our error for one of SQLAlchemy or a driver; it quotes no values."""
    meaning = _meaning(error)
    return meaning(_DETAILS[meaning])


def _meaning(error: Exception) -> type[GatewayError]:
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, PoolExhausted):
        return Unavailable
    code = getattr(cause, "sqlite_errorcode", None) or getattr(cause, "sqlstate", None)
    if code in _UNIQUE_VIOLATIONS:
        return Conflict
    if isinstance(code, int):
        return _SQLITE_MEANINGS.get(code & 0xFF, GatewayError)
    if code is None:  # psycopg says so of connections that broke or never were
        return Unavailable if type(cause).__name__ == "OperationalError" else GatewayError
    return _SQLSTATE_MEANINGS.get(code[:2], GatewayError)


def is_lost(error: Exception) -> bool:
    """Return whether an error of a driver says that a connection to a server is no more."""
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorcode", None)
    if code is None:
        return type(error).__name__ == "OperationalError"
    return str(code).startswith(("08", "57P"))


def driver_errors(engine: Engine) -> tuple[type[Exception], ...]:
    """Return what may be raised where the driver's own connection is used."""
    return (SQLAlchemyError, engine.dialect.loaded_dbapi.Error)


@contextmanager
def translating() -> Iterator[None]:
    """Turn foreign errors into ours."""
    try:
        yield
    except SQLAlchemyError as error:
        raise translated(error) from error


def connect(url: str | Path) -> Engine:
    """Return an engine whose database has the newest schema.

    Raises
    ------
    InvalidInput
        If the URL is malformed or of another database.
    Unavailable
        If the database does not answer.
    GatewayError
        If the database was written by a newer Slidegate.
    """
    engine = _engine(url)
    try:
        with translating():
            _bring_forward(engine)
    except GatewayError:
        engine.dispose()
        raise
    return engine


def _engine(url: str | Path) -> Engine:
    try:
        parsed = URL.create("sqlite", database=str(url)) if isinstance(url, Path) else make_url(url)
        parsed = parsed.set(drivername=_DRIVERS[parsed.get_backend_name()])
    except (ArgumentError, KeyError):
        raise InvalidInput(
            "The index needs a URL like sqlite:////path/slidegate.db or postgresql://host/name."
        ) from None
    kind = parsed.get_backend_name()
    engine = create_engine(
        parsed.set(query={**_WAITS[kind], **parsed.query}),
        connect_args=_AUTOCOMMIT[kind],
        paramstyle=_PARAMSTYLES[kind],
        hide_parameters=True,  # logs are no place for patients
        pool_size=8,
        max_overflow=8,
        pool_timeout=10,
    )
    event.listen(engine, "begin", _begin)
    if kind == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    else:
        event.listen(engine, "checkout", _see_that_it_answers)
    _engines.add(engine)
    return engine


def writer(engine: Engine) -> Engine:
    """Return the same engine, for transactions that write."""
    return engine.execution_options(writing=True)


def _begin(connection: Connection) -> None:
    # A transaction that reads before it writes could not be made to wait for its turn.
    writes = connection.get_execution_options().get("writing", False)
    immediate = writes and connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _see_that_it_answers(
    connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object
) -> None:
    """Let the pool replace a connection that broke while nobody used it: nobody will notice.

    Asking each time would double what short requests ask of the database.
    """
    now = time.monotonic()
    if now - record.info.get(_LAST_USED, 0) > _TRUSTED_S:
        cursor = connection.cursor()
        try:
            cursor.execute("SELECT 1")
        except Exception as error:  # of a driver that is not imported here
            raise DisconnectionError from error
        cursor.close()
    record.info[_LAST_USED] = now


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    _enter_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _enter_wal(connection: sqlite3.Connection) -> None:
    # The first to open a new database changes its mode; SQLite lets others fail meanwhile
    # instead of wait.
    until = time.monotonic() + 10
    while not _entered_wal(connection, time.monotonic() > until):
        time.sleep(0.01)


def _entered_wal(connection: sqlite3.Connection, last_chance: bool) -> bool:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or last_chance:
            raise
        return False
    return True


def _bring_forward(engine: Engine) -> None:
    with engine.connect() as connection:
        if _is_current(connection):
            return
    with writer(engine).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        if not _is_current(connection):
            from gateway.index.migrations import upgrade  # it takes 0.2 s

            upgrade(connection)


def _is_current(connection: Connection) -> bool:
    if not inspect(connection).has_table("alembic_version"):
        return False
    stored = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if stored is not None and stored not in REVISIONS:
        raise GatewayError(
            f"The database has schema {stored}, this Slidegate knows {REVISIONS[-1]}: "
            "install the version that last used the database, or a newer one."
        )
    return bool(stored == REVISIONS[-1])


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _close_idle_connections() -> None:
    for engine in list(_engines):
        engine.dispose()


# Neither a SQLite connection (its locks stay behind) nor a socket to PostgreSQL may be used,
# or even closed, on both sides of a fork.
os.register_at_fork(before=_close_idle_connections)
