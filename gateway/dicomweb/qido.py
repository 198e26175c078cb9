"""QIDO-RS (PS3.18 10.6): URL parameters to queries, matches to DICOM JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from flask import Blueprint, Response, request
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset

from gateway.core.errors import InvalidQuery
from gateway.core.instances import checked_uid
from gateway.core.queries import AnyOf, Key, Query, QueryLevel, Range, Rule, Wildcard
from gateway.dicom.attributes import COMPUTED, LEVEL_OF, vr_of
from gateway.dicom.json_model import Json, dataset_json, match_json, text_json
from gateway.dicomweb.addresses import root_of
from gateway.dicomweb.media import JSON_OFFERS, accepted, negotiate
from gateway.services.query import Found, Search

_OPTIONS = frozenset(
    {
        "accept",
        "limit",
        "offset",
        "includefield",
        "fuzzymatching",
        "emptyvaluematching",
        "multiplevaluematching",
    }
)
_LONGEST_WARNING = 1000
_UNSUPPORTED = ("emptyvaluematching", "multiplevaluematching")
_RANGED = frozenset({"DA", "TM", "DT"})
_WHOLE = frozenset({"IS", "UL", "US"})
_LONGEST_KEYWORD = 64
_TAG = re.compile(r"[0-9A-Fa-f]{8}\Z")
_WELL_FORMED = {
    **dict.fromkeys(_WHOLE, re.compile(r"[+-]?[0-9]{1,12}\Z")),
    "DA": re.compile(r"\d{8}\Z"),
    "DT": re.compile(r"\d{4,14}(\.\d{1,6})?([+-]\d{4})?\Z"),
    "TM": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?\Z"),
    "UI": re.compile(r"[0-9.]{1,64}\Z"),
}
_LEVEL_UID = {
    QueryLevel.STUDY: "StudyInstanceUID",
    QueryLevel.SERIES: "SeriesInstanceUID",
    QueryLevel.INSTANCE: "SOPInstanceUID",
}


def blueprint(search: Search) -> Blueprint:
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
            documents = [found_json(one, asked, root) for one in found]
            answer = Response(json.dumps(documents), content_type=offer.media_type)
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
        if self.wants_all:
            return True
        # What the index keeps is always returned, at its level and below.
        computed = (keyword for keywords in COMPUTED.values() for keyword in keywords)
        kept = {tag_for_keyword(keyword) for keyword in (*LEVEL_OF, *computed)}
        return bool(self.include - kept)


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
        elif (keyword := _keyword(name)) in LEVEL_OF or keyword in ("ModalitiesInStudy",):
            if keyword in scoped and value not in values[keyword]:
                raise InvalidQuery(f"{keyword} contradicts the path of the request.")
            if keyword not in scoped:
                values.setdefault(keyword, []).append(value)
        else:
            warnings.append(f"{name[:64]} is not a matching key here and was ignored")
    if options.get("fuzzymatching", ["false"])[-1].lower() == "true":
        warnings.append("fuzzymatching is not supported; literal matching was done")
    warnings += [f"{name} is not supported" for name in _UNSUPPORTED if name in options]
    keys = tuple(
        Key(keyword, rule)
        for keyword, texts in values.items()
        if (rule := _rule(keyword, texts)) is not None
    )
    include, include_all = _included(options.get("includefield", []))
    query = Query(level, keys, _count(options, "limit"), _count(options, "offset") or 0)
    return SearchRequest(query, include, include_all, tuple(warnings))


@lru_cache(1024)
def _keyword(name: str) -> str | None:
    """Return the keyword of a key given as keyword or as eight hexadecimal digits."""
    if len(name) > _LONGEST_KEYWORD:
        return None
    if _TAG.match(name):
        return keyword_for_tag(int(name, 16)) or None
    return name if tag_for_keyword(name) is not None else None


def _rule(keyword: str, texts: list[str]) -> Rule | None:
    """Return how a key matches (PS3.4 C.2.2.2); None is universal matching."""
    vr = vr_of(keyword)
    if vr == "UI":
        # A list of UIDs comes repeated, with commas or with backslashes.
        uids = [uid for text in texts for uid in re.split(r"[,\\]", text) if uid]
        for uid in uids:
            _check(keyword, vr, uid)
        return AnyOf(tuple(uids)) if uids else None
    if vr == "CS":
        texts = [text for listed in texts for text in re.split(r"[,\\]", listed)]
    if any(text in ("", "*") for text in texts):
        return None
    rules = [_single_rule(keyword, vr, text) for text in texts]
    literal = [value for rule in rules if isinstance(rule, AnyOf) for value in rule.values]
    if len(literal) == len(rules):
        return AnyOf(tuple(literal))
    if len(rules) > 1:
        raise InvalidQuery(f"{keyword} is given more than once, with wildcards or ranges.")
    return rules[0]


def _single_rule(keyword: str, vr: str, text: str) -> Rule:
    if vr in _RANGED:
        low, dash, high = text.partition("-")
        for end in (low, high):
            if end:
                _check(keyword, vr, end)
        if dash and not low and not high:
            raise InvalidQuery(f"A range of {keyword} needs at least one end.")
        if not dash:
            return Range(text, text) if vr == "TM" else AnyOf((text,))
        return Range(low or None, high or None)
    if vr in _WHOLE:
        _check(keyword, vr, text)
        return AnyOf((str(int(text)),))
    return Wildcard(text) if "*" in text or "?" in text else AnyOf((text,))


def _check(keyword: str, vr: str, text: str) -> None:
    if not _WELL_FORMED[vr].match(text):
        raise InvalidQuery(f"A value of {keyword} is not of VR {vr}.")


def _included(values: list[str]) -> tuple[frozenset[int], bool]:
    """Return the tags that includefield names; what is no attribute is ignored."""
    names = [name for value in values for name in value.split(",") if name]
    keywords = [keyword for name in names if (keyword := _keyword(name.split(".")[0]))]
    tags = [tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None]
    return frozenset(tags), "all" in names


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
        for element in found.header:
            if element.tag in asked.include or asked.wants_all:
                wanted.add(element)
        instance = (
            f"{root}/studies/{found.header.StudyInstanceUID}"
            f"/series/{found.header.SeriesInstanceUID}/instances/{found.header.SOPInstanceUID}"
        )
        further = dataset_json(wanted, lambda path: f"{instance}/bulkdata/{path}", inline_limit=0)
    merged = further | match_json(match) | dict(text_json("00081190", "UR", url))
    return dict(sorted(merged.items()))
