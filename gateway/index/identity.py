"""Whose studies are, and how that is corrected: what the transactions of the index are made of.

All instances come in through :func:`check` and :func:`claim`: no UID ever serves two patients, and
none that was rejected comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, insert, select, update

from gateway.core.errors import Conflict, InvalidDataset
from gateway.core.identity import Correction, CorrectionKind, Patient, Revision
from gateway.core.matching import folded
from gateway.core.ports import Attributes
from gateway.core.queries import QueryLevel
from gateway.dicom.attributes import INDEXED
from gateway.index.tables import (
    TABLES,
    attribute_row,
    corrections,
    instances,
    patients,
    quarantine,
    rejected,
    series,
    slides,
    studies,
)
from gateway.index.terms import tell, untell

_study_uid: Final = studies.c.StudyInstanceUID
_series_uid: Final = series.c.SeriesInstanceUID
_instance_uid: Final = instances.c.SOPInstanceUID
_CORRECTED: Final = tuple(column for column in corrections.c if column.name != "id")

_IN_INDEXES: Final = {
    column.name for table in TABLES.values() for one in table.indexes for column in one.columns
}
_MOST_INDEXED_BYTES: Final = 2000
"""PostgreSQL has no longer entries than 2,700 bytes in an index."""

CORRECTIONS: Final = select(*_CORRECTED).order_by(corrections.c.id)


def patient_of(attributes: Attributes) -> Patient:
    """Return who an instance is of."""
    said = attribute_row(QueryLevel.STUDY, attributes)
    identifier, issuer, name = (
        said[keyword] or "" for keyword in ("PatientID", "IssuerOfPatientID", "PatientName")
    )
    return Patient(identifier.strip(), issuer.strip(), _same_name(name))


def _same_name(name: str) -> str:
    """Return a name without case, and without what may be left away (PS3.5 6.2, PN)."""
    groups = (group.rstrip("^ ").lstrip() for group in folded(name).split("="))
    return "=".join(groups).rstrip("=")


def check(connection: Connection, attributes: Attributes) -> None:
    """Compare what an instance says of itself with what is stored, before it is let in.

    Raises
    ------
    InvalidDataset
        If a value is too long to be searched for.
    Conflict
        If its study is another patient's, its series is in another study, or it was rejected.
    """
    too_long = [
        keyword
        for keyword in sorted(_IN_INDEXES & attributes.keys())
        if len(attributes[keyword].encode(errors="replace")) > _MOST_INDEXED_BYTES
    ]
    if too_long:
        raise InvalidDataset(
            f"{', '.join(too_long)} is longer than {_MOST_INDEXED_BYTES} bytes. Have the sender "
            "look at it: no archive takes such a value."
        )
    study, series_uid = attributes["StudyInstanceUID"], attributes["SeriesInstanceUID"]
    refuse_anothers(connection, study, patient_of(attributes))
    of_study = select(_study_uid).join_from(series, studies)
    other = connection.execute(of_study.where(_series_uid == series_uid)).scalar()
    if other is not None and other != study:
        raise Conflict(
            "The series of this object is stored in another study. A series belongs to one study: "
            "correct the UIDs of the object.",
            series=series_uid,
        )
    again = (rejected.c.SOPInstanceUID == attributes["SOPInstanceUID"]) | (
        rejected.c.SeriesInstanceUID == series_uid
    )
    if connection.execute(select(rejected.c.id).where(again)).first():
        raise Conflict(
            "This object was rejected because it was another's; it does not come back.",
            series=series_uid,
        )


def claim(connection: Connection, attributes: Attributes) -> None:
    """Write down whose a study is, once and for all; it was checked before.

    An issuer that nobody had said is learnt: who is of another one is another patient then.
    """
    study, patient = attributes["StudyInstanceUID"], patient_of(attributes)
    known = _patient(connection, study)
    if known is None:
        connection.execute(insert(patients).values(_claim(study, patient)))
    elif patient.issuer and not known.issuer:
        this = patients.c.StudyInstanceUID == study
        connection.execute(update(patients).where(this).values(issuer=patient.issuer))


def refuse_anothers(connection: Connection, study: str, patient: Patient) -> None:
    """Raise Conflict if a study is, or once was, another patient's."""
    if is_anothers(connection, study, patient):
        raise Conflict(
            "This study is, or once was, another patient's: a UID never serves two. See that it is "
            "the right row of the worklist or the right Patient ID; else the order or the object "
            "needs a Study Instance UID of its own.",
            study=study,
        )


