"""Searches: matches from the index, and further attributes from the headers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pydicom.dataset import Dataset

from gateway.core.errors import NotFound
from gateway.core.ports import Index, Match
from gateway.core.queries import Query, QueryLevel
from gateway.services.retrieve import Retrieve


@dataclass(frozen=True, slots=True)
class Found:
    """One match.

    Parameters
    ----------
    match
        What the index keeps.
    header
        Attributes of the first instance of the match, if more than the index keeps was wanted.
    """

    match: Match
    header: Dataset | None


class Search:
    """Finds studies, series and instances."""

    def __init__(self, index: Index, retrieve: Retrieve) -> None:
        self._index = index
        self._retrieve = retrieve

    def find(self, query: Query, *, headers: bool = False) -> list[Found]:
        """Return the matches of a query.

        Parameters
        ----------
        headers
            Whether the headers are wanted too; that costs one read for each match.

        Raises
        ------
        InvalidQuery
            If a key cannot be matched.
        """
        found: list[Found] = []
        for match in self._index.search(query):
            with suppress(NotFound):  # corrected meanwhile: its UIDs are no more
                header = self._header(match, query.level) if headers else None
                found.append(Found(match, header))
        return found

    def _header(self, match: Match, level: QueryLevel) -> Dataset:
        study, series, instance = (
            match.get(keyword)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        )
        first = self._retrieve.instances(
            str(study),
            str(series) if level >= QueryLevel.SERIES else None,
            str(instance) if level >= QueryLevel.INSTANCE else None,
        )[0]
        return self._retrieve.header(first)
