"""Searches as SQL: matching keys to conditions, matches to columns (PS3.4 C.2.2.2).

First the numbers of all matches of the page are taken, in the order in which they came; then what
is told of them, some hundred at a time. So any number of matches takes little memory, and no
connection waits for a slow client. Counts and modalities are computed when they are told and
never stored, so they cannot be wrong.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    JSON,
    ColumnElement,
    Engine,
    FromClause,
    Select,
    TableValuedAlias,
    and_,
    bindparam,
    cast,
    exists,
    func,
    or_,
    select,
    true,
)

from gateway.core.errors import InvalidQuery
from gateway.core.matching import (
    FIRST_OF_HOUR,
    GROUPS,
    LAST_OF_HOUR,
    PLAIN,
    Among,
    Between,
    Like,
    Requirement,
    Test,
    full_time,
    requirements,
)
from gateway.core.ports import Match
from gateway.core.queries import (
    AllOf,
    AnyOf,
    Key,
    Period,
    Query,
    QueryLevel,
    Rule,
    Wildcard,
    time_of,
)
from gateway.dicom.attributes import INDEXED, LEVEL_OF, SEARCHED_LEVEL
from gateway.dicom.dictionary import vr_of
from gateway.index.connect import translating
from gateway.index.tables import (
    ITEM_DIGITS,
    MULTI_VALUED,
    TABLES,
    TERMS,
    instances,
    match_column,
    series,
    studies,
)

_Condition = ColumnElement[bool]

_PARENTS: Final = {
    QueryLevel.SERIES: series.c.study_id,
    QueryLevel.INSTANCE: instances.c.series_id,
}
_LARGEST: Final = 2**31 - 1  # as many rows as there can be
_AT_ONCE: Final = 500
"""Matches that are told by one statement."""

_IN_STUDY: Final = {"ModalitiesInStudy": "Modality", "SOPClassesInStudy": "SOPClassUID"}
"""Keys of a study that ask for an attribute of what is in it."""


class Searches:
    """Runs searches.

    Parameters
    ----------
    engine
        Of SQLite or PostgreSQL.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._dialect = _DIALECTS[engine.dialect.name]

    def matches(self, query: Query) -> Iterator[Match]:
        """Return the matches of a query; what can be refused is refused before this returns.

        Raises
        ------
        InvalidQuery
            If a key is not kept by the index, or its value is none of its value representation.
        """
        numbers = self._numbers(_page(query, self._dialect))
        first = self._told(query, numbers[:_AT_ONCE])
        return self._all(query, numbers, first)

    def _numbers(self, page: Select[Any]) -> array[int]:
        with translating(), self._engine.connect() as connection:
            return array("q", connection.execute(page).scalars())

    def _all(self, query: Query, numbers: array[int], first: list[Match]) -> Iterator[Match]:
        yield from first
        for start in range(_AT_ONCE, len(numbers), _AT_ONCE):
            yield from self._told(query, numbers[start : start + _AT_ONCE])

    def _told(self, query: Query, numbers: Sequence[int]) -> list[Match]:
        """Return what is told of matches: of themselves, and of what they are in."""
        if not numbers:
            return []
        level = query.level
        with translating(), self._engine.connect() as connection:
            rows: dict[QueryLevel, dict[int, Any]] = {}
            wanted: Iterable[int] = numbers
            for at in sorted(QueryLevel, reverse=True):
                if at > level:
                    continue
                found = connection.execute(_told_of(at, query.asked), {"numbers": list(wanted)})
                rows[at] = {row.id: row._mapping for row in found}
                wanted = {row["parent"] for row in rows[at].values()}
        return [_match(level, rows, number) for number in numbers if number in rows[level]]


def _match(level: QueryLevel, rows: dict[QueryLevel, dict[int, Any]], number: int) -> Match:
    match: dict[str, str | int | None] = {}
    for at in range(level, 0, -1):
        row = rows[QueryLevel(at)][number]
        match |= {name: row[name] for name in row if name not in ("id", "parent", *match)}
        number = row["parent"]
    return match