def is_anothers(connection: Connection, study: str, patient: Patient) -> bool:
    """Whether a study is, or once was, another patient's."""
    known = _patient(connection, study)
    return known is not None and patient.is_other_than(known)


def check_details(connection: Connection, attributes: Attributes) -> None:
    """Compare what a slide says of its study with what is stored of it.

    Raises
    ------
    Conflict
        If it says something else.
    """
    study = attributes["StudyInstanceUID"]
    columns = [studies.c[keyword] for keyword in INDEXED[QueryLevel.STUDY]]
    stored = connection.execute(select(*columns).where(_study_uid == study)).first()
    if stored is None:
        return
    said = attribute_row(QueryLevel.STUDY, attributes)
    other = [name for name, value in stored._mapping.items() if (value or "") != (said[name] or "")]
    if other:
        raise Conflict(
            f"The study is stored with another {', '.join(other)}. Correct the row, or correct "
            "the study with 'slidegate correct --kind details'.",
            study=study,
        )


def is_added(connection: Connection, fingerprint: str) -> bool:
    """Whether there is a slide of a fingerprint."""
    found = select(slides.c.id).where(slides.c.fingerprint == fingerprint)
    return connection.execute(found).first() is not None


def release(connection: Connection, fingerprint: str) -> None:
    """Let a slide wait no more."""
    connection.execute(delete(quarantine).where(quarantine.c.fingerprint == fingerprint))


def record(connection: Connection, correction: Correction) -> int:
    """Write down a correction; return its number."""
    row = {column.name: getattr(correction, column.name) for column in _CORRECTED}
    row["keywords"] = "\\".join(correction.keywords)
    added = insert(corrections).values(row).returning(corrections.c.id)
    return int(connection.execute(added).scalar_one())


def correction(row: Sequence[Any]) -> Correction:
    """Return a row of :data:`CORRECTIONS`."""
    values = dict(zip((column.name for column in _CORRECTED), row, strict=True))
    keywords = tuple(filter(None, values.pop("keywords").split("\\")))
    kind = CorrectionKind(values.pop("kind"))
    return Correction(kind=kind, keywords=keywords, **values)


def refuse_others(connection: Connection, study: str, revisions: Sequence[Revision]) -> None:
    """Raise Conflict if a study has other instances than those that are revised."""
    of_study = select(_instance_uid).join_from(studies, series).join(instances)
    stored = set(connection.execute(of_study.where(_study_uid == study)).scalars())
    if stored != {revision.before.key.instance for revision in revisions}:
        raise _changed(study)


def revise(connection: Connection, revision: Revision) -> None:
    """Put a header in place of another under the same UIDs, and what all levels keep of it."""
    key, attributes = revision.before.key, revision.attributes
    this = (_instance_uid == key.instance) & (instances.c.header == revision.before.header)
    row = attribute_row(QueryLevel.INSTANCE, attributes) | {"header": revision.after.header}
    revised = update(instances).where(this).values(row).returning(instances.c.id)
    if (instance_id := connection.execute(revised).scalar()) is None:
        raise _changed(key.study)
    tell(connection, QueryLevel.INSTANCE, instance_id, attributes)
    of_series = attribute_row(QueryLevel.SERIES, attributes)
    this_series = update(series).where(_series_uid == key.series).values(of_series)
    series_id = connection.execute(this_series.returning(series.c.id)).scalar_one()
    tell(connection, QueryLevel.SERIES, series_id, attributes)
    of_study = attribute_row(QueryLevel.STUDY, attributes)
    this_study = update(studies).where(_study_uid == key.study).values(of_study)
    study_id = connection.execute(this_study.returning(studies.c.id)).scalar_one()
    tell(connection, QueryLevel.STUDY, study_id, attributes)
    claimed = _claim(key.study, patient_of(attributes))
    connection.execute(
        update(patients).where(patients.c.StudyInstanceUID == key.study).values(claimed)
    )


