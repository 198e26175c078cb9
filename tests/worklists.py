"""Worklists as laboratories write them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

FULL = {
    "barcode": "B1",
    "patient_id": "P1",
    "patient_id_issuer": "HOSPITAL",
    "patient_name": "Müller^Jürg=山田^太郎",
    "patient_birth_date": "1960-02-03",
    "patient_sex": "M",
    "accession": "S26-1",
    "accession_issuer": "HOSPITAL",
    "study_id": "1",
    "study_date": "2026-01-31",
    "study_time": "10:00",
    "study_description": "Haut, Exzision",
    "referring_physician": "Doe^Jane",
    "institution": "Universitätsspital",
    "department": "Pathologie",
    "series_description": "H&E",
    "body_part": "BREAST",
    "slide_id": "S26-1-A1-1",
    "slide_id_issuer": "HOSPITAL",
    "specimen_id": "S26-1-A1-1",
    "specimen_id_issuer": "HOSPITAL",
    "specimen_description": "left arm",
    "anatomic_site": "39937001^SCT^Skin",
    "part_id": "S26-1-A",
    "part_type": "tissue specimen",
    "collection_method": "Excision",
    "fixative": "Neutral Buffered Formalin",
    "block_id": "S26-1-A1",
    "block_type": "tissue specimen",
    "embedding_medium": "Paraffin wax",
    "sectioning_method": "Block sectioning",
    "stain": "12710003^SCT^hematoxylin stain; 36879007^SCT^water soluble eosin stain",
    "stain_protocol": "H&E routine",
    "label_text": "S26-1 A1",
    "model": "ScanScope",
}
"""A row that leaves nothing unsaid."""


def write_csv(path: Path, *rows: dict[str, str], delimiter: str = ",") -> Path:
    """Write rows as a table; columns are those of all rows."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, delimiter=delimiter, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_json(path: Path, *rows: Any) -> Path:
    """Write rows in the JSON form."""
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path