def _told_of(level: QueryLevel, asked: frozenset[str]) -> Select[Any]:
    table = TABLES[level]
    parent = _PARENTS[level].label("parent") if level in _PARENTS else table.c.id.label("parent")
    columns = [table.c[keyword] for keyword in INDEXED[level]]
    computed = [
        *_COMPUTED[level],
        *([_CLASSES] if level is QueryLevel.STUDY and "SOPClassesInStudy" in asked else []),
    ]
    wanted = select(table.c.id, parent, *columns, *computed)
    return wanted.where(table.c.id.in_(bindparam("numbers", expanding=True)))


# -- which


def _page(query: Query, dialect: _Dialect) -> Select[Any]:
    """Return the numbers of the matches, in the order in which they came."""
    above = [key for key in query.keys if _level(key) <= query.level]
    below = [key for key in query.keys if _level(key) > query.level]
    conditions = _conditions(above, dialect)
    if below:
        conditions.append(_has_below(query.level, below, dialect))
    table = TABLES[query.level]
    highest = min((_level(key) for key in above), default=query.level)
    page = (
        select(table.c.id)
        .select_from(_joined(highest, query.level))
        .where(*conditions)
        .order_by(table.c.id)
        .offset(min(query.offset, _LARGEST))
    )
    return page if query.limit is None else page.limit(min(query.limit, _LARGEST))


def _level(key: Key) -> QueryLevel:
    if key.keyword in _IN_STUDY:
        return QueryLevel.STUDY
    level = SEARCHED_LEVEL.get(key.keyword) or LEVEL_OF.get(key.keyword)
    if level is None:
        raise InvalidQuery(f"{key.keyword} cannot be searched for.")
    return level


def _joined(highest: QueryLevel, lowest: QueryLevel) -> FromClause:
    joined: FromClause = TABLES[highest]
    for level in range(highest + 1, lowest + 1):
        joined = joined.join(TABLES[QueryLevel(level)])
    return joined


def _has_below(level: QueryLevel, keys: Sequence[Key], dialect: _Dialect) -> _Condition:
    child = QueryLevel(level + 1)
    lowest = max(_level(key) for key in keys)
    found = (
        select(_PARENTS[child])
        .select_from(_joined(child, lowest))
        .where(*_conditions(keys, dialect))
    )
    return TABLES[level].c.id.in_(found)


def _conditions(keys: Iterable[Key], dialect: _Dialect) -> list[_Condition]:
    """Return what is true of the joined tables where all keys match."""
    found: list[_Condition] = []
    in_items: dict[tuple[QueryLevel, str], list[Key]] = {}
    for key in keys:
        if key.keyword in _IN_STUDY:
            found.append(_in_study(key, dialect))
        elif _matches_all(key.rule):
            continue
        elif key.keyword not in SEARCHED_LEVEL:
            found.append(_column_condition(TABLES[_level(key)], key, dialect))
        elif len(key.steps) > 1:
            in_items.setdefault((_level(key), key.steps[0]), []).append(key)
        else:
            found.append(_term_condition(_level(key), key, dialect))
    for (level, _), together in in_items.items():
        found.append(_item_condition(level, together, dialect))
    return found


def _matches_all(rule: Rule) -> bool:
    return isinstance(rule, Wildcard) and bool(rule.pattern) and not rule.pattern.strip("* ")


def _in_study(key: Key, dialect: _Dialect) -> _Condition:
    """Ask for an attribute of what is in a study: any, or each, of the values is there."""
    keyword = _IN_STUDY[key.keyword]
    level = LEVEL_OF[keyword]
    parts: list[Rule] = [key.rule]
    if isinstance(key.rule, AllOf):
        parts = [AnyOf((value,)) for value in key.rule.values]
    found = [
        studies.c.id.in_(
            select(series.c.study_id)
            .select_from(_joined(QueryLevel.SERIES, level))
            .where(_column_condition(TABLES[level], Key(keyword, part), dialect))
        )
        for part in parts
    ]
    return and_(true(), *found)


