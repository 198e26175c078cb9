"""QIDO-RS (PS3.18 10.6): URL parameters to queries, matches to DICOM JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from flask import Blueprint, Response, request
from pydicom.dataset import Dataset

from gateway.core.errors import InvalidQuery
from gateway.core.instances import checked_uid
from gateway.core.matching import DECIMAL, LONGEST, MATCHABLE, MULTIPLE, RANGED, WHOLE
from gateway.core.queries import (
    AllOf,
    AnyOf,
    Key,
    Period,
    Query,
    QueryLevel,
    Range,
    Rule,
    Similar,
    Wildcard,
    time_of,
)
from gateway.dicom.attributes import ASKED, COMPUTED, LEVEL_OF
from gateway.dicom.dictionary import path_of, tag_of, vr_of
from gateway.dicom.json.model import Json, dataset_json, match_json, text_json
from gateway.dicomweb.http.addresses import root_of
from gateway.dicomweb.http.bulk import BulkAnswers
from gateway.dicomweb.http.conditional import REVALIDATED, entity_tag, selection
from gateway.dicomweb.http.media import JSON_OFFERS, accepted, negotiate
from gateway.services.query import Found, Search

_OPTIONS = frozenset(
    {
        "accept",
        "charset",
        "limit",
        "offset",
        "includefield",
        "fuzzymatching",
        "emptyvaluematching",
        "multiplevaluematching",
    }
)
_NO_KEYS = frozenset(
    {
        "InstanceAvailability",
        "QueryRetrieveLevel",
        "RetrieveURL",
        "SpecificCharacterSet",
        "TimezoneOffsetFromUTC",
        *(keyword for keywords in COMPUTED.values() for keyword in keywords),
    }
) - {"ModalitiesInStudy"}
"""What is told of a match, or how it is told, and is no key."""

_LONGEST_WARNING = 1000
_PIECE = 1 << 16
"""Bytes of JSON that are sent at once."""

_MOST_KEYS = 64
_MOST_VALUES = 5000
_MOST_WORDS = 16
_MOST_WILDCARDS = 32
_EMPTY = '""'
_OFFSET = r"[+-](?:0[0-9]|1[0-4])[0-5][0-9]"
_MOMENT = rf"[0-9]{{4,14}}(?:\.[0-9]{{1,6}})?(?:{_OFFSET}(?![0-9]))?"
_MOMENTS = re.compile(rf"({_MOMENT})?-({_MOMENT})?\Z")
_WELL_FORMED = {
    **dict.fromkeys(WHOLE, re.compile(r"[+-]?[0-9]{1,19}\Z")),
    **dict.fromkeys(DECIMAL, re.compile(r"[+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?\Z")),
    "AS": re.compile(r"[0-9]{3}[DWMY]\Z"),
    "AT": re.compile(r"[0-9A-Fa-f]{8}\Z"),
    "DA": re.compile(r"[0-9]{8}\Z"),
    "DT": re.compile(rf"{_MOMENT}\Z"),
    "TM": re.compile(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?\Z"),
    "UI": re.compile(r"[0-9.]{1,64}\Z"),
}
_LEVEL_UID = {
    QueryLevel.STUDY: "StudyInstanceUID",
    QueryLevel.SERIES: "SeriesInstanceUID",
    QueryLevel.INSTANCE: "SOPInstanceUID",
}


def blueprint(search: Search, bulk: BulkAnswers) -> Blueprint:
    """Return the routes of QIDO-RS."""
    routes = Blueprint("qido", __name__)

    def find(level: QueryLevel) -> Callable[..., Response]:
        def view(study: str | None = None, series: str | None = None) -> Response:
            offer = negotiate(accepted(), JSON_OFFERS)
            scope = [
                (keyword, checked_uid(uid))
                for keyword, uid in (("StudyInstanceUID", study), ("SeriesInstanceUID", series))
                if uid is not None
            ]
            asked = parse_search(level, scope, request.args.items(multi=True))
            found = search.find(asked.query, headers=asked.needs_headers)
            root = root_of(request.environ)
            pieces = _array(found_json(one, asked, root) for one in found)
            first, second = next(pieces), next(pieces, None)  # errors come before the first byte
            if second is None:
                tag = entity_tag(first.decode(), offer.media_type)
                chosen = selection(request.environ, tag, REVALIDATED, len(first), ranges=False)
                body = b"" if chosen.unmodified else first
                answer = Response(
                    body, chosen.status, chosen.headers, content_type=offer.media_type
                )
            else:  # a tag would have to be known before the first byte
                long = bulk.guarded(chain([first, second], pieces))
                answer = Response(long, content_type=offer.media_type)
                answer.headers["Cache-Control"] = REVALIDATED
            if asked.warnings:
                answer.headers["Warning"] = f'299 slidegate "{_quotable(asked.warnings)}"'
            return answer

        return view

    for place, level in (
        ("/studies", QueryLevel.STUDY),
        ("/series", QueryLevel.SERIES),
        ("/instances", QueryLevel.INSTANCE),
        ("/studies/<study>/series", QueryLevel.SERIES),
        ("/studies/<study>/instances", QueryLevel.INSTANCE),
        ("/studies/<study>/series/<series>/instances", QueryLevel.INSTANCE),
    ):
        routes.add_url_rule(place, f"search {place}", find(level))
    return routes


def _array(documents: Iterable[Json]) -> Iterator[bytes]:
    """Return a JSON array in pieces, the first of which may be all."""
    parts, size = ["["], 0
    for number, document in enumerate(documents):
        parts.append((",\n" if number else "") + json.dumps(document))
        size += len(parts[-1])
        if size >= _PIECE:
            yield "".join(parts).encode()
            parts, size = [], 0
    yield "".join([*parts, "]"]).encode()


def _quotable(warnings: Iterable[str]) -> str:
    text = "; ".join(warnings)[:_LONGEST_WARNING]
    return "".join(char for char in text if char.isascii() and char.isprintable() and char != '"')


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A request: the query, and what of the matches is wanted.

    Parameters
    ----------
    query
        What is searched for.
    include
        Tags of attributes that are wanted besides those that are always returned.
    include_all
        Whether all attributes are wanted; above instances these are what the index keeps.
    warnings
        What of the request was not done, for people.
    """

    query: Query
    include: frozenset[int]
    include_all: bool
    warnings: tuple[str, ...]

    @property
    def wants_all(self) -> bool:
        """Whether all attributes of single instances are wanted."""
        return self.include_all and self.query.level is QueryLevel.INSTANCE

    @property
    def needs_headers(self) -> bool:
        """Whether more is wanted than the index keeps."""
        return self.wants_all or bool(self.include - _KEPT)


