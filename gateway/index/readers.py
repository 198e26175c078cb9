"""Single rows, fetched the short way: what every request for a frame asks for."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, event

from gateway.index.connect import driver_errors, is_lost, translated

_KEPT = 8


class Readers:
    """Cursors of the driver, each used by one thread at a time.

    One whose connection broke while it was kept is replaced: nobody notices that a server was
    restarted.

    SQLAlchemy's own execution and its pool would cost ten times what the row itself does.

    Parameters
    ----------
    engine
        Its driver is in autocommit: a row is read as it is committed now. When the engine is
        disposed of (an error, a fork), the cursors that nobody uses are closed, too.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._errors = driver_errors(engine)
        self._idle: deque[Any] = deque()
        event.listen(engine, "engine_disposed", self._close_idle)

    def row(self, statement: str, parameters: Mapping[str, str]) -> Sequence[Any] | None:
        """Return the only row of a statement in the driver's own words, or None.

        Raises
        ------
        GatewayError
            Whatever the driver's error means.
        """
        try:
            cursor = self._kept()
            if cursor is not None:
                try:
                    return self._fetched(cursor, statement, parameters)
                except self._errors as error:
                    self._engine.dispose()  # if one connection broke, others did
                    if not is_lost(error):
                        raise
            return self._fetched(self._cursor(), statement, parameters)
        except self._errors as error:
            self._engine.dispose()
            raise translated(error) from error

    def _fetched(
        self, cursor: Any, statement: str, parameters: Mapping[str, str]
    ) -> Sequence[Any] | None:
        cursor.execute(statement, parameters)
        rows: Sequence[Sequence[Any]] = cursor.fetchall()
        if len(self._idle) < _KEPT:
            self._idle.append(cursor)
        else:
            cursor.connection.close()
        return rows[0] if rows else None

    def _kept(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _cursor(self) -> Any:
        pooled = self._engine.raw_connection()
        connection = pooled.dbapi_connection
        pooled.detach()
        assert connection is not None
        return connection.cursor()

    def _close_idle(self, _engine: Engine) -> None:
        while self._idle:
            self._idle.pop().connection.close()
