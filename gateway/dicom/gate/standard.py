"""Tables of the standard: which attributes an object has to have (PS3.3), out of highdicom's data.

highdicom ships the module tables as JSON. They are read as data, without importing highdicom, and
cut down to the modules that are asked for: a process pays for them once.

The tables know types, not conditions; those are in :mod:`gateway.dicom.gate.conditions`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from gateway.core.instances import VL_WHOLE_SLIDE_MICROSCOPY
from gateway.dicom.gate.conditions import Condition, condition_of
from gateway.dicom.gate.items import Item, tag_of

FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
"""The tables demand each macro in both; which is needed where, the rules of the image say."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """An attribute that has to be there.

    Parameters
    ----------
    type
        ``1`` or ``2``: with a value, or perhaps without.
    condition
        Says of an item whether it is required there; None is always. What it cannot decide
        (None) is not required.
    """

    tag: int
    keyword: str
    type: str
    condition: Condition | None

    @property
    def kind(self) -> str:
        """The type in full, such as ``1C``."""
        return self.type + ("C" if self.condition else "")

    @property
    def rule(self) -> str:
        """Last part of the rule's identifier, such as ``TYPE1C``."""
        return f"TYPE{self.kind}"


@dataclass(slots=True)
class Node:
    """What the standard says of a data set, or of the items of one sequence.

    Parameters
    ----------
    requirements
        Attributes that it has to have.
    children
        Tag of a sequence -> what its items have to have.
    code
        Whether it is a code (PS3.3 8.8).
    """

    requirements: list[Requirement] = field(default_factory=list)
    children: dict[int, Node] = field(default_factory=dict)
    code: bool = False


SOP_CLASSES = (
    VL_WHOLE_SLIDE_MICROSCOPY,
    "1.2.840.10008.5.1.4.1.1.91.1",  # Microscopy Bulk Simple Annotations
    "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
    "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
)
"""Those whose tables are read."""

_ANY_OBJECT = ("patient", "general-study", "sop-common")
"""Modules of every object of the patient's record."""

Table = list[dict[str, Any]]
"""Attributes of a module: keyword, type, and the sequences around it."""


def iod_of(sop_class: str) -> Node | None:
    """Return what the standard says of the objects of a SOP class; None if it is not read."""
    return _iods().get(sop_class)


def any_object() -> Node:
    """Return what every object of the patient's record has to have."""
    return _iods()[""]


_reading = Lock()


def _iods() -> dict[str, Node]:
    with _reading:  # threads that come first together would take 100 MB, and keep them
        return _read()


@lru_cache(1)
def _read() -> dict[str, Node]:
    folder = _folder()
    iods = json.loads((folder / "sop_class_iod_map.json").read_text("utf-8"))
    modules = json.loads((folder / "iod_module_map.json").read_text("utf-8"))
    text = (folder / "module_attribute_map.json").read_bytes()
    wanted = {sop_class: modules[iods[sop_class]] for sop_class in SOP_CLASSES}
    wanted[""] = [{"key": key, "usage": "M"} for key in _ANY_OBJECT]
    keys = {module["key"] for iod in wanted.values() for module in iod}
    tables = {key: _table(text, key) for key in keys}
    return {sop_class: _merged(iod, tables) for sop_class, iod in wanted.items()}


def _folder() -> Path:
    spec = find_spec("highdicom")  # which imports nothing
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], "_standard")


def _table(text: bytes, key: str) -> Table:
    """Return one module's table: 22 MB of JSON are not parsed for a few of them."""
    start = text.index(b"[", text.index(f'\n  "{key}": '.encode()))
    table: Table = json.loads(text[start : text.index(b"\n  ]", start) + 4])
    return table


Row = tuple[str, Condition | None]
"""Type of an attribute, and the condition of its module."""


def _merged(modules: list[dict[str, str]], tables: dict[str, Table]) -> Node:
    """Lay the modules of an IOD over each other; where several name an attribute, the strictest."""
    sure = {
        row["keyword"]
        for module in modules
        if module["usage"] == "M"
        for row in tables[module["key"]]
        if not row["path"]
    }
    rows: dict[tuple[str, ...], list[Row]] = {}
    for module in modules:
        table = tables[module["key"]]
        use = None if module["usage"] == "M" else _module_use(module["key"], table, sure)
        for row in table:
            place = (*row["path"], row["keyword"])
            rows.setdefault(place, []).append((row["type"], None if row["path"] else use))
    root = Node()
    for place, found in rows.items():
        _add(root, place, found)
    _close(root)
    return root


def _add(root: Node, place: tuple[str, ...], found: list[Row]) -> None:
    *path, keyword = place
    if path and path[-1] in FUNCTIONAL_GROUPS:
        return
    node = root
    for step in path:
        node = node.children.setdefault(tag_of(step), Node())
    if keyword == "CodeMeaning":  # of the Code Sequence Macro, which has a rule of its own
        node.code = True
        return
    conditional = condition_of(path[-1] if path else "", keyword)
    for kind, use in _binding(found):
        if kind != "3" and not (kind.endswith("C") and conditional is None):
            condition = _both(use, conditional)
            node.requirements.append(Requirement(tag_of(keyword), keyword, kind[0], condition))


def _binding(found: list[Row]) -> Iterator[Row]:
    """Yield the strictest type that always holds, and what a module asks beyond it if used."""
    always = [row for row in found if row[1] is None]
    least = min(always, key=_strictness, default=("3", None))
    yield least
    stricter = [row for row in found if _strictness(row) < _strictness(least)]
    if stricter:
        yield min(stricter, key=_strictness)


def _strictness(row: Row) -> int:
    return ("1", "1C", "2", "2C", "3").index(row[0])


def _close(root: Node) -> None:
    """Let content items hold content items (PS3.3 C.17.3.2.4): the tables stop somewhere."""
    tag = tag_of("ContentSequence")
    content = root.children.get(tag)
    if content is not None:
        content.children[tag] = content


def _both(first: Condition | None, second: Condition | None) -> Condition | None:
    if first is None or second is None:
        return first or second
    one, other = first, second

    def both(item: Item) -> bool | None:
        return one(item) and other(item)

    return both


def _module_use(key: str, table: Table, sure: set[str]) -> Condition:
    """Say when a module that need not be there is: if one of its own attributes is."""
    own = frozenset(
        tag_of(row["keyword"]) for row in table if not row["path"] and row["keyword"] not in sure
    )

    def used(item: Item) -> bool:
        return not own.isdisjoint(item.elements)

    return _MODULES.get(key, used)


def _frame_of_reference(item: Item) -> bool:
    """PS3.3 A.32.8.3 and A.87.3: slides have one; annotations if their coordinates are of it."""
    return item.text("AnnotationCoordinateType") in ("", "3D")


def _slide_label(item: Item) -> bool:
    """PS3.3 A.32.8.3."""
    return item.texts("ImageType")[2:3] == ("LABEL",)


_MODULES: dict[str, Callable[[Item], bool | None]] = {
    "frame-of-reference": _frame_of_reference,
    "slide-label": _slide_label,
}
