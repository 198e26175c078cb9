"""Deliberately broken objects, each with the verdict and the rule that it must get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataset import Dataset

from gateway.dicom.gate import Outcome
from tests.dicom.gate.samples import Sample, put

HELD, REPAIRED, PASSED = Outcome.HELD, Outcome.REPAIRED, Outcome.PASSED

Break = Callable[[Sample], bytes]


@dataclass(frozen=True)
class Case:
    """A broken object.

    `kind` names the object that is broken, `rule` is one that must find it.
    """

    name: str
    kind: str
    outcome: Outcome
    rule: str
    broken: Break


CASES: list[Case] = []


def case(
    kind: str, outcome: Outcome, rule: str, name: str | None = None
) -> Callable[[Break], Break]:
    """Add what a function makes of an object to the corpus."""

    def add(broken: Break) -> Break:
        CASES.append(Case(name or broken.__name__, kind, outcome, rule, broken))
        return broken

    return add


def header(
    kind: str, outcome: Outcome, rule: str, name: str, change: Callable[[Dataset], object]
) -> None:
    """Add an object whose header is changed."""
    case(kind, outcome, rule, name)(lambda sample: sample.changed(change).encoded())


def setting(keyword: str, value: object, vr: str | None = None) -> Callable[[Dataset], object]:
    """Return a change that sets one attribute, to whatever it may be."""
    return lambda dataset: put(dataset, keyword, value, vr)


def dropping(*keywords: str) -> Callable[[Dataset], object]:
    """Return a change that takes attributes away."""

    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            del dataset[keyword]

    return change


def together(*changes: Callable[[Dataset], object]) -> Callable[[Dataset], object]:
    """Return a change that is several."""

    def change(dataset: Dataset) -> None:
        for one in changes:
            one(dataset)

    return change


def in_first(path: str, change: Callable[[Dataset], object]) -> Callable[[Dataset], object]:
    """Return a change in the first item of sequences in sequences."""

    def inside(dataset: Dataset) -> None:
        for keyword in path.split("."):
            dataset = dataset[keyword].value[0]
        change(dataset)

    return inside
