"""Structured Reports and key object selections as what people read (PS3.3 C.17).

Everything of the content tree is kept, in its order: names, values with units, codes with their
schemes, references, and who observed and verified what and when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID
from pydicom.valuerep import PersonName

from gateway.core.errors import NotAcceptable, TooLarge

MOST_ITEMS = 20_000
"""Content items of a report that is rendered."""

DEEPEST = 60
"""Levels of a content tree that is rendered."""

Fact = tuple[str, str]
"""A name and what it is."""


@dataclass(frozen=True, slots=True)
class Item:
    """A content item.

    Parameters
    ----------
    number
        Position in the tree, such as ``1.2.1``: what relationships by reference name.
    relation
        How it belongs to the item above, in lower case.
    name, value
        The concept and what is said; a container has no value.
    is_heading
        Whether it is a container.
    items
        What belongs to it.
    """

    number: str
    relation: str
    name: str
    value: str
    is_heading: bool
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A report for people.

    Parameters
    ----------
    title
        Of the document.
    patient, document
        Whose it is, and what it is: when, by whom, how far it is complete and verified.
    items
        The content.
    references
        Objects that the report is about or that it replaces.
    """

    title: str
    patient: tuple[Fact, ...]
    document: tuple[Fact, ...]
    items: tuple[Item, ...]
    references: tuple[Fact, ...]


def read_report(dataset: Dataset) -> Report:
    """Return what a report says.

    Raises
    ------
    TooLarge
        If it has more content than is rendered.
    NotAcceptable
        If its values cannot be read.
    """
    try:
        return _read(dataset)
    except (AttributeError, LookupError, NotImplementedError, TypeError, ValueError) as error:
        raise NotAcceptable(
            "The report has values that cannot be read. Retrieve the object itself."
        ) from error


def _read(dataset: Dataset) -> Report:
    tree = _Tree()
    return Report(
        _concept(dataset, "ConceptNameCodeSequence") or "Report",
        tuple(_stated(_patient(dataset))),
        tuple(_stated(_document(dataset))),
        tree.items(dataset, "1", 1),
        tuple(_references(dataset)),
    )


def as_text(report: Report) -> str:
    """Return a report as plain text."""
    lines = [report.title, ""]
    lines += [f"{name}: {value}" for name, value in (*report.patient, *report.document)]
    lines += ["", *_lines(report.items, 0)]
    if report.references:
        lines += ["", "References", *(f"{name}: {value}" for name, value in report.references)]
    return "\n".join(lines) + "\n"


def _lines(items: tuple[Item, ...], depth: int) -> Iterator[str]:
    for item in items:
        yield "  " * depth + (f"{item.name}: {item.value}" if item.value else item.name)
        yield from _lines(item.items, depth + 1)


class _Tree:
    """Reads content items and counts them."""

    def __init__(self) -> None:
        self._count = 0

    def items(self, dataset: Dataset, number: str, depth: int) -> tuple[Item, ...]:
        content = dataset.get("ContentSequence") or []
        self._count += len(content)
        if self._count > MOST_ITEMS or depth > DEEPEST:
            raise TooLarge(
                f"The report has more than {MOST_ITEMS} content items, or more than {DEEPEST} "
                "levels of them. Retrieve the object itself."
            )
        return tuple(
            self._item(one, f"{number}.{place}", depth) for place, one in enumerate(content, 1)
        )

    def _item(self, one: Dataset, number: str, depth: int) -> Item:
        kind = str(one.get("ValueType") or "")
        relation = str(one.get("RelationshipType") or "").lower()
        if target := _several(one.get("ReferencedContentItemIdentifier")):
            place = ".".join(map(str, target))
            return Item(number, relation, f"See {place}", "", False, ())
        read = _VALUES.get(kind, _unknown)
        name = _concept(one, "ConceptNameCodeSequence") or _NAMELESS.get(kind, "")
        below = self.items(one, number, depth + 1)
        return Item(number, relation, name, read(one), kind == "CONTAINER", below)


_NAMELESS = {"CONTAINER": "Section", "IMAGE": "Image", "COMPOSITE": "Object"}


def _number(one: Dataset) -> str:
    measured = one.get("MeasuredValueSequence") or []
    told = [f"{value.get('NumericValue')} {_unit(value)}".strip() for value in measured]
    reason = _concept(one, "NumericValueQualifierCodeSequence")
    return ", ".join([*told, *([reason] if reason else [])]) or "no value"


def _unit(value: Dataset) -> str:
    """Return the unit as it is written (UCUM), with its meaning where that says more."""
    units = value.get("MeasurementUnitsCodeSequence")
    if not units:
        return ""
    code = str(units[0].get("CodeValue") or "")
    meaning = str(units[0].get("CodeMeaning") or "")
    if code == "1" or code.startswith("{"):
        return meaning if meaning not in ("no units", "1") else ""
    return code if meaning.lower() in ("", code.lower()) else f"{code} ({meaning})"


def _text(one: Dataset) -> str:
    return str(one.get("TextValue") or "")


def _code(one: Dataset) -> str:
    return _concept(one, "ConceptCodeSequence")


def _concept(dataset: Dataset, keyword: str) -> str:
    """Return a code as its meaning, with code and scheme behind it."""
    codes = dataset.get(keyword)
    if not codes:
        return ""
    code = codes[0]
    value = code.get("CodeValue") or code.get("LongCodeValue") or code.get("URNCodeValue") or ""
    scheme = str(code.get("CodingSchemeDesignator") or "")
    where = ", ".join(part for part in (str(value), scheme) if part)
    return f"{code.get('CodeMeaning') or ''} ({where})".strip() if where else ""


