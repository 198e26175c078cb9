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
    """Single value or list of UID matching: the attribute equals one of the values.

    An empty value among them is empty value matching: the attribute is absent or has no value.
    """

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Multiple value matching: each of the values is among those of the attribute."""

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


@dataclass(frozen=True, slots=True)
class Period:
    """Combined date and time: an attribute of dates and that of its times are one moment.

    Parameters
    ----------
    low, high
        Date and time between which the moment lies, both included; an open end is None.
    """

    low: tuple[str, str] | None
    high: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Similar:
    """Fuzzy matching of a person's name: each word of the text begins one of the name."""

    text: str


Rule = AnyOf | AllOf | Wildcard | Range | Period | Similar


@dataclass(frozen=True, slots=True)
class Key:
    """One matching key.

    Parameters
    ----------
    keyword
        Keyword of an attribute; within sequences those of the sequences before it, with dots.
        Keys within the same sequence must match in the same item.
    rule
        How it matches; a :class:`Period` stands at the attribute of dates.
    """

    keyword: str
    rule: Rule

    @property
    def steps(self) -> tuple[str, ...]:
        """The keywords of the path."""
        return tuple(self.keyword.split("."))


def time_of(date_keyword: str) -> str:
    """Return the keyword of the times that belong to an attribute of dates."""
    return date_keyword.removesuffix("Date") + "Time"


@dataclass(frozen=True, slots=True)
class Query:
    """A search at one level.

    Parameters
    ----------
    level
        What is returned.
    keys
        All must match. Keys may be of this level or of the levels above it; those of a lower
        level ask whether something there matches all such keys together.
    limit
        Largest number of matches; None is all of them.
    offset
        Number of matches to skip, in an order that is total and stable.
    asked
        Keywords of what is computed only if it is asked for.
    """

    level: QueryLevel
    keys: tuple[Key, ...] = field(default=())
    limit: int | None = None
    offset: int = 0
    asked: frozenset[str] = frozenset()