_TOLD = ("InstanceAvailability", "RetrieveURL", "SpecificCharacterSet", *ASKED, *LEVEL_OF)
_KEPT = frozenset(
    tag_of(keyword) for keywords in (_TOLD, *COMPUTED.values()) for keyword in keywords
)
"""Tags of what is told without a look at headers: at its level, and at those below."""


def parse_search(
    level: QueryLevel, scope: Iterable[tuple[str, str]], parameters: Iterable[tuple[str, str]]
) -> SearchRequest:
    """Read a search request.

    Parameters
    ----------
    level
        What is searched.
    scope
        Keyword and UID of the resources in the path.
    parameters
        Names and decoded values of the URL's query, in their order.

    Raises
    ------
    InvalidQuery
        If a value or a key is malformed. Keys that are no attributes are ignored, with a warning.
    """
    options: dict[str, list[str]] = {}
    values: dict[str, list[str]] = {keyword: [uid] for keyword, uid in scope}
    scoped, warnings = frozenset(values), []
    for name, value in parameters:
        if name in _OPTIONS:
            options.setdefault(name, []).append(value)
        elif (path := _key(name)) is None:
            warnings.append(f"{name[:64]} is not a matching key here and was ignored")
        elif path not in scoped:
            values.setdefault(path, []).append(value)
        elif value and value not in values[path]:
            raise InvalidQuery(f"{path} contradicts the path of the request.")
    if len(values) > _MOST_KEYS:
        raise InvalidQuery(f"There are more than {_MOST_KEYS} keys.")
    reader = _Reader(
        *(_flag(options, f"{name}matching") for name in ("fuzzy", "emptyvalue", "multiplevalue"))
    )
    keys = _combined(
        {path: rule for path, texts in values.items() if (rule := reader.rule(path, texts))}
    )
    include, include_all = _included(options.get("includefield", []))
    include |= {tag_of(path.split(".")[0]) for path in values}
    asked = frozenset(keyword for keyword in ASKED if tag_of(keyword) in include)
    query = Query(level, keys, _count(options, "limit"), _count(options, "offset") or 0, asked)
    return SearchRequest(query, include, include_all, tuple(warnings))


