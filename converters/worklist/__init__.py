"""Worklists: whose slides they are, a row for each slide, as JSON or CSV.

A row is found by what the scanner read from the label, never by the name of a file alone: a
row that names a file must also say when or on which scanner it was made, and that is compared
with what the file states. The form is described in ``conformance/METADATA.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Self

from converters.worklist.columns import rows_of_csv
from gateway.core.errors import InvalidInput

_MATCH = frozenset({"barcode", "file", "scanned", "serial_number"})
_CONFIRMING = frozenset({"scanned", "serial_number"})
_ORDER = frozenset({"patient_id_issuer", "accession_number_issuer", "institution", "department"})
_ROW = frozenset({"id", "match", "order", "metadata"})


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is known of a slide before it is known whose it is.

    Parameters
    ----------
    name
        Of the file, without its folder.
    barcode
        What the scanner read from the label.
    acquired
        When it was scanned.
    serial_number
        Of the scanner.
    """

    name: str
    barcode: str | None
    acquired: datetime | None
    serial_number: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """What a worklist says of one slide.

    Parameters
    ----------
    place
        Where it stands, for people.
    identifier
        Its ``id``, or its number from 1.
    match
        What the slide must be: ``barcode``, ``file``, ``scanned``, ``serial_number``.
    order
        What wsidicom's model has no field for: issuers and the laboratory.
    metadata
        wsidicom's metadata model in its JSON form.
    """

    place: str
    identifier: str
    match: Mapping[str, str]
    order: Mapping[str, str]
    metadata: Mapping[str, Any]

    def fault(self, what: str) -> InvalidInput:
        """Return the error that something is wrong in this row; it quotes no patient."""
        return InvalidInput(f"{self.place}: {what}")

    def refusal(self, sighting: Sighting) -> str | None:
        """Say why the slide is not the one that the row names, or None if it is."""
        stated = {
            "barcode": sighting.barcode,
            "file": sighting.name,
            "scanned": sighting.acquired and sighting.acquired.date().isoformat(),
            "serial_number": sighting.serial_number,
        }
        # Who states no barcode contradicts none; but then the name of a file alone is no identity.
        silent = stated["barcode"] is None and not _CONFIRMING.isdisjoint(self.match)
        wrong = [
            key
            for key, wanted in self.match.items()
            if stated[key] != wanted and not (silent and key == "barcode")
        ]
        return f"{self.place} has another {' and '.join(wrong)} than the file" if wrong else None