def reject(connection: Connection, number: int, revision: Revision) -> None:
    """Take an instance from all doors; what it was is kept."""
    key = revision.before.key
    this = (_instance_uid == key.instance) & (instances.c.header == revision.before.header)
    kept = select(
        instances.c.slide_id,
        instances.c.transfer_syntax,
        instances.c.number_of_frames,
        instances.c.header,
        instances.c.frame_table,
        instances.c.frames,
    )
    row = connection.execute(kept.where(this)).first()
    if row is None:
        raise _changed(key.study)
    uids = {
        "correction_id": number,
        "StudyInstanceUID": key.study,
        "SeriesInstanceUID": key.series,
        "SOPInstanceUID": key.instance,
    }
    connection.execute(insert(rejected).values(uids | dict(row._mapping)))


def reissue(connection: Connection, revision: Revision, series_id: int) -> None:
    """Give an instance other UIDs and another header over the same frames."""
    row = attribute_row(QueryLevel.INSTANCE, revision.attributes) | {
        "header": revision.after.header,
        "series_id": series_id,
    }
    this = _instance_uid == revision.before.key.instance
    reissued = update(instances).where(this).values(row).returning(instances.c.id)
    instance_id = connection.execute(reissued).scalar_one()
    tell(connection, QueryLevel.INSTANCE, instance_id, revision.attributes)


def move(connection: Connection, fingerprint: str, series_id: int) -> None:
    """Put a slide into another series; what is empty then is no more."""
    this = slides.c.fingerprint == fingerprint
    slide_id, old_series = connection.execute(
        select(slides.c.id, slides.c.series_id).where(this)
    ).one()
    connection.execute(update(slides).where(this).values(series_id=series_id))
    of_old = select(instances.c.id).where(instances.c.series_id == old_series)
    if connection.execute(of_old.where(instances.c.slide_id == slide_id)).first():
        raise _changed(fingerprint)
    if connection.execute(of_old).first():
        return  # objects that were received
    untell(connection, QueryLevel.SERIES, old_series)
    old_study = connection.execute(
        delete(series).where(series.c.id == old_series).returning(series.c.study_id)
    ).scalar_one()
    if not connection.execute(select(series.c.id).where(series.c.study_id == old_study)).first():
        untell(connection, QueryLevel.STUDY, old_study)
        connection.execute(delete(studies).where(studies.c.id == old_study))


def rejections_of(fingerprint: str) -> Select[Any]:
    """Return what selects the studies in which a slide was rejected, oldest first."""
    wanted = select(corrections.c.study).where(
        corrections.c.fingerprint == fingerprint,
        corrections.c.kind == CorrectionKind.IDENTITY,
    )
    return wanted.order_by(corrections.c.id)


def _patient(connection: Connection, study: str) -> Patient | None:
    columns = (patients.c.identifier, patients.c.issuer, patients.c.name)
    row = connection.execute(select(*columns).where(patients.c.StudyInstanceUID == study)).first()
    return None if row is None else Patient(*row)


def _claim(study: str, patient: Patient) -> dict[str, str]:
    return {
        "StudyInstanceUID": study,
        "identifier": patient.identifier,
        "issuer": patient.issuer,
        "name": patient.name,
    }


def _changed(study: str) -> Conflict:
    return Conflict("What was to be corrected has changed meanwhile; try again.", study=study)
