"""Whose slides are: patients of studies, quarantine, corrections, rejected instances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("studies", sa.Column("IssuerOfPatientID", TEXT))
    op.add_column("slides", sa.Column("identified", TEXT, nullable=False, server_default="none"))
    op.add_column("slides", sa.Column("facts", TEXT, nullable=False, server_default="{}"))
    op.add_column("slides", sa.Column("recipe", TEXT, nullable=False, server_default="1"))
    op.add_column("instances", sa.Column("role", TEXT))
    _create_patients()
    _create_quarantine()
    _create_corrections()
    _create_rejected()


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True)


def _required(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, TEXT, nullable=False) for name in names]


def _optional(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, TEXT) for name in names]


def _create_patients() -> None:
    op.create_table(
        "patients", _id(), *_required("StudyInstanceUID", "identifier", "issuer", "name")
    )
    op.create_index("patients_study", "patients", ["StudyInstanceUID"], unique=True)
    op.execute(
        'INSERT INTO patients ("StudyInstanceUID", identifier, issuer, name) '
        "SELECT \"StudyInstanceUID\", coalesce(\"PatientID\", ''), '', "
        "coalesce(\"PatientName_match\", '') FROM studies"
    )


def _create_quarantine() -> None:
    op.create_table(
        "quarantine",
        _id(),
        *_required("fingerprint"),
        sa.Column("path", sa.LargeBinary, nullable=False),
        *_required("signature"),
        *_optional("barcode"),
        *_required("reason"),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("stated_spacing_um", sa.Double),
    )
    op.create_index("quarantine_fingerprint", "quarantine", ["fingerprint"], unique=True)


def _create_corrections() -> None:
    op.create_table(
        "corrections",
        _id(),
        *_required("kind", "study", "new_study"),
        *_optional("fingerprint"),
        *_required("actor", "reason"),
        sa.Column("at", sa.Double, nullable=False),
        *_required("keywords"),
    )
    op.create_index("corrections_fingerprint", "corrections", ["fingerprint"])


def _create_rejected() -> None:
    op.create_table(
        "rejected",
        _id(),
        sa.Column("correction_id", sa.Integer, sa.ForeignKey("corrections.id"), nullable=False),
        *_required("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
        sa.Column("slide_id", sa.Integer, sa.ForeignKey("slides.id"), nullable=False),
        *_required("transfer_syntax"),
        sa.Column("number_of_frames", sa.Integer, nullable=False),
        *_required("header", "frame_table"),
        *_optional("frames"),
    )
    op.create_index("rejected_instance", "rejected", ["SOPInstanceUID"], unique=True)
    op.create_index("rejected_series", "rejected", ["SeriesInstanceUID"])
    op.create_index("rejected_correction", "rejected", ["correction_id"])
