"""Worklists as tables: the columns of a CSV file, and where each goes in the JSON form."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from datetime import date, time
from io import StringIO
from typing import Any, Final

from gateway.core.errors import InvalidInput

Entry = dict[str, Any]


def _text(text: str) -> str:
    return text


def _date(text: str) -> str:
    return date.fromisoformat(text).isoformat()


def _time(text: str) -> str:
    return time.fromisoformat(text).isoformat()


_SEXES: Final = {"M": "male", "F": "female", "O": "other"}


def _sex(text: str) -> str:
    word = text.lower()
    return word if word in _SEXES.values() else _SEXES[text.upper()]


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _code(text: str) -> Entry:
    """Return a code: ``value^scheme^meaning``, or a meaning of the standard's list alone."""
    parts = [part.strip() for part in text.split("^")]
    if len(parts) == 1:
        return {"meaning": text}
    value, scheme, meaning = parts
    return {"value": value, "scheme_designator": scheme, "meaning": meaning}


def _stains(text: str) -> object:
    """Return codes if all are, else the text: H&E need not be spelled out."""
    parts = [part.strip() for part in text.split(";")]
    return [_code(part) for part in parts] if all("^" in part for part in parts) else text


def _whole_code(text: str) -> Entry:
    value, scheme, meaning = (part.strip() for part in text.split("^"))
    return {"value": value, "scheme_designator": scheme, "meaning": meaning}


COLUMNS: Final[dict[str, tuple[str, Callable[[str], object], str]]] = {
    "id": ("id", _text, "Name of the row for `--row`; else its number."),
    "barcode": ("match.barcode", _text, "Barcode as the scanner reads it from the label."),
    "file": ("match.file", _text, "Name of the file; needs `scanned` or `scanner_serial` too."),
    "scanned": ("match.scanned", _date, "Day of the scan as the file states it."),
    "scanner_serial": ("match.serial_number", _text, "Scanner as the file states it."),
    "patient_id": ("metadata.patient.identifier", _text, "Patient ID."),
    "patient_id_issuer": ("order.patient_id_issuer", _text, "Who issued the Patient ID."),
    "patient_name": ("metadata.patient.name", _text, "DICOM form: `Family^Given^Middle`."),
    "patient_birth_date": ("metadata.patient.birth_date", _date, "Day."),
    "patient_sex": ("metadata.patient.sex", _sex, "`M`, `F`, `O`."),
    "accession": ("metadata.study.accession_number", _text, "Accession Number of the case."),
    "accession_issuer": (
        "order.accession_number_issuer",
        _text,
        "Who issued it; needed unless `study_uid` is there.",
    ),
    "study_uid": ("metadata.study.uid", _text, "Study Instance UID of the order."),
    "study_id": ("metadata.study.identifier", _text, "Study ID."),
    "study_date": ("metadata.study.date", _date, "Day."),
    "study_time": ("metadata.study.time", _time, "Time."),
    "study_description": ("metadata.study.description", _text, "Study Description."),
    "referring_physician": (
        "metadata.study.referring_physician_name",
        _text,
        "DICOM form: `Family^Given^Middle`.",
    ),
    "institution": ("order.institution", _text, "Institution of the laboratory."),
    "department": ("order.department", _text, "Its department: the laboratory."),
    "series_description": ("metadata.series.description", _text, "Series Description."),
    "body_part": ("metadata.series.body_part_examined", _text, "Body Part Examined."),
    "slide_id": ("slide.identifier", _text, "Container Identifier; else the barcode."),
    "slide_id_issuer": ("slide.issuer", _text, "Who issued it."),
    "specimen_id": ("specimen.identifier", _text, "Specimen on the slide; else the slide's."),
    "specimen_id_issuer": ("specimen.issuer", _text, "Who issued it."),
    "specimen_description": ("specimen.description", _text, "Specimen Short Description."),
    "anatomic_site": ("specimen.site", _whole_code, "Code `value^scheme^meaning`."),
    "part_id": ("part.identifier", _text, "Part that was received."),
    "part_type": ("part.type", _code, "Code of CID 8103 or its meaning."),
    "collection_method": ("part.collection", _code, "Code of CID 8109 or its meaning."),
    "fixative": ("fixative", _code, "Code of CID 8114 or its meaning; of the part or block."),
    "block_id": ("block.identifier", _text, "Block that the slide was cut from."),
    "block_type": ("block.type", _code, "Code of CID 8103 or its meaning."),
    "embedding_medium": ("block.embedding", _code, "Code of CID 8115 or its meaning."),
    "sectioning_method": ("block.sectioning", _code, "Code of CID 8110; needs `block_type`."),
    "stain": ("slide.stain", _stains, "Text, or codes of CID 8112 joined by `;`."),
    "stain_protocol": ("slide.protocol", _text, "Name of the stain protocol."),
    "label_text": ("metadata.label.text", _text, "Text of the label."),
    "manufacturer": ("metadata.equipment.manufacturer", _text, "Scanner, if not in the file."),
    "model": ("metadata.equipment.model_name", _text, "Scanner, if not in the file."),
    "serial_number": (
        "metadata.equipment.device_serial_number",
        _text,
        "Scanner, if not in the file; must agree with it.",
    ),
    "spacing_um": ("spacing_um", _number, "Pixel spacing; must agree with the file's own."),
}
"""Column -> (place in the JSON form, or in what specimens are made of; how to read; meaning)."""


