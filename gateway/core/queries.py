"""What is searched for: keys and how they match (PS3.4 C.2.2.2), for QIDO-RS and C-FIND."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class QueryLevel(IntEnum):
    """Level of the information model whose entities are returned."""

    STUDY = 1
    SERIES = 2
    INSTANCE = 3


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Single value or list of UID matching: the attribute equals one of the values."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wildcard:
    """The attribute matches a pattern: ``*`` any characters, ``?`` one character."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Range:
    """The attribute lies between two values, both included; an open end is None."""

    low: str | None
    high: str | None


Rule = AnyOf | Wildcard | Range


@dataclass(frozen=True, slots=True)
class Key:
    """One matching key: the keyword of an attribute, and its rule."""

    keyword: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class Query:
    """A search at one level.

    Parameters
    ----------
    level
        What is returned.
    keys
        All must match. Keys may be of this level or of the levels above it.
    limit
        Largest number of matches; None is all of them.
    offset
        Number of matches to skip, in an order that is total and stable.
    """

    level: QueryLevel
    keys: tuple[Key, ...] = field(default=())
    limit: int | None = None
    offset: int = 0