class Worklist:
    """All rows of a worklist.

    Parameters
    ----------
    path
        Of the file, for people.
    rows
        In their order.

    Raises
    ------
    InvalidInput
        If two rows could both be of one slide.
    """

    def __init__(self, path: str, rows: Iterable[Row]) -> None:
        self._path = path
        self._rows = list(rows)
        self._by_barcode = self._keyed("barcode")
        self._by_file = self._keyed("file")
        self._by_identifier: dict[str, Row] = {}
        for row in self._rows:
            if row.identifier in self._by_identifier:
                raise row.fault(f"another row has the id {row.identifier}.")
            self._by_identifier[row.identifier] = row

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a worklist; it is CSV if its name ends so, else JSON.

        Raises
        ------
        InvalidInput
            If it cannot be read, naming the row and the column that is wrong.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise InvalidInput(f"The worklist {path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise InvalidInput(f"The worklist {path} is not UTF-8; save it as UTF-8.") from error
        if path.suffix.lower() == ".csv":
            entries: object = rows_of_csv(path.name, text)
        else:
            entries = _json(path, text)
        if not isinstance(entries, list):
            raise InvalidInput(f"The worklist {path} is no list of rows.")
        return cls(str(path), [_row(path.name, *entry) for entry in enumerate(entries, 1)])

    def row(self, identifier: str) -> Row:
        """Return the row of an id, or of a number if rows have no ids, or of a barcode.

        Raises
        ------
        InvalidInput
            If there is none, or one is called so and another has it for a barcode.
        """
        named = (self._by_identifier.get(identifier), self._by_barcode.get(identifier))
        rows = list(dict.fromkeys(row.place for row in named if row))
        if len(rows) > 1:
            raise InvalidInput(
                f"The worklist {self._path} has two rows {identifier}: {rows[0]} by its id or "
                f"number, {rows[1]} by its barcode. Give the rows ids."
            )
        if (row := named[0] or named[1]) is None:
            raise InvalidInput(f"The worklist {self._path} has no row {identifier}.")
        return row

    def only_row(self) -> Row:
        """Return the row of a worklist that has one.

        Raises
        ------
        InvalidInput
            If it has none or several.
        """
        if len(self._rows) != 1:
            raise InvalidInput(
                f"The worklist {self._path} has {len(self._rows)} rows; say which with --row."
            )
        return self._rows[0]

    def find(self, sighting: Sighting) -> Row | str:
        """Return the row of a slide, or the reason why there is none."""
        row = self._by_barcode.get(sighting.barcode) if sighting.barcode else None
        row = row or self._by_file.get(sighting.name)
        if row is None:
            if sighting.barcode:
                return f"no row of the worklist has the barcode {sighting.barcode}"
            return "the file states no barcode, and no row of the worklist names the file"
        return row.refusal(sighting) or row

    def _keyed(self, key: str) -> dict[str, Row]:
        keyed: dict[str, Row] = {}
        for row in self._rows:
            if (value := row.match.get(key)) is None:
                continue
            if other := keyed.get(value):
                raise row.fault(f"{key}: {other.place} has the same; a slide has one row.")
            keyed[value] = row
        return keyed


def _json(path: Path, text: str) -> object:
    try:
        parsed: object = json.loads(text, object_pairs_hook=_unambiguous)
    except _Twice as error:
        raise InvalidInput(f"The worklist {path} says {error} twice in one object.") from error
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidInput(f"The worklist {path} is no JSON{place}.") from error
    return parsed


class _Twice(Exception):
    """A name stands twice in an object of JSON: nobody knows which value is meant."""


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise _Twice(repr(name))
    return dict(pairs)


def _row(name: str, number: int, entry: object) -> Row:
    place = f"{name}, row {number}"
    if not isinstance(entry, dict):
        raise InvalidInput(f"{place}: it is no object.")
    _known(place, "", entry, _ROW)
    match = _texts(place, "match", entry, _MATCH)
    order = _texts(place, "order", entry, _ORDER)
    metadata = entry.get("metadata", {})
    if not isinstance(metadata, dict):
        raise InvalidInput(f"{place}, metadata: it is no object.")
    identifier = entry.get("id", number)
    if not isinstance(identifier, str | int):
        raise InvalidInput(f"{place}, id: it is no text.")
    if "barcode" not in match and not ("file" in match and len(match) > 1):
        raise InvalidInput(
            f"{place}, match: it needs a barcode, or a file with 'scanned' or 'serial_number' to "
            "confirm it; the name of a file alone is no identity."
        )
    if "scanned" in match:
        match["scanned"] = _day(place, match["scanned"])
    return Row(place, str(identifier), match, order, metadata)


def _texts(
    place: str, name: str, entry: Mapping[str, Any], known: frozenset[str]
) -> dict[str, str]:
    values = entry.get(name, {})
    if not isinstance(values, dict):
        raise InvalidInput(f"{place}, {name}: it is no object.")
    _known(place, f"{name}.", values, known)
    texts: dict[str, str] = {}
    for key, value in values.items():
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidInput(f"{place}, {name}.{key}: it is no text.")
        if value.strip():
            texts[key] = value.strip()
    return texts


def _known(place: str, prefix: str, entry: Mapping[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(set(entry) - known):
        raise InvalidInput(
            f"{place}, {prefix}{unknown[0]}: there is no such field. Known are: "
            f"{', '.join(sorted(known))}."
        )


def _day(place: str, text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise InvalidInput(f"{place}, match.scanned: it is no date like 2026-01-31.") from error
