"""An index of a million instances: studies and series of a real archive, instances made for them.

The series are those of the NCI Imaging Data Commons, whose table comes with the wheel
``idc-index-data``: nothing is fetched. Names of patients, accession numbers, times and specimens
are made, for the archive has none. The rows are written into the index's own tables past its
transactions, as adding a million instances one by one would take the better part of a day.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import md5
from itertools import islice
from typing import Any, Final

import psycopg
from pydicom.dataset import Dataset
from sqlalchemy import Table

from gateway.core.instances import JPEG_BASELINE
from gateway.core.ports import Attributes
from gateway.core.queries import QueryLevel
from gateway.dicom.streams.part10 import encode_header
from gateway.index import tables
from gateway.index.terms import term_rows
from gateway.index.work import open_index

_BATCH: Final = 20_000
_MOST_OF_A_SERIES: Final = 10
_LAST_NAMES: Final = [
    "Smith",
    "Müller",
    "García",
    "Nguyen",
    "Ito",
    "Okafor",
    "Kowalski",
    "Rossi",
    "Novák",
    "Li",
]
_FIRST_NAMES: Final = [
    "Ann",
    "Ben",
    "Chen",
    "Dora",
    "Emil",
    "Fatima",
    "Giulia",
    "Hugo",
    "Ines",
    "Jürg",
]
HEADER: Final = "archive.header"
"""Name of the blob that is the header of every instance."""

_COLUMNS: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "PatientSex",
    "StudyDate",
    "StudyDescription",
    "BodyPartExamined",
    "Modality",
    "SOPClassUID",
    "Manufacturer",
    "ManufacturerModelName",
    "SeriesDate",
    "SeriesDescription",
    "SeriesNumber",
    "instanceCount",
)


@dataclass(frozen=True, slots=True)
class Archive:
    """What is in the index: how much, and values to search for.

    Parameters
    ----------
    studies, series, instances
        How many there are.
    sample
        Attributes of some instances.
    """

    studies: int
    series: int
    instances: int
    sample: Sequence[Attributes]


def header() -> bytes:
    """Return a header with what searches by specimen return."""
    item = Dataset()
    item.SpecimenIdentifier = "A1"
    dataset = Dataset()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, "2.25.1")
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    dataset.SpecimenDescriptionSequence = [item]
    return encode_header(dataset, JPEG_BASELINE)


def table_is_there() -> bool:
    """Whether the table of the archive, and what reads it, is installed."""
    try:
        import idc_index_data
        import pyarrow.parquet
    except ImportError:
        return False
    return bool(idc_index_data.IDC_INDEX_PARQUET_FILEPATH and pyarrow.parquet)


def fill(url: str, instances: int) -> Archive:
    """Fill an empty index.

    Parameters
    ----------
    url
        Of an SQLite or PostgreSQL database.
    instances
        How many there will be, at least.
    """
    open_index(url).close()  # makes the tables
    chosen = _studies(instances)
    writer = _Writer(url)
    drawn = random.Random(1)
    sample: list[Attributes] = []
    for level, owner, attributes, row in _rows(chosen):
        writer.add(level, row, term_rows(level, owner, attributes))
        if level is QueryLevel.INSTANCE and drawn.random() < 0.001:
            sample.append(attributes)
    writer.finish()
    counts = [writer.counts[level] for level in QueryLevel]
    return Archive(counts[0], counts[1], counts[2], sample)


def _batches(columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    import idc_index_data
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)
    for batch in file.iter_batches(50_000, columns=list(columns)):
        yield from batch.to_pylist()


def _studies(instances: int) -> set[str]:
    """Return studies of all kinds that have about so many instances."""
    sizes: dict[str, int] = {}
    for row in _batches(("StudyInstanceUID", "instanceCount")):
        study = row["StudyInstanceUID"]
        sizes[study] = sizes.get(study, 0) + min(row["instanceCount"], _MOST_OF_A_SERIES)
    chosen, total = set(), 0
    for study in sorted(sizes, key=lambda uid: md5(uid.encode(), usedforsecurity=False).digest()):
        if total >= instances:
            break
        chosen.add(study)
        total += sizes[study]
    return chosen


_Row = tuple[QueryLevel, int, dict[str, str], dict[str, Any]]


def _rows(chosen: set[str]) -> Iterator[_Row]:
    """Yield level, number, attributes and columns of each row, parents before children."""
    studies: dict[str, int] = {}
    series_id = instance_id = 0
    for row in _batches(_COLUMNS):
        if (uid := row["StudyInstanceUID"]) not in chosen:
            continue
        series_id += 1
        said = _attributes(row, len(studies) + 1 if uid not in studies else studies[uid])
        if uid not in studies:
            studies[uid] = len(studies) + 1
            yield _row(QueryLevel.STUDY, studies[uid], said, {})
        yield _row(QueryLevel.SERIES, series_id, said, {"study_id": studies[uid]})
        for number in range(min(row["instanceCount"], _MOST_OF_A_SERIES)):
            instance_id += 1
            instance = said | _instance(said, number)
            place = {
                "series_id": series_id,
                "transfer_syntax": JPEG_BASELINE,
                "number_of_frames": 1,
                "header": HEADER,
                "frame_table": f"{instance_id}.frames",
                "frames": f"{instance_id}.dcm",
            }
            yield _row(QueryLevel.INSTANCE, instance_id, instance, place)


def _row(level: QueryLevel, number: int, said: dict[str, str], place: dict[str, Any]) -> _Row:
    row: dict[str, Any] = tables.attribute_row(level, said) | place | {"id": number}
    return level, number, said, row


def _attributes(row: dict[str, Any], study: int) -> dict[str, str]:
    """Return what the index keeps of a series; what the archive does not say is made."""
    said = {name: str(row[name]) for name in _COLUMNS[:-1] if row[name] is not None}
    for name in ("StudyDate", "SeriesDate"):
        said[name] = said.get(name, "").replace("-", "")
    patient = int.from_bytes(md5(row["PatientID"].encode(), usedforsecurity=False).digest()[:4])
    name = f"{_LAST_NAMES[patient % 10]}{patient // 100 % 997}^{_FIRST_NAMES[patient // 10 % 10]}"
    return said | {
        "PatientName": name,
        "AccessionNumber": f"A{study:08}",
        "StudyID": str(study),
        "StudyTime": f"{study % 24:02}{study % 60:02}00",
    }


def _uid(of: str, number: int) -> str:
    digest = md5(f"{of} {number}".encode(), usedforsecurity=False).digest()
    return f"2.25.{int.from_bytes(digest)}"


def _instance(said: dict[str, str], number: int) -> dict[str, str]:
    own = {
        "SOPInstanceUID": _uid(said["SeriesInstanceUID"], number),
        "InstanceNumber": str(number + 1),
        "AvailableTransferSyntaxUID": JPEG_BASELINE,
        "ImageType": "ORIGINAL\\PRIMARY\\VOLUME\\NONE",
        "Rows": "512",
        "Columns": "512",
        "BitsAllocated": "8",
        "NumberOfFrames": "1000",
    }
    if said["Modality"] == "SM":
        specimen = "SpecimenDescriptionSequence[0]"
        path = "OpticalPathSequence[0]"
        own |= {
            f"{specimen}.SpecimenIdentifier": f"{said['AccessionNumber']};A;1",
            f"{specimen}.SpecimenUID": _uid(said["StudyInstanceUID"], 0),
            f"{specimen}.PrimaryAnatomicStructureSequence[0].CodeValue": "76752008",
            f"{specimen}.PrimaryAnatomicStructureSequence[0].CodingSchemeDesignator": "SCT",
            f"{path}.OpticalPathIdentifier": "1",
            f"{path}.IlluminationTypeCodeSequence[0].CodeValue": "111744",
            f"{path}.IlluminationTypeCodeSequence[0].CodingSchemeDesignator": "DCM",
        }
    return own


class _Writer:
    """Writes rows in batches, by the fastest way of each database."""

    def __init__(self, url: str) -> None:
        self.counts = dict.fromkeys(QueryLevel, 0)
        self._url = url
        self._waiting: dict[Table, list[dict[str, Any]]] = {}

    def add(self, level: QueryLevel, row: dict[str, Any], terms: Iterable[dict[str, Any]]) -> None:
        """Take a row and its terms."""
        self.counts[level] += 1
        self._waiting.setdefault(tables.TABLES[level], []).append(row)
        self._waiting.setdefault(tables.TERMS[level], []).extend(terms)
        if level is QueryLevel.INSTANCE and self.counts[level] % _BATCH == 0:
            self._write()

    def finish(self) -> None:
        """Write what is left, and tell the database how much there is."""
        self._write()
        if self._is_sqlite:
            with closing(sqlite3.connect(self._url.removeprefix("sqlite:///"))) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        with psycopg.connect(self._url, autocommit=True) as server:
            for table in (*tables.TABLES.values(), *tables.TERMS.values()):
                # As autovacuum does, where it has time.
                server.execute(f"VACUUM ANALYZE {table.name}".encode())

    @property
    def _is_sqlite(self) -> bool:
        return self._url.startswith("sqlite")

    def _write(self) -> None:
        for table in (*tables.TABLES.values(), *tables.TERMS.values()):  # parents first
            if rows := self._waiting.get(table):
                names = [column.name for column in table.c if column.name in rows[0]]
                values = (tuple(row[name] for name in names) for row in rows)
                self._insert(table.name, names, values)
        self._waiting.clear()

    def _insert(self, table: str, names: list[str], values: Iterator[tuple[Any, ...]]) -> None:
        columns = ", ".join(f'"{name}"' for name in names)
        if self._is_sqlite:
            with closing(sqlite3.connect(self._url.removeprefix("sqlite:///"))) as connection:
                connection.execute("PRAGMA synchronous = OFF")
                marks = ", ".join("?" * len(names))
                statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
                connection.executemany(statement, values)
                connection.commit()
            return
        with psycopg.connect(self._url) as server, server.cursor() as cursor:
            copied = f"COPY {table} ({columns}) FROM STDIN".encode()
            with cursor.copy(copied) as copy:
                while batch := list(islice(values, 1000)):
                    for row in batch:
                        copy.write_row(row)
