"""Attributes that have to be there, by type (PS3.5 7.4), and codes that have to be complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.dicom.gate.items import Item, has_value
from gateway.dicom.gate.standard import Node, Requirement
from gateway.dicom.gate.verdict import Finding

Known = tuple[Item, Node]
"""A data set or an item, and what the standard says of it."""


def known(item: Item, node: Node) -> list[Known]:
    """Return a data set and all items below it that the standard knows."""
    found = [(item, node)]
    for outer, whole in found:  # which grows
        for tag in outer.elements:
            if (child := whole.children.get(tag)) is not None:
                found += [(below, child) for below in outer.items_at(tag)]
    return found


@dataclass(frozen=True, slots=True)
class Missing:
    """An attribute that an item has to have and has not."""

    item: Item
    requirement: Requirement


def missing(items: Iterable[Known]) -> Iterator[Missing]:
    """Yield the attributes that items have to have and have not."""
    for item, node in items:
        elements = item.elements
        for requirement in node.requirements:
            element = elements.get(requirement.tag)
            if element is not None and (requirement.type == "2" or has_value(element)):
                continue
            if requirement.condition is None or requirement.condition(item):
                yield Missing(item, requirement)


def absent(found: Missing, family: str) -> Finding:
    """Say that an attribute of type 1 is missing."""
    keyword, item = found.requirement.keyword, found.item
    state = "has no value" if keyword in item else "is missing"
    return Finding(
        f"{family}-{found.requirement.rule}",
        f"{item.path(keyword)} {state}; it is of type {found.requirement.kind}.",
        f"Have the sender supply {keyword}; the gateway cannot know it.",
    )


def code_faults(items: Iterable[Known]) -> Iterator[Finding]:
    """Yield codes that are not complete (PS3.3 8.8): value, scheme, meaning."""
    for item, node in items:
        if node.code:
            yield from _code_fault(item)


def _code_fault(item: Item) -> Iterator[Finding]:
    values = [one for one in ("CodeValue", "LongCodeValue", "URNCodeValue") if item.filled(one)]
    lacks = []
    if not values:
        lacks.append("CodeValue, LongCodeValue or URNCodeValue")
    if values != ["URNCodeValue"] and not item.filled("CodingSchemeDesignator"):
        lacks.append("CodingSchemeDesignator")
    if not item.filled("CodeMeaning"):
        lacks.append("CodeMeaning")
    if lacks:
        yield Finding(
            "CODE-INCOMPLETE",
            f"The code {item.place.rstrip('.')} has no {' and no '.join(lacks)}.",
            "Have the sender write the whole code; half of one means nothing.",
        )
    if len(values) > 1:
        yield Finding(
            "CODE-AMBIGUOUS",
            f"The code {item.place.rstrip('.')} has {' and '.join(values)}; only one may be there.",
            "Have the sender keep the one that is meant.",
        )
