"""Studies, series, instances, slides and the epoch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    _create_studies()
    _create_series()
    _create_slides()
    _create_instances()
    epoch = op.create_table("epoch", sa.Column("number", sa.BigInteger, nullable=False))
    op.bulk_insert(epoch, [{"number": 1}])


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True)


def _required(name: str) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False)


def _optional(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, TEXT) for name in names]


def _create_studies() -> None:
    op.create_table(
        "studies",
        _id(),
        _required("StudyInstanceUID"),
        *_optional("StudyDate", "StudyTime", "StudyTime_match", "AccessionNumber"),
        *_optional("ReferringPhysicianName", "ReferringPhysicianName_match"),
        *_optional("StudyDescription", "StudyID", "PatientName", "PatientName_match"),
        *_optional("PatientID", "PatientBirthDate", "PatientSex"),
    )
    op.create_index("studies_uid", "studies", ["StudyInstanceUID"], unique=True)
    op.create_index("studies_date", "studies", ["StudyDate"])
    op.create_index("studies_accession", "studies", ["AccessionNumber"])
    op.create_index("studies_patient", "studies", ["PatientID"])
    op.create_index("studies_name", "studies", ["PatientName_match"])


def _create_series() -> None:
    op.create_table(
        "series",
        _id(),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id"), nullable=False),
        _required("SeriesInstanceUID"),
        *_optional("Modality", "SeriesDescription", "SeriesNumber"),
        *_optional("SeriesDate", "SeriesTime", "SeriesTime_match"),
        *_optional("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
        *_optional("PerformedProcedureStepStartTime_match"),
        *_optional("Manufacturer", "ManufacturerModelName", "BodyPartExamined"),
        *_optional("FrameOfReferenceUID", "ContainerIdentifier"),
    )
    op.create_index("series_uid", "series", ["SeriesInstanceUID"], unique=True)
    op.create_index("series_of_study", "series", ["study_id", "Modality"])
    op.create_index("series_modality", "series", ["Modality", "study_id"])
    op.create_index("series_frame_of_reference", "series", ["FrameOfReferenceUID"])
    op.create_index("series_container", "series", ["ContainerIdentifier"])


def _create_slides() -> None:
    op.create_table(
        "slides",
        _id(),
        sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id"), nullable=False),
        _required("fingerprint"),
        _required("identity"),
        sa.Column("path", sa.LargeBinary, nullable=False),
        _required("signature"),
        _required("state"),
        sa.Column("due", sa.Double, nullable=False),
        *_optional("sha256"),
    )
    op.create_index("slides_fingerprint", "slides", ["fingerprint"], unique=True)
    op.create_index("slides_identity", "slides", ["identity"], unique=True)
    op.create_index("slides_series", "slides", ["series_id"])
    op.create_index("slides_due", "slides", ["state", "due"])


def _create_instances() -> None:
    op.create_table(
        "instances",
        _id(),
        sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id"), nullable=False),
        sa.Column("slide_id", sa.Integer, sa.ForeignKey("slides.id")),
        _required("SOPInstanceUID"),
        *_optional("SOPClassUID", "InstanceNumber", "ImageType", "ImageType_match"),
        *_optional("ContentDate", "ContentTime", "ContentTime_match"),
        *_optional("Rows", "Columns", "BitsAllocated", "NumberOfFrames"),
        *_optional("TotalPixelMatrixColumns", "TotalPixelMatrixRows"),
        *_optional("AvailableTransferSyntaxUID"),
        _required("transfer_syntax"),
        sa.Column("number_of_frames", sa.Integer, nullable=False),
        _required("header"),
        _required("frame_table"),
        *_optional("frames"),
    )
    op.create_index("instances_uid", "instances", ["SOPInstanceUID"], unique=True)
    op.create_index("instances_of_series", "instances", ["series_id"])
    op.create_index("instances_of_slide", "instances", ["slide_id"])
    op.create_index("instances_class", "instances", ["SOPClassUID"])
