"""Instances that were received: their digest, and whether their blob is all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for name in ("received_header", "sha256"):
        op.add_column("instances", sa.Column(name, TEXT))
