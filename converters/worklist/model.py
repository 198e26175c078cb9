"""wsidicom's metadata model: read from JSON and written as attributes, one part at a time.

Errors name the row and the field, and never quote a value: it may be the name of a patient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any, Final

from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pydicom.valuerep import validate_value

from converters.worklist import Row

_FROM_THE_FILE: Final[dict[str, frozenset[str] | None]] = {
    "study": None,
    "patient": None,
    "equipment": None,
    "slide": None,
    "series": frozenset({"description", "body_part_examined"}),
    "label": frozenset({"text", "barcode"}),
    "pyramid": frozenset({"image"}),
}
"""Part of the model -> the fields of it that a worklist may state; None is all."""

_CHECKED_FIRST: Final = {"uid": "UI", "name": "PN", "referring_physician_name": "PN"}
"""Fields whose values pydicom would quote in a warning before it refuses them."""

_MULTILINE: Final = frozenset({"comments", "text", "detailed_description"})

_UNWRITABLE: Final = "it is too long for its attribute, or of another form."
_ODD: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)
"""What the codecs raise for what is no value of a field."""


def refuse_foreign(row: Row) -> None:
    """Refuse what the file alone decides, and text that no attribute can hold."""
    for part, content in row.metadata.items():
        if part not in _FROM_THE_FILE or not isinstance(content, Mapping):
            raise row.fault(
                f"metadata.{part}: this is no part of a worklist. Parts are: "
                f"{', '.join(sorted(_FROM_THE_FILE))}."
            )
        taken = _FROM_THE_FILE[part]
        if taken is not None and (others := sorted(set(content) - taken)):
            raise row.fault(f"{part}.{others[0]}: that is taken from the scanner's file.")
    for path, text in _texts({"match": row.match, "order": row.order} | {**row.metadata}, ""):
        field = path.rsplit(".", 1)[-1]
        lines = text.split("\n") if field in _MULTILINE else [text]
        if "\\" in text or not all(line.isprintable() for line in lines):
            raise row.fault(f"{path}: it has a backslash or a control character.")
        if vr := _CHECKED_FIRST.get(field):
            _check(row, path, vr, text)


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(one, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, path)


def loaded(row: Row, part: str, schema: Any) -> Any:
    """Read a part of the model, such as ``pyramid.image``, from its JSON form."""
    from marshmallow import ValidationError

    try:
        value: Any = row.metadata
        for key in part.split("."):
            value = value.get(key, {})
        return schema.load(deepcopy(value))  # it takes steps apart
    except ValidationError as error:
        path, message = _first(error.messages)
        raise row.fault(f"{part}{path}: {message}") from error
    except _ODD as error:
        raise row.fault(f"{part}: it does not fit wsidicom's metadata model.") from error


def _first(messages: object) -> tuple[str, str]:
    """Return the path and the text of the first message of a validation."""
    path = ""
    while not isinstance(messages, str):
        if isinstance(messages, Mapping):
            key, messages = next(iter(messages.items()))
            path += "" if key == "_schema" else f".{key}"
        elif isinstance(messages, list) and messages:
            messages = messages[0]
        else:
            return path, "it cannot be read."
    return path, messages


def dumped(row: Row, part: str, schema: Any, value: Any) -> Dataset:
    """Write a part of the model as attributes."""
    try:
        dataset: Dataset = schema.dump(value)
    except _ODD as error:
        raise row.fault(f"{_culprit(part, schema, value)}: {_UNWRITABLE}") from error
    return dataset


def _culprit(part: str, schema: Any, value: Any) -> str:
    """Return which field of a part cannot be written; the codec does not say."""
    if part != "slide":
        for field in fields(value):
            alone = type(value)(**{field.name: getattr(value, field.name)})
            if field.name != "uid" and part == "study":
                alone = replace(alone, uid=UID("1.2"))
            try:
                schema.dump(alone)
            except _ODD:
                return f"{part}.{field.name}"
    return part


def write_text(row: Row, dataset: Dataset, keyword: str, place: str, text: str | None) -> None:
    """Write a text of ours as :func:`dumped` writes the model's; nothing if there is none."""
    if text:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        _check(row, place, dictionary_VR(tag), text)
        setattr(dataset, keyword, text)


def _check(row: Row, place: str, vr: str, text: str) -> None:
    try:
        validate_value(vr, text, RAISE)
    except ValueError as error:
        raise row.fault(f"{place}: {_UNWRITABLE}") from error
