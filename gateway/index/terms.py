"""What names and sequences are searched for by: the rows of :data:`gateway.index.tables.TERMS`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from gateway.core.instances import InstanceKey
from gateway.core.matching import UNSTORABLE, forms_of
from gateway.core.ports import Attributes
from gateway.core.queries import QueryLevel
from gateway.dicom.attributes import SEARCHED_LEVEL
from gateway.dicom.dictionary import vr_of
from gateway.index.tables import (
    ITEM_DIGITS,
    TERMS,
    attribute_row,
    instances,
    series,
    studies,
    untold,
)

_PLACE: Final = re.compile(r"\[([0-9]+)\]")

Row = dict[str, Any]


def term_rows(level: QueryLevel, owner: int, attributes: Attributes) -> list[Row]:
    """Return the terms of a study, series or instance."""
    offset = attributes.get("TimezoneOffsetFromUTC", "")
    found: set[tuple[str, str, str]] = set()
    for name, text in attributes.items():
        path = _PLACE.sub("", name)
        if SEARCHED_LEVEL.get(path) is not level:
            continue
        item = "".join(f"{int(number):0{ITEM_DIGITS}x}" for number in _PLACE.findall(name))
        vr = vr_of(path)
        for value in UNSTORABLE.sub("", text).split("\\"):
            found |= {(path + kind, item, form) for kind, form in forms_of(vr, value, offset)}
    return [
        {"owner_id": owner, "path": path, "item": item, "form": form}
        for path, item, form in sorted(found)
    ]


def add(
    connection: Connection, level: QueryLevel, owners: Iterable[tuple[int, Attributes]]
) -> None:
    """Add the terms of what has none yet."""
    rows = [row for owner, attributes in owners for row in term_rows(level, owner, attributes)]
    if rows:
        connection.execute(insert(TERMS[level]), rows)


def tell(connection: Connection, level: QueryLevel, owner: int, attributes: Attributes) -> None:
    """Put the terms of a study, series or instance in place of those that were there."""
    untell(connection, level, owner)
    add(connection, level, [(owner, attributes)])


def untell(connection: Connection, level: QueryLevel, owner: int) -> None:
    """Delete the terms of a study, series or instance."""
    connection.execute(delete(TERMS[level]).where(TERMS[level].c.owner_id == owner))


def complete(connection: Connection, key: InstanceKey, attributes: Attributes) -> None:
    """Say of an instance from before there were terms what is kept of it now.

    Its series and its study say what it says: the first of them must come last.
    """
    this = instances.c.SOPInstanceUID == key.instance
    row = attribute_row(QueryLevel.INSTANCE, attributes)
    changed = update(instances).where(this).values(row)
    found = connection.execute(changed.returning(instances.c.id, instances.c.series_id)).first()
    if found is None:
        return
    instance_id, series_id = found
    of_series = update(series).where(series.c.id == series_id)
    of_series = of_series.values(attribute_row(QueryLevel.SERIES, attributes))
    study_id = connection.execute(of_series.returning(series.c.study_id)).scalar_one()
    for level, owner in (
        (QueryLevel.INSTANCE, instance_id),
        (QueryLevel.SERIES, series_id),
        (QueryLevel.STUDY, study_id),
    ):
        tell(connection, level, owner, attributes)
    connection.execute(delete(untold).where(untold.c.instance_id == instance_id))


UNTOLD: Final = (
    select(untold.c.instance_id, studies.c.StudyInstanceUID, series.c.SeriesInstanceUID)
    .add_columns(instances.c.SOPInstanceUID)
    .join(instances, instances.c.id == untold.c.instance_id)
    .join(series, series.c.id == instances.c.series_id)
    .join(studies, studies.c.id == series.c.study_id)
    .order_by(untold.c.instance_id.desc())
)
"""Numbers and UIDs of the instances from before there were terms, the last first."""
