"""Writes the tables of STATEMENT.md from the code: ``python -m conformance.statement``.

A table stands between two markers that name it; everything else is written by people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from converters.plan import plan_slide
from converters.sources import ScannedSlide, SlideFacts, SlideImage
from gateway.core.errors import GatewayError, InvalidQuery
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE, Flavour, Signature
from gateway.core.queries import AnyOf, QueryLevel, Range, Rule, Wildcard
from gateway.dicom.attributes import ASKED, COMPUTED, INDEXED, SEARCHED
from gateway.dicom.dictionary import tag_of, vr_of
from gateway.dicom.gate.rules import FAMILIES, RULES, TYPES
from gateway.dicom.images.icc import srgb_profile
from gateway.dicom.images.pixels import MEDIA_TYPES
from gateway.dicom.json.headers import INLINE_LIMIT
from gateway.dicom.streams.part10 import decode_header
from gateway.dicomweb.http.limits import LIMITS
from gateway.dicomweb.http.media import frame_offers
from gateway.dicomweb.qido import parse_search

STATEMENT = Path(__file__).with_name("STATEMENT.md")
_TABLE = re.compile(r"(<!-- table (\S+), by [^>]* -->\n).*?(<!-- end of table -->)", re.DOTALL)

Row = tuple[str, ...]


def written(text: str) -> str:
    """Return the statement with its tables as the code has them now."""
    return _TABLE.sub(lambda match: f"{match[1]}\n{_TABLES[match[2]]()}\n{match[3]}", text)


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# -- search


def _search_keys() -> str:
    rows = [
        (level.name.title(), f"`{keyword}`", _tag(keyword), vr_of(keyword), matching)
        for level in QueryLevel
        for keyword in dict.fromkeys((*INDEXED[level], *COMPUTED[level], *_further(level)))
        if (matching := _matching(level, keyword))
    ]
    return _table(("Level", "Attribute", "Tag", "VR", "Matching"), rows)


def _further(level: QueryLevel) -> Iterable[str]:
    """Return what is searched for, and returned where it is asked for."""
    return (*SEARCHED[level], *(sorted(ASKED) if level is QueryLevel.STUDY else ()))


_SAMPLES = ("1", "1.2,1.3", "a*", "20200101", "20200101-", "10", "10-")
"""Values that are read as different rules where the VR of a key allows it."""


def _matching(level: QueryLevel, keyword: str) -> str:
    """Return how a key matches, as found by asking the code that reads keys."""
    names: list[str] = []
    for sample in _SAMPLES:
        try:
            keys = parse_search(level, [], [(keyword, sample)]).query.keys
        except InvalidQuery:
            continue
        names += [name for key in keys if (name := _name(key.rule)) not in names]
    return ", ".join(names) or "returned only"


def _name(rule: Rule) -> str:
    match rule:
        case Wildcard():
            return "wildcard"
        case Range(low, high):
            return "single value" if low == high else "range"
        case AnyOf(values):
            return "single value" if len(values) == 1 else "list"
        case _:
            raise AssertionError(rule)


def _tag(path: str) -> str:
    tags = map(tag_of, path.split("."))
    return ".".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in tags)


# -- frames, limits, errors


def _frames() -> str:
    rows = [
        (
            UID(stored).name if number == 0 else "",
            f"`{offer.media_type}`",
            "as stored" if offer.transfer_syntax == stored else "decoded",
            "type alone" if offer.by_default else "`transfer-syntax` named, or `*`",
        )
        for stored, media_type in MEDIA_TYPES.items()
        for number, offer in enumerate(frame_offers(stored, media_type, single=False))
    ]
    return _table(("Stored as", "Media type", "Frame", "Asked for by"), rows)


def _inline_limit() -> str:
    return f"Binary values of up to {INLINE_LIMIT:,} bytes are inline in metadata.\n"


def _limits() -> str:
    rows = [(f"{limit.most:,}", limit.of, str(limit.status)) for limit in LIMITS.values()]
    return _table(("At most", "Of what", "Above"), rows)


def _gate_rules() -> str:
    families = ", ".join(f"`{family}-`" for family in FAMILIES)
    types = [(f"{families} and `{kind}`", rule) for kind, rule in TYPES.items()]
    others = [(f"`{identifier}`", rule) for identifier, rule in RULES.items()]
    rows = [(name, rule.finds, rule.verdict, rule.source) for name, rule in (*types, *others)]
    return _table(("Rule", "Finds", "Verdict", "Source, or who breaks"), rows)


def _errors() -> str:
    kinds = sorted(_below(GatewayError), key=lambda kind: kind.http_status)
    rows = [
        (
            str(kind.http_status),
            f"`urn:slidegate:{kind.code}`",
            f"{kind.failure_reason:04X}",
            kind.title,
        )
        for kind in kinds
    ]
    return _table(("Status", "Type", "Failure Reason", "Meaning"), rows)


def _below(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == kind.__module__:
            yield from _below(child)


# -- what slides become

_IMAGES = ("VOLUME", "lower levels", "THUMBNAIL", "LABEL", "OVERVIEW")
"""What a slide becomes, in the order of its instances."""

_TILE = 64
_LONGEST = 64  # characters of a value that is shown
_BARE = SlideFacts(None, None, None, "Aperio", None, None, None, None)
_FULL = SlideFacts((0.5, 0.5), 40, datetime(2026, 1, 31, 8, 30), "Aperio", "M", "S", "W", "B")


@dataclass(frozen=True, slots=True, order=True)
class _Attribute:
    """One attribute of the instances of a slide: tags and keyword with its path, and VR."""

    place: str
    name: str
    vr: str


Values = dict[_Attribute, dict[str, str]]
"""Attribute -> image -> value."""


def _attributes() -> str:
    """Tell constants from what a slide says, by planning slides that say more and less."""
    bare, other, full = (
        _planned(_slide(1, _BARE, None), 0.5),
        _planned(_slide(2, _BARE, None), 0.4),
        _planned(_slide(3, _FULL, srgb_profile() + bytes(2)), None),
    )
    rows = [
        (
            one.name,
            one.place.rsplit(".", 1)[-1],
            one.vr,
            _present(bare.get(one, {}) | full.get(one, {})),
            _value(one, *(values.get(one, {}) for values in (bare, other, full))),
        )
        for one in sorted(bare | full)
    ]
    return _table(("Attribute", "Tag", "VR", "In", "Value"), rows)


def _slide(number: int, facts: SlideFacts, icc_profile: bytes | None) -> ScannedSlide:
    """Return a slide as if read from a file; each number gives one of another size."""

    def image(flavour: Flavour, size: int, tile: int, *, native: bool = False) -> SlideImage:
        grid = TileGrid(size, size, tile, tile)
        table = FrameTable(b"", np.arange(grid.count), np.full(grid.count, 7 * number))
        syntax = EXPLICIT_VR_LITTLE_ENDIAN if native else JPEG_BASELINE
        photometric = "RGB" if native or number % 2 else "YBR_FULL_422"
        return SlideImage(flavour, grid, table, None, photometric, syntax, not native)

    images = (
        image(Flavour.VOLUME, 1000 * number, _TILE),
        image(Flavour.VOLUME, 250 * number, _TILE),
        image(Flavour.THUMBNAIL, 50 * number, 50 * number),
        image(Flavour.LABEL, 30 * number, 30 * number, native=True),
        image(Flavour.OVERVIEW, 40 * number, 40 * number),
    )
    return ScannedSlide(f"slide {number}", facts, icc_profile, images)


def _planned(slide: ScannedSlide, stated_spacing_um: float | None) -> Values:
    plan = plan_slide(slide, "slide.svs", Signature(0, 0, 0, 0), stated_spacing_um)
    found: Values = {}
    for image, planned in zip(_IMAGES, plan.instances, strict=True):
        for attribute, value in _flat(decode_header(planned.header)):
            found.setdefault(attribute, {})[image] = value
    return found


def _flat(dataset: Dataset, place: str = "", path: str = "") -> Iterator[tuple[_Attribute, str]]:
    for element in dataset:
        tag = f"{place}({element.tag.group:04X},{element.tag.element:04X})"
        yield _Attribute(tag, f"{path}`{element.keyword}`", str(element.VR)), _shown(element)
        if element.VR == "SQ" and element.value and "CodeValue" not in element.value[0]:
            yield from _flat(element.value[0], f"{tag}.", f"{path}> ")


def _shown(element: DataElement) -> str:
    """Return a value for people; of a sequence its first item."""
    if element.is_empty:
        return "empty"
    value = element.value
    if element.VR == "SQ":
        code = value[0]
        if "CodeValue" not in code:
            return "one item"
        return f"({code.CodeValue}, {code.CodingSchemeDesignator}, {code.CodeMeaning})"
    if isinstance(value, bytes):
        return f"sRGB, {len(value)} bytes"
    text = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)
    return f"`{text}`" if len(text) <= _LONGEST else "remarks"


def _present(values: dict[str, str]) -> str:
    found = [image for image in _IMAGES if image in values]
    if len(found) == len(_IMAGES):
        return "all"
    if "VOLUME" in found:
        found.remove("lower levels")
    return ", ".join(found)


def _value(
    attribute: _Attribute, bare: dict[str, str], other: dict[str, str], full: dict[str, str]
) -> str:
    """Return a constant, the stand-in for what a file does not state, or where it comes from."""
    if bare != other:
        return "derived" if attribute.vr == "UI" else "of the slide"
    images = {value: [one for one in bare if bare[one] == value] for value in bare.values()}
    if bare != full:
        return f"of the file, else {' or '.join(images) or 'absent'}"
    if len(images) == 1:
        return next(iter(images))
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in images.items())


_TABLES: dict[str, Callable[[], str]] = {
    "search-keys": _search_keys,
    "frames": _frames,
    "inline-limit": _inline_limit,
    "limits": _limits,
    "errors": _errors,
    "attributes": _attributes,
    "gate-rules": _gate_rules,
}


def main() -> None:
    """Write the tables anew."""
    STATEMENT.write_text(written(STATEMENT.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
