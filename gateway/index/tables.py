"""The one schema of the index, for SQLite and PostgreSQL.

Studies, series and instances have a column for each attribute of
:data:`gateway.dicom.attributes.INDEXED`, named by its keyword. Values are text as they stand
in the header, several of them joined by a backslash; NULL is an attribute that is absent.
Where that text cannot be compared as it is, a second column holds a form that can
(:data:`MATCH_FORMS`). Names, and what is searched for within sequences, are terms: a row for
each form of each value (:data:`TERMS`).

The indexes of numbers alone are what deep pages are counted along: rows are long in SQLite.

A change of these tables, and of ``INDEXED``, needs a migration and its number in
:data:`REVISIONS`.
"""

from __future__ import annotations

import json
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from gateway.core.matching import UNSTORABLE, Form, full_time
from gateway.core.ports import Attributes
from gateway.core.queries import QueryLevel
from gateway.dicom.attributes import INDEXED, LEVEL_OF
from gateway.dicom.dictionary import vr_of

REVISIONS: Final = ("0001", "0002", "0003", "0004")
"""All revisions of the schema that this code knows, oldest first."""

MULTI_VALUED: Final = frozenset({"ImageType"})
"""Keywords of the indexed attributes that have several values; a search may ask for any."""

ITEM_DIGITS: Final = 8
"""Hexadecimal digits of the number of an item; ``item`` has as many for each sequence."""


def _json_array(text: str) -> str:
    return json.dumps(text.split("\\"), ensure_ascii=False)


MATCH_FORMS: Final[dict[str, Form]] = {
    keyword: (_json_array if keyword in MULTI_VALUED else full_time)
    for keyword in LEVEL_OF
    if keyword in MULTI_VALUED or vr_of(keyword) == "TM"
}
"""Keyword -> what makes the comparable form of its text: times of full length, several values as
a JSON array."""


def match_column(keyword: str) -> str:
    """Name of the column that a matching key is compared with."""
    return f"{keyword}_match" if keyword in MATCH_FORMS else keyword


def attribute_row(level: QueryLevel, attributes: Attributes) -> dict[str, str | None]:
    """Return the columns of one level: keywords and their comparable forms."""
    row: dict[str, str | None] = {}
    for keyword in INDEXED[level]:
        text = attributes.get(keyword)
        text = UNSTORABLE.sub("", text) if text else text
        row[keyword] = text
        if form := MATCH_FORMS.get(keyword):
            row[match_column(keyword)] = form(text) if text else None
    return row