def _key(name: str) -> str | None:
    """Return the path of an attribute that can be a key."""
    path = path_of(name)
    if path is None or path in _NO_KEYS or tag_of(path.split(".")[0]) >> 16 <= 2:
        return None
    return path


def _flag(options: dict[str, list[str]], name: str) -> bool:
    said = options.get(name, ["false"])[-1].lower()
    if said not in ("true", "false"):
        raise InvalidQuery(f"{name} is true or false.")
    return said == "true"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the values of keys as rules (PS3.4 C.2.2.2).

    Parameters
    ----------
    fuzzy, empty, multiple
        Which kinds of matching were asked for besides (PS3.18 8.3.4.2, 8.3.4.5, 8.3.4.6).
    """

    fuzzy: bool
    empty: bool
    multiple: bool

    def rule(self, path: str, texts: list[str]) -> Rule | None:
        """Return how a key matches; None is universal matching."""
        vr, values = vr_of(path), self._values(path, texts)
        for keyword in path.split(".")[:-1]:
            if vr_of(keyword) != "SQ":
                raise InvalidQuery(f"{path}: {keyword} is no sequence.")
        if not values or any(value.strip() in ("", "*") for value in values):
            return None
        if vr not in MATCHABLE:
            raise InvalidQuery(f"{path} is of VR {vr}, and cannot be searched for.")
        if len(values) > _MOST_VALUES:
            raise InvalidQuery(f"{path} has more than {_MOST_VALUES} values.")
        rules = [self._single(path, vr, value) for value in values]
        literal = [value for rule in rules if isinstance(rule, AnyOf) for value in rule.values]
        if len(literal) < len(rules):
            if len(rules) > 1:
                raise InvalidQuery(f"{path} is given more than once, with wildcards or ranges.")
            return rules[0]
        if self.multiple and vr in MULTIPLE and "" not in literal and len(literal) > 1:
            return AllOf(tuple(literal))
        return AnyOf(tuple(literal))

    def _values(self, path: str, texts: list[str]) -> list[str]:
        """Return the values of a key: a list comes repeated, with backslashes or with commas."""
        vr = vr_of(path)
        if vr == "UI":
            return [uid for text in texts for uid in re.split(r"[,\\]", text) if uid.strip()]
        if vr == "CS":
            return [value for text in texts for value in re.split(r"[,\\]", text)]
        if self.multiple and vr in MULTIPLE:
            return [value for text in texts for value in text.split("\\")]
        return texts

    def _single(self, path: str, vr: str, text: str) -> Rule:
        if self.empty and text == _EMPTY:
            return AnyOf(("",))
        if vr in RANGED:
            return _moments(path, vr, text)
        if vr in _WELL_FORMED:
            _check(path, vr, text)
            return AnyOf((text,))
        wildcards = text.count("*") + text.count("?")
        if wildcards > _MOST_WILDCARDS or len(text) > LONGEST:
            raise InvalidQuery(f"{path} is too long, or has too many wildcards.")
        if wildcards:
            return Wildcard(text)
        if self.fuzzy and vr == "PN":
            if len(text.split()) > _MOST_WORDS:
                raise InvalidQuery(f"{path} has more than {_MOST_WORDS} words.")
            return Similar(text)
        return AnyOf((text,))


def _moments(path: str, vr: str, text: str) -> Rule:
    """Read a date, a time, both, or a range of them."""
    if vr == "DT":
        # An offset from UTC may begin with a hyphen too.
        whole = _WELL_FORMED[vr].match(text)
        found = None if whole else _MOMENTS.match(text)
        if not whole and (found is None or not any(found.groups())):
            raise InvalidQuery(f"A value of {path} is not of VR {vr}.")
        return Range(*found.groups()) if found else Range(text, text)
    low, dash, high = text.partition("-")
    for end in (low, high):
        if end:
            _check(path, vr, end)
    if dash and not low and not high:
        raise InvalidQuery(f"A range of {path} needs at least one end.")
    if not dash:
        return Range(text, text) if vr == "TM" else AnyOf((text,))
    return Range(low or None, high or None)


def _combined(rules: dict[str, Rule]) -> tuple[Key, ...]:
    """Combine ranges of dates and of times that are of the same form to periods (C.2.2.2.5)."""
    keys, taken = [], set()
    for path, rule in rules.items():
        times = rules.get(time_of(path)) if path.endswith("Date") else None
        if isinstance(rule, Range) and isinstance(times, Range):
            low = (rule.low, times.low) if rule.low and times.low else None
            high = (rule.high, times.high) if rule.high and times.high else None
            same = (rule.low is None) is (times.low is None) and (rule.high is None) is (
                times.high is None
            )
            if same:
                rule = Period(low, high)
                taken.add(time_of(path))
        keys.append(Key(path, rule))
    return tuple(key for key in keys if key.keyword not in taken)


def _check(keyword: str, vr: str, text: str) -> None:
    if not _WELL_FORMED[vr].match(text):
        raise InvalidQuery(f"A value of {keyword} is not of VR {vr}.")


def _included(values: list[str]) -> tuple[frozenset[int], bool]:
    """Return the tags that includefield names; what is no attribute is ignored."""
    names = [name for value in values for name in value.split(",") if name]
    paths = [path for name in names if (path := path_of(name.strip()))]
    return frozenset(tag_of(path.split(".")[0]) for path in paths), "all" in names


def _count(options: dict[str, list[str]], name: str) -> int | None:
    if name not in options:
        return None
    text = options[name][-1]
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise InvalidQuery(f"{name} is a whole number from 0.")
    return int(text)


def found_json(found: Found, asked: SearchRequest, root: str) -> Json:
    """Return one match in the DICOM JSON Model.

    Parameters
    ----------
    root
        Absolute URL of the DICOMweb root, without a slash at its end.
    """
    match = found.match
    names = ("studies", "series", "instances")[: asked.query.level]
    uids = [str(match[_LEVEL_UID[QueryLevel(step)]]) for step in range(1, len(names) + 1)]
    url = "/".join([root, *(part for pair in zip(names, uids, strict=True) for part in pair)])
    further: Json = {}
    if found.header is not None:
        wanted = Dataset()
        # Others are not even read: there may be hundreds of thousands of items of frames.
        there = found.header.keys()
        for tag in there if asked.wants_all else there & asked.include:
            wanted.add(found.header[tag])
        instance = (
            f"{root}/studies/{found.header.StudyInstanceUID}"
            f"/series/{found.header.SeriesInstanceUID}/instances/{found.header.SOPInstanceUID}"
        )
        further = dataset_json(wanted, lambda path: f"{instance}/bulkdata/{path}", inline_limit=0)
        if _TRANSFER_SYNTAX in asked.include and asked.query.level is QueryLevel.INSTANCE:
            # EZ-WSI reads it here, under the name that it has in files.
            syntax = str(match["AvailableTransferSyntaxUID"])
            further |= dict(text_json("00020010", "UI", syntax))
    told = {keyword: value for keyword, value in match.items() if not _is_left_out(keyword, value)}
    merged = further | match_json(told) | _ALWAYS | dict(text_json("00081190", "UR", url))
    return dict(sorted(merged.items()))


_TRANSFER_SYNTAX = 0x00020010

_ALWAYS: Json = {
    **text_json("00080005", "CS", "ISO_IR 192"),  # JSON is UTF-8
    **text_json("00080056", "CS", "ONLINE"),
}


def _is_left_out(keyword: str, value: object) -> bool:
    """Whether an attribute that is absent is not told as one without a value."""
    return keyword in ("TimezoneOffsetFromUTC", "RequestAttributesSequence") and not value