def _column_condition(table: FromClause, key: Key, dialect: _Dialect) -> _Condition:
    keyword, rule = key.keyword, key.rule
    column, text = table.c[match_column(keyword)], table.c[keyword]
    found: _Condition = true()
    for one in requirements(keyword, vr_of(keyword), rule):
        if keyword in MULTI_VALUED:
            values = dialect.values(column)
            passed = _passes(values.c.value, one.test, dialect)
            found &= exists().select_from(values).where(passed)
        else:
            found &= _passes(column, one.test, dialect)
    if isinstance(rule, Period):
        found &= _within_days(table, keyword, rule)
    if isinstance(rule, AnyOf) and "" in rule.values:
        return or_(found, text.is_(None), text == "")
    return found


def _within_days(table: FromClause, keyword: str, period: Period) -> _Condition:
    """Compare the times of the first and of the last day."""
    days, keyword_of_times = table.c[match_column(keyword)], time_of(keyword)
    times = table.c[match_column(keyword_of_times)]
    found: _Condition = true()
    for end, rest in ((period.low, FIRST_OF_HOUR), (period.high, LAST_OF_HOUR)):
        if end is None:
            continue
        day, time = end[0], full_time(end[1], rest)
        if time is None:
            raise InvalidQuery(f"{keyword_of_times} cannot have the value that is searched for.")
        inside = times >= time if end is period.low else times <= time
        found &= or_(days != day, inside)
    return found


def _term_condition(level: QueryLevel, key: Key, dialect: _Dialect) -> _Condition:
    owner, terms = TABLES[level].c.id, TERMS[level]
    found: _Condition = true()
    for one in requirements(key.keyword, vr_of(key.keyword), key.rule):
        passed = _term_passes(terms, key, one, dialect)
        found &= owner.in_(select(terms.c.owner_id).where(passed))
    if isinstance(key.rule, AnyOf) and "" in key.rule.values:
        values = [key.keyword + kind for kind in (*PLAIN, *GROUPS)]
        return or_(found, owner.not_in(select(terms.c.owner_id).where(terms.c.path.in_(values))))
    return found


def _item_condition(level: QueryLevel, keys: Sequence[Key], dialect: _Dialect) -> _Condition:
    """Ask for an item of a sequence in which all keys match (C.2.2.2.6)."""
    if len(keys) == 1:
        return _term_condition(level, keys[0], dialect)
    wanted = [
        (key, one)
        for key in keys
        for one in requirements(key.keyword, vr_of(key.keyword), key.rule)
    ]
    # Joined one by one: PostgreSQL plans a list of many tables with gigabytes of memory.
    of_key: list[tuple[Key, FromClause]] = []
    passed: list[_Condition] = []
    joined: FromClause | None = None
    for key, one in wanted:
        terms = TERMS[level].alias()
        same = [_same_item(terms, key, *other) for other in of_key]
        joined = terms if joined is None else joined.join(terms, and_(*same))
        passed.append(_term_passes(terms, key, one, dialect))
        of_key.append((key, terms))
    assert joined is not None
    found = select(of_key[0][1].c.owner_id).select_from(joined).where(*passed)
    return TABLES[level].c.id.in_(found)


def _same_item(terms: FromClause, key: Key, other: Key, of_other: FromClause) -> _Condition:
    """Whether two terms are of one instance, and in one item of the sequences that both name."""
    shared = 0
    for one, another in zip(key.steps[:-1], other.steps[:-1], strict=False):
        if one != another:
            break
        shared += ITEM_DIGITS
    items = [func.substr(of.c.item, 1, shared) for of in (terms, of_other)]
    return (terms.c.owner_id == of_other.c.owner_id) & (items[0] == items[1])


def _term_passes(terms: FromClause, key: Key, one: Requirement, dialect: _Dialect) -> _Condition:
    paths = [key.keyword + kind for kind in one.kinds]
    return terms.c.path.in_(paths) & _passes(terms.c.form, one.test, dialect)


