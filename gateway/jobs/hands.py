"""Processes that add files: none waits for a slow one, and none falls with one that crashes."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from multiprocessing.connection import Connection
from typing import Protocol

from gateway.core.errors import (
    Contradicted,
    FormatUnknown,
    InvalidInput,
    SpacingUnknown,
    Unavailable,
    Unmatched,
)
from gateway.jobs.local import end_with_parent

_NICENESS = 10
"""Below the server: slides that have to be decoded keep a processor busy for minutes."""

_log = logging.getLogger(__name__)

Add = Callable[[str], str]
"""Adds the file of a path and says what it became, without names; raises if it cannot."""


class Fate(Enum):
    """What became of a file."""

    ADDED = auto()
    NO_SLIDE = auto()
    REFUSED = auto()

    NOT_NOW = auto()
    """It cannot be read, or nothing can be stored."""

    NOBODYS = auto()
    """The worklist does not say whose it is, or says what cannot be: it may be corrected."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file, and why: a code, or what it became."""

    fate: Fate
    why: str = ""


class Adder(Protocol):
    """What adds one file at a time."""

    def give(self, path: str) -> None:
        """Begin to add a file; only when there is nothing else to be done."""
        ...

    def outcome(self, patience_s: float) -> Outcome | None:
        """Return what became of it, or None if that is not known so soon."""
        ...


def attempt(add: Add, path: str) -> Outcome:
    """Add a file, whatever happens."""
    try:
        return Outcome(Fate.ADDED, add(path))
    except FormatUnknown:
        _log.debug("%s is left alone: it is no slide", path)
        return Outcome(Fate.NO_SLIDE)
    except (Unmatched, Contradicted, SpacingUnknown, InvalidInput) as error:
        return Outcome(Fate.NOBODYS, error.code)
    except (Unavailable, OSError) as error:
        return Outcome(Fate.NOT_NOW, getattr(error, "code", "unreadable"))
    except Exception as error:  # one file must not keep the others waiting
        _log.debug("%s", path, exc_info=error)
        return Outcome(Fate.REFUSED, getattr(error, "code", type(error).__name__))


class Hand:
    """A process that adds files; another one takes its place if a file brings it down.

    Parameters
    ----------
    add
        What it does, in that process.
    """

    def __init__(self, add: Add) -> None:
        self._add = add
        self._connection: Connection | None = None

    def give(self, path: str) -> None:
        """Begin to add a file."""
        if self._connection is None:
            self._connection = self._started()
        self._connection.send(path)

    def outcome(self, patience_s: float) -> Outcome | None:
        """Return what became of it, or None if that is not known so soon."""
        assert self._connection is not None
        try:
            if not self._connection.poll(patience_s):
                return None
            found: Outcome = self._connection.recv()
        except (EOFError, OSError):
            self._connection.close()
            self._connection = None
            return Outcome(Fate.REFUSED, "it brought down the process that read it")
        return found

    def _started(self) -> Connection:
        context = multiprocessing.get_context("fork")  # all modules are there already
        ours, theirs = context.Pipe()
        arguments = (os.getpid(), theirs, ours, self._add)
        process = context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        return ours


def _work(parent: int, connection: Connection, parents: Connection, add: Add) -> None:
    parents.close()
    end_with_parent(parent)
    os.nice(_NICENESS)
    while True:
        try:
            path = connection.recv()
        except EOFError:
            return
        connection.send(attempt(add, path))