def _references_of(one: Dataset) -> str:
    told: list[str] = []
    for reference in one.get("ReferencedSOPSequence") or []:
        frames = _several(reference.get("ReferencedFrameNumber"))
        where = f", frames {', '.join(map(str, frames))}" if frames else ""
        told.append(_object(reference) + where)
    return "; ".join(told)


def _object(reference: Dataset) -> str:
    kind = UID(str(reference.get("ReferencedSOPClassUID") or "")).name
    return f"{kind} {reference.get('ReferencedSOPInstanceUID') or ''}".strip()


def _shape(one: Dataset) -> str:
    dimensions = 3 if one.get("ValueType") == "SCOORD3D" else 2
    points = len(_several(one.get("GraphicData"))) // dimensions
    return f"{one.get('GraphicType') or 'Shape'} of {points} point{'' if points == 1 else 's'}"


def _times(one: Dataset) -> str:
    keywords = ("ReferencedSamplePositions", "ReferencedTimeOffsets", "ReferencedDateTime")
    values = (one.get(keyword) for keyword in keywords)
    told = [", ".join(map(str, _several(value))) for value in values if value is not None]
    return " ".join([str(one.get("TemporalRangeType") or ""), *told]).strip()


def _unknown(one: Dataset) -> str:
    return f"(a value of the type {one.get('ValueType') or 'unknown'}, not shown)"


_VALUES: dict[str, Callable[[Dataset], str]] = {
    "CONTAINER": lambda one: "",
    "TEXT": _text,
    "CODE": _code,
    "NUM": _number,
    "DATE": lambda one: _moment(one.get("Date")),
    "TIME": lambda one: _moment("", one.get("Time")),
    "DATETIME": lambda one: _moment(one.get("DateTime")),
    "UIDREF": lambda one: str(one.get("UID") or ""),
    "PNAME": lambda one: _name(one.get("PersonName")),
    "IMAGE": _references_of,
    "COMPOSITE": _references_of,
    "WAVEFORM": _references_of,
    "SCOORD": _shape,
    "SCOORD3D": _shape,
    "TCOORD": _times,
}


def _several(value: object) -> list[object]:
    if value is None or value == "":
        return []
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return [value]
    return list(value)


def _name(value: object) -> str:
    """Return a person's name as people write it; ideographic and phonetic ones behind it."""
    name = value if isinstance(value, PersonName) else PersonName(str(value or ""))
    groups = (name.alphabetic, name.ideographic, name.phonetic)
    told = [", ".join(filter(None, _ordered(group))) for group in groups if group]
    return " = ".join(told)


def _ordered(group: str) -> list[str]:
    family, *others = [part.strip() for part in group.split("^")]
    return [family, " ".join(part for part in others if part)]


def _moment(date: object, time: object = None) -> str:
    """Return a DICOM date, time or both as ISO 8601 writes it; what is no such thing stays."""
    day, clock = str(date or ""), str(time or "")
    if len(day) > 8 and day[:8].isdigit():
        day, clock = day[:8], day[8:]
    if len(day) == 8 and day.isdigit():
        day = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    if len(clock) >= 4 and clock[:4].isdigit():
        seconds = f":{clock[4:]}" if clock[4:] else ""
        clock = f"{clock[:2]}:{clock[2:4]}{seconds}"
    return f"{day} {clock}".strip()


def _stated(facts: Iterator[Fact]) -> Iterator[Fact]:
    return ((name, value) for name, value in facts if value)


def _patient(dataset: Dataset) -> Iterator[Fact]:
    issuer = dataset.get("IssuerOfPatientID")
    identifier = str(dataset.get("PatientID") or "")
    yield "Patient", _name(dataset.get("PatientName")) or "not stated"
    yield "Patient ID", f"{identifier} ({issuer})" if identifier and issuer else identifier
    yield "Born", _moment(dataset.get("PatientBirthDate"))
    yield "Sex", str(dataset.get("PatientSex") or "")


def _document(dataset: Dataset) -> Iterator[Fact]:
    yield "Study", _moment(dataset.get("StudyDate"), dataset.get("StudyTime"))
    yield "Study description", str(dataset.get("StudyDescription") or "")
    yield "Accession number", str(dataset.get("AccessionNumber") or "")
    yield "Written", _moment(dataset.get("ContentDate"), dataset.get("ContentTime"))
    for author in dataset.get("AuthorObserverSequence") or []:
        yield "Author", _name(author.get("PersonName")) or str(author.get("StationName") or "")
    completion = str(dataset.get("CompletionFlag") or "").lower()
    yield "Completion", completion
    yield "Preliminary or final", str(dataset.get("PreliminaryFlag") or "").lower()
    yield "Verification", str(dataset.get("VerificationFlag") or "").lower()
    for observer in dataset.get("VerifyingObserverSequence") or []:
        yield "Verified by", _observer(observer)


def _observer(observer: Dataset) -> str:
    told = (
        _name(observer.get("VerifyingObserverName")),
        str(observer.get("VerifyingOrganization") or ""),
        _moment(observer.get("VerificationDateTime")),
    )
    return ", ".join(filter(None, told))


_REFERENCES = {
    "PredecessorDocumentsSequence": "Replaces",
    "IdenticalDocumentsSequence": "Identical",
    "CurrentRequestedProcedureEvidenceSequence": "Evidence",
    "PertinentOtherEvidenceSequence": "Other evidence",
}


def _references(dataset: Dataset) -> Iterator[Fact]:
    for keyword, meaning in _REFERENCES.items():
        for study in dataset.get(keyword) or Sequence():
            for series in study.get("ReferencedSeriesSequence") or []:
                for reference in series.get("ReferencedSOPSequence") or []:
                    yield meaning, _object(reference)