metadata = MetaData()
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that both databases order and compare by code points."""


def _columns(level: QueryLevel) -> list[Column[str]]:
    unique_key = INDEXED[level][0]
    columns: list[Column[str]] = []
    for keyword in INDEXED[level]:
        columns.append(Column(keyword, _TEXT, nullable=keyword != unique_key))
        if keyword in MATCH_FORMS:
            columns.append(Column(match_column(keyword), _TEXT))
    return columns


studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    *_columns(QueryLevel.STUDY),
    Index("studies_uid", "StudyInstanceUID", unique=True),
    Index("studies_date", "StudyDate"),
    Index("studies_accession", "AccessionNumber"),
    Index("studies_patient", "PatientID"),
    Index("studies_number", "id"),
)

series = Table(
    "series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    *_columns(QueryLevel.SERIES),
    Index("series_uid", "SeriesInstanceUID", unique=True),
    Index("series_of_study", "study_id", "Modality"),
    Index("series_modality", "Modality", "study_id"),
    Index("series_frame_of_reference", "FrameOfReferenceUID"),
    Index("series_container", "ContainerIdentifier"),
    Index("series_number", "id"),
)

slides = Table(
    "slides",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("series_id", ForeignKey("series.id"), nullable=False),
    Column("fingerprint", _TEXT, nullable=False),
    Column("identity", _TEXT, nullable=False),
    Column("path", LargeBinary, nullable=False),  # names of files need not be UTF-8
    Column("signature", _TEXT, nullable=False),
    Column("state", _TEXT, nullable=False),
    Column("due", Double, nullable=False),
    Column("sha256", _TEXT),
    Column("identified", _TEXT, nullable=False),
    Column("facts", _TEXT, nullable=False),  # JSON
    Column("recipe", _TEXT, nullable=False),
    Index("slides_fingerprint", "fingerprint", unique=True),
    Index("slides_identity", "identity", unique=True),
    Index("slides_series", "series_id"),
    Index("slides_due", "state", "due"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("series_id", ForeignKey("series.id"), nullable=False),
    Column("slide_id", ForeignKey("slides.id")),
    *_columns(QueryLevel.INSTANCE),
    Column("transfer_syntax", _TEXT, nullable=False),
    Column("number_of_frames", Integer, nullable=False),
    Column("header", _TEXT, nullable=False),
    Column("frame_table", _TEXT, nullable=False),
    Column("frames", _TEXT),  # NULL: in the file of its slide
    Column("received_header", _TEXT),
    Column("sha256", _TEXT),  # of what was received; NULL: nothing was
    Column("role", _TEXT),  # NULL: of no slide
    Index("instances_uid", "SOPInstanceUID", unique=True),
    Index("instances_of_series", "series_id", "id"),
    Index("instances_number", "id"),
    Index("instances_of_slide", "slide_id"),
    Index("instances_class", "SOPClassUID"),
)

TABLES: Final = {
    QueryLevel.STUDY: studies,
    QueryLevel.SERIES: series,
    QueryLevel.INSTANCE: instances,
}


def _terms(level: QueryLevel, of: Table) -> Table:
    name = f"{level.name.lower()}_terms"
    return Table(
        name,
        metadata,
        Column("owner_id", ForeignKey(of.c.id), nullable=False),
        Column("path", _TEXT, nullable=False),
        Column("item", _TEXT, nullable=False),
        Column("form", _TEXT, nullable=False),
        PrimaryKeyConstraint("path", "form", "owner_id", "item"),
        Index(f"{name}_of", "owner_id"),
        sqlite_with_rowid=False,
    )


TERMS: Final = {
    QueryLevel.STUDY: _terms(QueryLevel.STUDY, studies),
    QueryLevel.SERIES: _terms(QueryLevel.SERIES, series),
    QueryLevel.INSTANCE: _terms(QueryLevel.INSTANCE, instances),
}
"""Forms of the values of :data:`gateway.dicom.attributes.SEARCHED`: the path of the attribute with
the kind of the form, and in which item it is, of each sequence ``ITEM_DIGITS`` digits."""

untold = Table("untold", metadata, Column("instance_id", Integer, primary_key=True))
"""Instances that were added before there were terms; their headers must be read once."""

patients = Table(
    "patients",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("StudyInstanceUID", _TEXT, nullable=False),
    Column("identifier", _TEXT, nullable=False),
    Column("issuer", _TEXT, nullable=False),
    Column("name", _TEXT, nullable=False),
    Index("patients_study", "StudyInstanceUID", unique=True),
)
"""Whose a study is. Rows outlive their studies: no UID ever serves two patients."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", _TEXT, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("signature", _TEXT, nullable=False),
    Column("barcode", _TEXT),
    Column("reason", _TEXT, nullable=False),
    Column("at", Double, nullable=False),
    Column("stated_spacing_um", Double),
    Index("quarantine_fingerprint", "fingerprint", unique=True),
)
"""Slides that wait until it is known whose they are."""

corrections = Table(
    "corrections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", _TEXT, nullable=False),
    Column("study", _TEXT, nullable=False),
    Column("new_study", _TEXT, nullable=False),
    Column("fingerprint", _TEXT),
    Column("actor", _TEXT, nullable=False),
    Column("reason", _TEXT, nullable=False),
    Column("at", Double, nullable=False),
    Column("keywords", _TEXT, nullable=False),
    Index("corrections_fingerprint", "fingerprint"),
)
"""What was corrected after it was released; rows are only ever added."""

rejected = Table(
    "rejected",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("correction_id", ForeignKey("corrections.id"), nullable=False),
    Column("StudyInstanceUID", _TEXT, nullable=False),
    Column("SeriesInstanceUID", _TEXT, nullable=False),
    Column("SOPInstanceUID", _TEXT, nullable=False),
    Column("slide_id", ForeignKey("slides.id"), nullable=False),
    Column("transfer_syntax", _TEXT, nullable=False),
    Column("number_of_frames", Integer, nullable=False),
    Column("header", _TEXT, nullable=False),
    Column("frame_table", _TEXT, nullable=False),
    Column("frames", _TEXT),  # as of instances
    Index("rejected_instance", "SOPInstanceUID", unique=True),
    Index("rejected_series", "SeriesInstanceUID"),
    Index("rejected_correction", "correction_id"),
)
"""Instances that were issued under a wrong patient or study, as they were."""

epoch = Table("epoch", metadata, Column("number", BigInteger, nullable=False))
"""One row; every writing transaction adds one to it before all else."""
