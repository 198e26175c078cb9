"""Terms of names and sequences; what series and instances tell besides."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.drop_index("studies_name", "studies")
    for keyword in ("PatientName", "ReferringPhysicianName"):
        op.drop_column("studies", f"{keyword}_match")
    op.add_column("series", sa.Column("RequestAttributesSequence", TEXT))
    op.add_column("instances", sa.Column("TimezoneOffsetFromUTC", TEXT))
    for level, owners in (("study", "studies"), ("series", "series"), ("instance", "instances")):
        _create_terms(f"{level}_terms", owners)
        op.create_index(f"{owners}_number", owners, ["id"])
    op.drop_index("instances_of_series", "instances")
    op.create_index("instances_of_series", "instances", ["series_id", "id"])
    op.create_table("untold", sa.Column("instance_id", sa.Integer, primary_key=True))
    op.execute("INSERT INTO untold SELECT id FROM instances")


def _create_terms(name: str, owners: str) -> None:
    op.create_table(
        name,
        sa.Column("owner_id", sa.Integer, sa.ForeignKey(f"{owners}.id"), nullable=False),
        *(sa.Column(column, TEXT, nullable=False) for column in ("path", "item", "form")),
        sa.PrimaryKeyConstraint("path", "form", "owner_id", "item"),
        sqlite_with_rowid=False,
    )
    op.create_index(f"{name}_of", name, ["owner_id"])