def rows_of_csv(name: str, text: str) -> list[Entry]:
    """Return the rows of a CSV text in the JSON form of a worklist.

    Parameters
    ----------
    name
        Of the file, for people.
    text
        The first line names the columns; they are separated by commas, semicolons or tabs.

    Raises
    ------
    InvalidInput
        If a column is unknown or a value is none of its column, naming row and column.
    """
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        header, *rows = list(csv.reader(StringIO(text), delimiter=delimiter, strict=True))
    except (csv.Error, ValueError) as error:
        raise InvalidInput(f"{name} is no CSV table with a line of column names.") from error
    names = [column.strip().lower() for column in header]
    for column in names:
        if column not in COLUMNS or names.count(column) > 1:
            raise InvalidInput(
                f"{name}, column {column}: there is no such column, or it is there twice. "
                f"Known are: {', '.join(COLUMNS)}."
            )
    return [
        _entry(f"{name}, row {number}", names, cells)
        for number, cells in enumerate(filter(any, rows), 1)
    ]


def _entry(place: str, names: list[str], cells: list[str]) -> Entry:
    if len(cells) != len(names):
        raise InvalidInput(f"{place}: it has {len(cells)} cells, not {len(names)}.")
    found: Entry = {}
    for column, cell in zip(names, cells, strict=True):
        if not (cell := cell.strip()):
            continue
        path, read, meaning = COLUMNS[column]
        try:
            _put(found, path, read(cell))
        except (ValueError, KeyError) as error:
            raise InvalidInput(
                f"{place}, column {column}: it cannot be read. {meaning} Dates look like "
                "2026-01-31."
            ) from error
    try:
        return _with_specimens(found)
    except LookupError as error:
        raise InvalidInput(f"{place}, {error.args[0]}") from error


def _put(entry: Entry, path: str, value: object) -> None:
    *outer, last = path.split(".")
    for name in outer:
        entry = entry.setdefault(name, {})
    entry[last] = value


def _with_specimens(found: Entry) -> Entry:
    """Replace what specimens are made of by specimens in wsidicom's JSON form."""
    slide, specimen = found.pop("slide", {}), found.pop("specimen", {})
    part, block = found.pop("part", {}), found.pop("block", {})
    fixative, spacing_um = found.pop("fixative", None), found.pop("spacing_um", None)
    metadata = found.setdefault("metadata", {})
    parents = _parents(part, block, fixative)
    described: Entry = {}
    if identifier := slide.get("identifier") or found.get("match", {}).get("barcode"):
        described["identifier"] = _identifier(identifier, slide.get("issuer"))
    if specimen or parents:
        if not (identifier := specimen.get("identifier") or described.get("identifier")):
            raise LookupError("column specimen_id: a specimen needs it, or a slide_id.")
        sample: Entry = {
            "identifier": _identifier(identifier, specimen.get("issuer")),
            "steps": [],
            "anatomical_sites": [specimen["site"]] if "site" in specimen else [],
            "short_description": specimen.get("description"),
        }
        if parents:
            sample["sampled_from"] = _sampled(parents[-1])
        described["samples"] = [*parents, sample]
    if stain := _stain(slide):
        described["stainings"] = [stain]
    if described:
        metadata["slide"] = described
    if spacing_um is not None:
        _put(metadata, "pyramid.image.pixel_spacing", {"width": spacing_um / 1000})
        metadata["pyramid"]["image"]["pixel_spacing"]["height"] = spacing_um / 1000
    return found


def _parents(part: Entry, block: Entry, fixative: Entry | None) -> list[Entry]:
    """Return what the slide was made from: the part, and the block cut from it."""
    parents: list[Entry] = []
    for name, entry in (("part", part), ("block", block)):
        if entry and "identifier" not in entry:
            raise LookupError(f"column {name}_id: it is empty, but more is said of the {name}.")
    if fixative and not (part or block):
        raise LookupError("column fixative: it needs a part_id or a block_id.")
    fixation = [{"action": "fixation", "fixative": fixative}] if fixative else []
    if part:
        steps: list[Entry] = []
        if "collection" in part:
            steps.append({"action": "collection", "method": part["collection"]})
        parents.append(_parent(part, [*steps, *fixation, {"action": "sampling"}]))
    if block:
        entry = _block(block, [] if part else fixation)
        if part:
            entry["sampled_from"] = [_sampled(parents[0])]
        parents.append(entry)
    return parents


def _block(block: Entry, steps: list[Entry]) -> Entry:
    sampling: Entry = {"action": "sampling"}
    if "embedding" in block:
        steps = [*steps, {"action": "embedding", "medium": block["embedding"]}]
    if "sectioning" in block:
        if "type" not in block:
            raise LookupError("column block_type: sectioning_method needs it.")
        sampling["method"] = block["sectioning"]
    return _parent(block, [*steps, sampling])


def _parent(entry: Mapping[str, Any], steps: list[Entry]) -> Entry:
    return {"identifier": entry["identifier"], "steps": steps, "type": entry.get("type")}


def _sampled(parent: Entry) -> Entry:
    index = sum(step["action"] == "sampling" for step in parent["steps"]) - 1
    return {"identifier": parent["identifier"], "sampling_step_index": index}


def _identifier(value: object, issuer: str | None) -> object:
    return {"value": value, "issuer": {"identifier": issuer}} if issuer else value


def _stain(slide: Entry) -> Entry | None:
    substances, protocol = slide.get("stain"), slide.get("protocol")
    if substances is None and protocol is None:
        return None
    stain = {"substances": protocol if substances is None else substances}
    return stain | ({"description": protocol} if protocol else {})


def described_columns() -> str:
    """Return the table of columns for ``conformance/METADATA.md``."""
    lines = ["| Column | What it says |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, (_, _, meaning) in COLUMNS.items()]
    return "\n".join(lines)
