"""Which data sets match: keys that the index does not keep, compared with headers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from gateway.core.errors import InvalidQuery
from gateway.core.matching import MATCHABLE, matches
from gateway.core.queries import Key, Period, Range, time_of
from gateway.dicom.attributes import text_of
from gateway.dicom.dictionary import tag_of, vr_of


def check_matchable(key: Key) -> None:
    """Raise InvalidQuery if no attribute could match a key, whatever its value."""
    *outer, last = key.steps
    for keyword in outer:
        if vr_of(keyword) != "SQ":
            raise InvalidQuery(f"{key.keyword}: {keyword} is no sequence.")
    if vr_of(last) not in MATCHABLE:
        raise InvalidQuery(f"{key.keyword} is of VR {vr_of(last)}, which is not searched for.")
    matches(key.keyword, vr_of(last), key.rule, [])  # raises for values that cannot be


def dataset_matches(dataset: Dataset, keys: Iterable[Key]) -> bool:
    """Whether a data set matches all keys; those within a sequence in one item (C.2.2.2.6).

    Raises
    ------
    InvalidQuery
        If a value that is searched for is none of its value representation.
    """
    offset = text_of(dataset.get("TimezoneOffsetFromUTC"))
    return _matches(dataset, [(key.steps, key) for key in keys], offset)


_Part = tuple[tuple[str, ...], Key]
"""The steps of a key that are left within an item."""


def _matches(dataset: Dataset, parts: Sequence[_Part], offset: str) -> bool:
    within: dict[str, list[_Part]] = {}
    for steps, key in parts:
        if len(steps) > 1:
            within.setdefault(steps[0], []).append((steps[1:], key))
        elif not _value_matches(dataset, steps[0], key, offset):
            return False
    for keyword, inner in within.items():
        element = _element(dataset, keyword)
        items = element.value if element is not None and element.VR == "SQ" else []
        if not any(_matches(item, inner, offset) for item in items or [Dataset()]):
            return False
    return True


def _value_matches(dataset: Dataset, keyword: str, key: Key, offset: str) -> bool:
    found = matches(key.keyword, vr_of(keyword), key.rule, _values(dataset, keyword), offset)
    if not found or not isinstance(key.rule, Period):
        return found
    times = _values(dataset, time_of(keyword))
    for day, at in zip(_values(dataset, keyword), times or [""], strict=False):
        for end, bounds in ((key.rule.low, (1, 0)), (key.rule.high, (0, 1))):
            if end is None or end[0] != day:
                continue
            low, high = (end[1] if bound else None for bound in bounds)
            if not matches(time_of(keyword), "TM", Range(low, high), [at] if at else []):
                return False
    return True


def _element(dataset: Dataset, keyword: str) -> DataElement | None:
    found: DataElement | None = dataset.get(tag_of(keyword))
    return found


def _values(dataset: Dataset, keyword: str) -> list[str]:
    element = _element(dataset, keyword)
    text = (
        "" if element is None or element.VR in ("SQ", "OB", "OW", "UN") else text_of(element.value)
    )
    if vr_of(keyword) in ("LT", "ST", "UT", "UR"):  # where a backslash is a letter
        return [text] if text else []
    return [value for value in text.split("\\") if value]
