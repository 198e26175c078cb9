"""Searches as SQL: matching keys to conditions, matches to columns (PS3.4 C.2.2.2).

The page is cut first; counts and modalities are then computed for its rows alone, and never
stored, so they cannot be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    JSON,
    ColumnElement,
    FromClause,
    Select,
    Subquery,
    TableValuedAlias,
    cast,
    exists,
    func,
    or_,
    select,
    true,
)

from gateway.core.errors import InvalidQuery
from gateway.core.queries import AnyOf, Key, Query, QueryLevel, Range, Rule, Wildcard
from gateway.dicom.attributes import INDEXED, LEVEL_OF, vr_of
from gateway.index.tables import (
    LAST_OF_HOUR,
    MULTI_VALUED,
    UNSTORABLE,
    Form,
    folded,
    full_time,
    instances,
    match_column,
    series,
    studies,
)

_Condition = ColumnElement[bool]

_TABLES: Final = {
    QueryLevel.STUDY: studies,
    QueryLevel.SERIES: series,
    QueryLevel.INSTANCE: instances,
}
_PARENTS: Final = {
    QueryLevel.SERIES: series.c.study_id,
    QueryLevel.INSTANCE: instances.c.series_id,
}
_LARGEST: Final = 2**31 - 1  # as many rows as there can be


def search_statement(query: Query, dialect: str) -> Select[Any]:
    """Return the statement of a search; its columns are the keywords of a match.

    Parameters
    ----------
    query
        What is searched for. A key of a lower level asks that something there matches all
        keys of lower levels together.
    dialect
        ``sqlite`` or ``postgresql``.

    Raises
    ------
    InvalidQuery
        If a key is not indexed, or its value is none of its value representation.
    """
    page = _page(query, _DIALECTS[dialect]).subquery("page")
    attributes = [page.c[keyword] for keyword in _keywords(query.level)]
    return select(*attributes, *_computed(query.level, page)).order_by(page.c.id)


def _keywords(level: QueryLevel) -> list[str]:
    return [keyword for above in QueryLevel if above <= level for keyword in INDEXED[above]]


def _page(query: Query, dialect: _Dialect) -> Select[Any]:
    table = _TABLES[query.level]
    columns = [_TABLES[LEVEL_OF[keyword]].c[keyword] for keyword in _keywords(query.level)]
    page = (
        select(table.c.id, *columns)
        .select_from(_joined(QueryLevel.STUDY, query.level))
        .where(*_conditions(query, dialect))
        .order_by(table.c.id)
        .offset(min(query.offset, _LARGEST))
    )
    return page if query.limit is None else page.limit(min(query.limit, _LARGEST))


def _joined(highest: QueryLevel, lowest: QueryLevel) -> FromClause:
    joined: FromClause = _TABLES[highest]
    for level in range(highest + 1, lowest + 1):
        joined = joined.join(_TABLES[QueryLevel(level)])
    return joined


def _conditions(query: Query, dialect: _Dialect) -> list[_Condition]:
    conditions = []
    below: list[Key] = []
    for key in query.keys:
        if key.keyword == "ModalitiesInStudy":
            conditions.append(_has_modality(key.rule, dialect))
        elif key.keyword not in LEVEL_OF:
            raise InvalidQuery(f"{key.keyword} cannot be searched for.")
        elif LEVEL_OF[key.keyword] <= query.level:
            conditions.append(_key_condition(key, dialect))
        else:
            below.append(key)
    if below:
        conditions.append(_has_below(query.level, below, dialect))
    return conditions


def _key_condition(key: Key, dialect: _Dialect) -> _Condition:
    return _matches(_TABLES[LEVEL_OF[key.keyword]], key.keyword, key.rule, dialect)


def _has_modality(rule: Rule, dialect: _Dialect) -> _Condition:
    of_study = series.alias("of_study")
    found = _matches(of_study, "Modality", rule, dialect)
    return studies.c.id.in_(select(of_study.c.study_id).where(found))


def _has_below(level: QueryLevel, keys: Sequence[Key], dialect: _Dialect) -> _Condition:
    child = QueryLevel(level + 1)
    lowest = max(LEVEL_OF[key.keyword] for key in keys)
    found = (
        select(_PARENTS[child])
        .select_from(_joined(child, lowest))
        .where(*(_key_condition(key, dialect) for key in keys))
    )
    return _TABLES[level].c.id.in_(found)


def _matches(table: FromClause, keyword: str, rule: Rule, dialect: _Dialect) -> _Condition:
    column, text = table.c[match_column(keyword)], table.c[keyword]
    if isinstance(rule, Wildcard) and not rule.pattern.strip("*"):
        return true()
    if keyword in MULTI_VALUED:
        values = dialect.values(column)
        compared = _compared(values.c.value, keyword, rule, dialect)
        found: _Condition = exists().select_from(values).where(compared)
    else:
        found = _compared(column, keyword, rule, dialect)
    if isinstance(rule, AnyOf) and "" in rule.values:
        return or_(found, text.is_(None), text == "")
    return found


def _compared(
    column: ColumnElement[str], keyword: str, rule: Rule, dialect: _Dialect
) -> _Condition:
    match rule:
        case AnyOf(values):
            return column.in_([_form(keyword, value, _SINGLE) for value in values if value])
        case Wildcard(pattern):
            return dialect.wildcard(column, _form(keyword, pattern, _SINGLE))
        case Range(low, high):
            if vr_of(keyword) not in _HIGHEST:
                raise InvalidQuery(f"{keyword} cannot be searched for by a range.")
            # What has a value is not below "0"; what is empty is.
            above = column >= (_form(keyword, low, _SINGLE) if low else "0")
            return above & (column <= _form(keyword, high, _HIGHEST)) if high else above


def _date(text: str) -> str | None:
    return text if re.fullmatch("[0-9]{8}", text) else None


_SINGLE: Final[dict[str, Form]] = {"PN": folded, "TM": full_time, "DA": _date}
_HIGHEST: Final[dict[str, Form]] = {"TM": partial(full_time, rest=LAST_OF_HOUR), "DA": _date}


def _form(keyword: str, text: str, forms: dict[str, Form]) -> str:
    """Return the form of a key's value that the column of the key is compared with."""
    make = forms.get(vr_of(keyword))
    form = make(text) if make else text
    if form is None or UNSTORABLE.search(form):
        raise InvalidQuery(f"{keyword} cannot have the value that is searched for.")
    return form


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


def _computed(level: QueryLevel, page: Subquery) -> list[ColumnElement[Any]]:
    match level:
        case QueryLevel.STUDY:
            return [
                _modalities(page).label("ModalitiesInStudy"),
                _number(series, series.c.study_id == page.c.id, "NumberOfStudyRelatedSeries"),
                _number(
                    series.join(instances),
                    series.c.study_id == page.c.id,
                    "NumberOfStudyRelatedInstances",
                ),
            ]
        case QueryLevel.SERIES:
            own = instances.c.series_id == page.c.id
            return [_number(instances, own, "NumberOfSeriesRelatedInstances")]
        case QueryLevel.INSTANCE:
            return []


def _number(of: FromClause, related: _Condition, keyword: str) -> ColumnElement[int]:
    return select(func.count()).select_from(of).where(related).scalar_subquery().label(keyword)


def _modalities(page: Subquery) -> ColumnElement[str]:
    distinct = (
        select(series.c.Modality)
        .distinct()
        .where(series.c.study_id == page.c.id, series.c.Modality != "")
        .order_by(series.c.Modality)
        .correlate(page)
        .subquery("modalities")
    )
    return select(func.aggregate_strings(distinct.c.Modality, "\\")).scalar_subquery()