def _passes(column: ColumnElement[str], test: Test, dialect: _Dialect) -> _Condition:
    match test:
        case Among(forms):
            return column == forms[0] if len(forms) == 1 else column.in_(forms)
        case Between(low, high):
            # What has a value is not below "0"; what is empty is.
            above = column >= (low if low is not None else "0")
            return above & (column <= high) if high is not None else above
        case Like(pattern):
            found = dialect.wildcard(column, pattern)
            if bounds := test.bounds:  # which an index answers
                return _passes(column, bounds, dialect) & found
            return found


def _glob(column: ColumnElement[str], pattern: str) -> _Condition:
    return column.bool_op("GLOB")(pattern.replace("[", "[[]"))


_LIKE: Final = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%", "?": "_"})


def _like(column: ColumnElement[str], pattern: str) -> _Condition:
    return column.like(pattern.translate(_LIKE), escape="\\")


def _sqlite_values(column: ColumnElement[str]) -> TableValuedAlias:
    return func.json_each(column).table_valued("value")


def _postgresql_values(column: ColumnElement[str]) -> TableValuedAlias:
    return func.json_array_elements_text(cast(column, JSON)).table_valued("value")


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What the databases say differently."""

    wildcard: Callable[[ColumnElement[str], str], _Condition]
    values: Callable[[ColumnElement[str]], TableValuedAlias]


_DIALECTS: Final = {
    "sqlite": _Dialect(_glob, _sqlite_values),
    "postgresql": _Dialect(_like, _postgresql_values),
}


# -- what is told
#
# Whatever is counted or listed is counted and listed here: who sees less than others will count
# less by one condition more in these three.


def _members(level: QueryLevel, of: QueryLevel) -> Select[Any]:
    """Return what selects from the series or instances in a study or series."""
    joined = _joined(QueryLevel(of + 1), level)
    return select().select_from(joined).where(_PARENTS[QueryLevel(of + 1)] == TABLES[of].c.id)


def _number(level: QueryLevel, of: QueryLevel, keyword: str) -> ColumnElement[int]:
    members = _members(level, of).add_columns(func.count()).correlate(TABLES[of])
    return members.scalar_subquery().label(keyword)


def _values(column: ColumnElement[str], level: QueryLevel, keyword: str) -> ColumnElement[str]:
    """Return the values of an attribute in a study, joined by a backslash."""
    distinct = (
        _members(level, QueryLevel.STUDY)
        .add_columns(column)
        .distinct()
        .where(column != "")
        .order_by(column)
        .correlate(studies)
        .subquery()
    )
    joined = select(func.aggregate_strings(distinct.c[column.name], "\\"))
    return joined.scalar_subquery().label(keyword)


def _offset_of(of: QueryLevel) -> ColumnElement[str]:
    """Return the offset from UTC of the first instance of a study or series."""
    in_series: ColumnElement[int] = series.c.id
    if of is QueryLevel.STUDY:
        first = _members(QueryLevel.SERIES, of).add_columns(func.min(series.c.id))
        in_series = first.correlate(studies).scalar_subquery()
    offset = select(instances.c.TimezoneOffsetFromUTC).where(instances.c.series_id == in_series)
    offset = offset.order_by(instances.c.id).limit(1).correlate(TABLES[of])
    return offset.scalar_subquery().label("TimezoneOffsetFromUTC")


_COMPUTED: Final[dict[QueryLevel, list[ColumnElement[Any]]]] = {
    QueryLevel.STUDY: [
        _values(series.c.Modality, QueryLevel.SERIES, "ModalitiesInStudy"),
        _number(QueryLevel.SERIES, QueryLevel.STUDY, "NumberOfStudyRelatedSeries"),
        _number(QueryLevel.INSTANCE, QueryLevel.STUDY, "NumberOfStudyRelatedInstances"),
        _offset_of(QueryLevel.STUDY),
    ],
    QueryLevel.SERIES: [
        _number(QueryLevel.INSTANCE, QueryLevel.SERIES, "NumberOfSeriesRelatedInstances"),
        _offset_of(QueryLevel.SERIES),
    ],
    QueryLevel.INSTANCE: [],
}
_CLASSES: Final = _values(instances.c.SOPClassUID, QueryLevel.INSTANCE, "SOPClassesInStudy")
