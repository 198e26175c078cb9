"""Searches: matches from the index, and further attributes from the headers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from gateway.core.errors import GatewayError, InvalidQuery, NotFound, TooLarge
from gateway.core.instances import InstanceKey
from gateway.core.matching import requirements
from gateway.core.ports import Index, Match
from gateway.core.queries import AnyOf, Key, Query, QueryLevel
from gateway.dicom.attributes import ASKED, COMPUTED, LEVEL_OF, SEARCHED_LEVEL, indexed_attributes
from gateway.dicom.dictionary import vr_of
from gateway.dicom.matching import check_matchable, dataset_matches
from gateway.services.retrieve import Retrieve

MOST_HEADERS = 2000
"""Headers that are read for a search by what the index does not keep."""

MOST_TESTS = 32
"""Tests that one search may ask for: databases plan their order, which costs more with each."""

_AT_ONCE = 100
_log = logging.getLogger(__name__)

_UIDS = {
    QueryLevel.STUDY: "StudyInstanceUID",
    QueryLevel.SERIES: "SeriesInstanceUID",
    QueryLevel.INSTANCE: "SOPInstanceUID",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One match.

    Parameters
    ----------
    match
        What the index keeps; what was searched for in lower levels is told of the first instance
        that matches.
    header
        Attributes of the first instance of the match that has what was searched for, if more than
        the index keeps was wanted.
    """

    match: Match
    header: Dataset | None


class Search:
    """Finds studies, series and instances."""

    def __init__(self, index: Index, retrieve: Retrieve) -> None:
        self._index = index
        self._retrieve = retrieve

    def find(self, query: Query, *, headers: bool = False) -> Iterator[Found]:
        """Return the matches of a query, one after the other.

        Parameters
        ----------
        headers
            Whether the headers are wanted too; that costs one read for each match.

        Raises
        ------
        InvalidQuery
            If a key cannot be matched, or too much is asked; before the first match is asked for.
        TooLarge
            If too many headers would have to be read to tell what matches.
        """
        _check_tests(query.keys)
        query = self._narrowed(query)
        return self._found(query, self._index.search(query), headers)

    def _found(self, query: Query, matches: Iterator[Match], headers: bool) -> Iterator[Found]:
        below = [key for key in query.keys if _level(key) > query.level]
        told = {key.keyword: _only(key) for key in below if key.keyword in LEVEL_OF}
        for match in matches:
            with suppress(NotFound):  # corrected meanwhile: its UIDs are no more
                header = None
                further: Match = {name: text for name, text in told.items() if text is not None}
                if headers or len(further) < len(told):
                    first = self._first(query.level, below, match)
                    further = {name: first[name] for name in told}
                    header = self._header(first) if headers else None
                yield Found({**further, **match}, header)

    def _first(self, level: QueryLevel, below: list[Key], match: Match) -> Match:
        """Return the first instance in a match that has what was searched for."""
        if level is QueryLevel.INSTANCE:
            return match
        here = Key(_UIDS[level], AnyOf((str(match[_UIDS[level]]),)))
        for first in self._index.search(Query(QueryLevel.INSTANCE, (here, *below), limit=1)):
            return first
        raise NotFound("The match is no more.")

    def _header(self, match: Match) -> Dataset:
        key = InstanceKey(*(str(match[_UIDS[level]]) for level in QueryLevel))
        return self._retrieve.header(self._retrieve.instance(key))

    def _narrowed(self, query: Query) -> Query:
        """Put the instances in place of the keys that only their headers can tell."""
        kept, others = _parted(query.keys)
        if not others:
            return query
        for key in others:
            check_matchable(key)
        candidates = Query(QueryLevel.INSTANCE, kept, limit=MOST_HEADERS + 1)
        uids = []
        for number, match in enumerate(self._index.search(candidates)):
            if number == MOST_HEADERS:
                names = ", ".join(key.keyword for key in others)
                raise TooLarge(
                    f"{names} is compared with the headers of at most {MOST_HEADERS} instances, "
                    "and more than that match the other keys. Add a key such as "
                    "StudyInstanceUID, PatientID or StudyDate."
                )
            with suppress(NotFound):
                if dataset_matches(self._header(match), others):
                    uids.append(str(match["SOPInstanceUID"]))
        without = [key for key in kept if key.keyword != "SOPInstanceUID"]
        return replace(query, keys=(*without, Key("SOPInstanceUID", AnyOf(tuple(uids)))))

    def complete(self) -> None:
        """Have the index keep of all instances what it keeps of new ones.

        It does so at once where there is nothing to do. Instances whose header cannot be read are
        left as they are, and are not found by what only the header tells.
        """
        before: int | None = None
        while untold := self._index.untold(before, _AT_ONCE):
            before = untold[-1][0]
            told = []
            for _, key in untold:
                try:
                    instance = self._retrieve.instance(key)
                    header = self._retrieve.header(instance)
                    told.append((key, indexed_attributes(header, instance.transfer_syntax)))
                except GatewayError as error:
                    _log.warning("the header of %s cannot be read: %s", key.instance, error.title)
            self._index.complete(told)


def _check_tests(keys: tuple[Key, ...]) -> None:
    tests = sum(len(requirements(key.keyword, vr_of(key.keyword), key.rule)) for key in keys)
    if tests > MOST_TESTS:
        raise InvalidQuery(
            f"More than {MOST_TESTS} things are asked of each match; ask with fewer keys, and for "
            "fewer values at once."
        )


def _parted(keys: tuple[Key, ...]) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
    """Part keys into those that the index keeps, and those that the headers tell."""
    others: set[Key] = set()
    in_items: dict[str, list[Key]] = {}
    for key in keys:
        if len(key.steps) > 1:
            in_items.setdefault(key.steps[0], []).append(key)
        elif not _is_kept(key):
            others.add(key)
    for together in in_items.values():
        # Keys of one sequence match in one item: the headers tell of all of them, or of none.
        empty = any(isinstance(key.rule, AnyOf) and "" in key.rule.values for key in together)
        if empty or not all(map(_is_kept, together)):
            others.update(together)
    kept = tuple(key for key in keys if key not in others)
    return kept, tuple(key for key in keys if key in others)


def _is_kept(key: Key) -> bool:
    name = key.keyword
    return name in SEARCHED_LEVEL or name in _OF_STUDY or (name in LEVEL_OF and vr_of(name) != "SQ")


_OF_STUDY = ASKED | {"ModalitiesInStudy"}


def _level(key: Key) -> QueryLevel:
    if key.keyword in _OF_STUDY or key.keyword in COMPUTED[QueryLevel.STUDY]:
        return QueryLevel.STUDY
    return SEARCHED_LEVEL.get(key.keyword) or LEVEL_OF[key.keyword]


def _only(key: Key) -> str | None:
    """Return the only value that an attribute can have where it matches, if that is known."""
    if isinstance(key.rule, AnyOf) and len(key.rule.values) == 1 and vr_of(key.keyword) == "CS":
        return key.rule.values[0] if key.keyword != "ImageType" else None
    return None
