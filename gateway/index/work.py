"""The rows behind the doors: the port Index over SQLite or PostgreSQL.

Every writing transaction first adds one to the epoch. That makes what it changed known to all
processes when it commits, and makes writers wait for each other from the start, on PostgreSQL
as on SQLite: nothing that a transaction has read can change before it commits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    Table,
    bindparam,
    func,
    insert,
    select,
    update,
)

from gateway.core.errors import Conflict, DuplicateInstance, NotFound
from gateway.core.identity import Correction, CorrectionKind, QuarantinedSlide, Revision
from gateway.core.instances import (
    FileFacts,
    Identified,
    Instance,
    InstanceKey,
    LinkedFile,
    Signature,
    Slide,
    SlideState,
)
from gateway.core.ports import Attributes, Holding, Match, SlidePlan
from gateway.core.queries import Query, QueryLevel
from gateway.index import identity, tables, terms
from gateway.index.connect import connect, translating, writer
from gateway.index.readers import Readers
from gateway.index.search import Searches

_study_uid: Final = tables.studies.c.StudyInstanceUID
_series_uid: Final = tables.series.c.SeriesInstanceUID
_instance_uid: Final = tables.instances.c.SOPInstanceUID
_FILE: Final = (tables.slides.c.path, tables.slides.c.fingerprint, tables.slides.c.signature)

_INSTANCES: Final = (
    select(
        _study_uid,
        _series_uid,
        _instance_uid,
        tables.instances.c.transfer_syntax,
        tables.instances.c.number_of_frames,
        tables.instances.c.header,
        tables.instances.c.frame_table,
        tables.instances.c.frames,
        tables.instances.c.received_header,
        *_FILE,
    )
    .join_from(tables.studies, tables.series)
    .join(tables.instances, tables.instances.c.series_id == tables.series.c.id)
    .outerjoin(tables.slides, tables.instances.c.slide_id == tables.slides.c.id)
)
_INSTANCE: Final = _INSTANCES.where(
    _study_uid == bindparam("study"),
    _series_uid == bindparam("series"),
    _instance_uid == bindparam("instance"),
)
_SLIDES: Final = (
    select(
        _study_uid,
        _series_uid,
        *_FILE,
        tables.slides.c.identity,
        tables.slides.c.state,
        select(func.count())
        .where(tables.instances.c.slide_id == tables.slides.c.id)
        .scalar_subquery(),
        tables.slides.c.sha256,
        tables.slides.c.identified,
        tables.slides.c.facts,
        tables.slides.c.recipe,
    )
    .join_from(tables.slides, tables.series)
    .join(tables.studies)
)


def open_index(url: str | Path) -> SqlIndex:
    """Open the index of a database; make or bring forward its tables where needed.

    Parameters
    ----------
    url
        File of an SQLite database; or ``sqlite:////path/slidegate.db`` or
        ``postgresql://user:password@host/name``, with parameters of the driver after a question
        mark.

    Raises
    ------
    InvalidInput
        If the URL is malformed or of another database.
    Unavailable
        If the database does not answer.
    GatewayError
        If the database was written by a newer Slidegate.
    """
    return SqlIndex(connect(url))


class SqlIndex:
    """The port :class:`gateway.core.ports.Index`; threads may share it, and so may forks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = writer(engine)
        self._readers = Readers(engine)
        self._searches = Searches(engine)
        self._epoch = str(select(tables.epoch.c.number).compile(engine))
        self._instance = str(_INSTANCE.compile(engine))

    def close(self) -> None:
        """Close the connections that no thread is using."""
        self._engine.dispose()

    def epoch(self) -> int:
        """Return a number that grows with every commit of any process."""
        row = self._readers.row(self._epoch, {})
        assert row is not None
        return int(row[0])

    def instance(self, key: InstanceKey) -> Instance:
        """Return one instance, or raise NotFound."""
        sought = {"study": key.study, "series": key.series, "instance": key.instance}
        row = self._readers.row(self._instance, sought)
        if row is None:
            raise NotFound("There is no such instance.", **sought)
        return _instance(*row)

    def instances(
        self, study: str, series: str | None = None, instance: str | None = None
    ) -> list[Instance]:
        """Return the instances of a study, series or instance in the order they came."""
        wanted = _INSTANCES.where(_study_uid == study).order_by(tables.instances.c.id)
        if series is not None:
            wanted = wanted.where(_series_uid == series)
        if instance is not None:
            wanted = wanted.where(_instance_uid == instance)
        found = [_instance(*row) for row in self._rows(wanted)]
        if not found:
            raise NotFound("There is no such study, series or instance.", study=study)
        return found

    def holding(self, sop_instance: str) -> Holding | None:
        """Return the instance of a SOP Instance UID, or None."""
        wanted = _INSTANCES.add_columns(tables.instances.c.sha256)
        rows = self._rows(wanted.where(_instance_uid == sop_instance))
        return Holding(_instance(*rows[0][:-1]), rows[0][-1]) if rows else None

    def check_study(self, attributes: Attributes) -> None:
        """Raise Conflict if an instance contradicts what is stored of its study or series."""
        with translating(), self._engine.connect() as connection:
            identity.check(connection, attributes)

    def add_instance(self, instance: Instance, attributes: Attributes, sha256: str) -> None:
        """Commit an instance that was received, or raise DuplicateInstance or Conflict."""
        uid = instance.key.instance
        with self._writing() as connection:
            # Writers wait for each other: what is not there now, nobody else is adding.
            if connection.execute(select(_instance_uid).where(_instance_uid == uid)).first():
                raise DuplicateInstance(instance=uid)
            identity.check(connection, attributes)
            series_id = _series(connection, _study(connection, attributes), attributes)
            row = tables.attribute_row(QueryLevel.INSTANCE, attributes) | _place(instance)
            row |= {"series_id": series_id, "sha256": sha256}
            instance_id = _insert(connection, tables.instances, row)
            terms.add(connection, QueryLevel.INSTANCE, [(instance_id, attributes)])

    def search(self, query: Query) -> Iterator[Match]:
        """Return the matches in the order in which they came."""
        return self._searches.matches(query)

    def untold(self, before: int | None, most: int) -> list[tuple[int, InstanceKey]]:
        """Return instances of which the index does not keep yet all that it could."""
        wanted = terms.UNTOLD.limit(most)
        if before is not None:
            wanted = wanted.where(tables.untold.c.instance_id < before)
        return [(number, InstanceKey(*uids)) for number, *uids in self._rows(wanted)]

    def complete(self, told: Sequence[tuple[InstanceKey, Attributes]]) -> None:
        """Keep of instances what the index keeps now."""
        with self._writing() as connection:
            for key, attributes in told:
                terms.complete(connection, key, attributes)

    def add_slide(
        self,
        plan: SlidePlan,
        instances: Sequence[Instance],
        due: float,
        sha256: str | None = None,
    ) -> None:
        """Commit a slide and all its instances, or raise Conflict."""
        attributes = plan.instances[0].attributes
        with self._writing() as connection:
            for planned in plan.instances:
                identity.check(connection, planned.attributes)
            identity.check_details(connection, attributes)
            identity.release(connection, plan.file.fingerprint)
            study_id = _study(connection, attributes)
            series_id = _series(connection, study_id, attributes)
            slide = _file(plan.file) | {
                "series_id": series_id,
                "identity": plan.identity,
                "state": SlideState.MATERIALISED if sha256 else SlideState.LINKED,
                "due": due,
                "sha256": sha256,
                "identified": plan.identified,
                "facts": json.dumps(asdict(plan.facts)),
                "recipe": plan.recipe,
            }
            slide_id = _insert(connection, tables.slides, slide)
            rows = [
                tables.attribute_row(QueryLevel.INSTANCE, planned.attributes)
                | _place(instance)
                | {"series_id": series_id, "slide_id": slide_id, "role": planned.role}
                for planned, instance in zip(plan.instances, instances, strict=True)
            ]
            added = insert(tables.instances).returning(
                tables.instances.c.id, sort_by_parameter_order=True
            )
            numbers = connection.execute(added, rows).scalars().all()
            told = [planned.attributes for planned in plan.instances]
            terms.add(connection, QueryLevel.INSTANCE, zip(numbers, told, strict=True))

    def check_slide(self, attributes: Attributes) -> None:
        """Raise Conflict if a slide contradicts what is stored of its study."""
        with translating(), self._engine.connect() as connection:
            identity.check(connection, attributes)
            identity.check_details(connection, attributes)

    def is_anothers(self, study: str, attributes: Attributes) -> bool:
        """Whether a study is, or once was, of another patient than an instance."""
        with translating(), self._engine.connect() as connection:
            return identity.is_anothers(connection, study, identity.patient_of(attributes))

    def quarantine(self, slide: QuarantinedSlide) -> None:
        """Record that a slide waits, unless it has been added meanwhile."""
        row = _file(slide.file) | {
            "barcode": slide.barcode,
            "reason": slide.reason,
            "at": slide.at,
            "stated_spacing_um": slide.stated_spacing_um,
        }
        with self._writing() as connection:
            identity.release(connection, slide.file.fingerprint)
            if not identity.is_added(connection, slide.file.fingerprint):
                _insert(connection, tables.quarantine, row)

    def quarantined(self) -> list[QuarantinedSlide]:
        """Return the slides that wait, in the order they were tried."""
        waiting = tables.quarantine.c
        wanted = select(
            waiting.path,
            waiting.fingerprint,
            waiting.signature,
            waiting.barcode,
            waiting.reason,
            waiting.at,
            waiting.stated_spacing_um,
        ).order_by(waiting.id)
        return [QuarantinedSlide(_linked(*row[:3]), *row[3:]) for row in self._rows(wanted)]

    def correct(
        self, correction: Correction, revisions: Sequence[Revision], identified: Identified
    ) -> None:
        """Put headers in place of others, all at once; see the port."""
        with self._writing() as connection:
            number = identity.record(connection, correction)
            if correction.kind is CorrectionKind.DETAILS:
                identity.refuse_others(connection, correction.study, revisions)
                for revision in reversed(revisions):  # series and study say what the first says
                    identity.revise(connection, revision)
            else:
                self._reissue(connection, number, correction, revisions)
            if correction.fingerprint is not None:
                _update_slide(connection, correction.fingerprint, {"identified": identified})

    @staticmethod
    def _reissue(
        connection: Connection, number: int, correction: Correction, revisions: Sequence[Revision]
    ) -> None:
        assert correction.fingerprint is not None
        attributes = revisions[0].attributes
        for revision in revisions:
            identity.check(connection, revision.attributes)
        identity.check_details(connection, attributes)
        series_id = _series(connection, _study(connection, attributes), attributes)
        for revision in revisions:
            identity.reject(connection, number, revision)
            identity.reissue(connection, revision, series_id)
        identity.move(connection, correction.fingerprint, series_id)

    def corrections(self) -> list[Correction]:
        """Return all corrections, oldest first."""
        return [identity.correction(row) for row in self._rows(identity.CORRECTIONS)]

    def instances_of(self, fingerprint: str) -> list[tuple[Instance, str]]:
        """Return the instances of a slide in the order they came, each with its role."""
        wanted = _INSTANCES.add_columns(tables.instances.c.role).order_by(tables.instances.c.id)
        rows = self._rows(wanted.where(tables.slides.c.fingerprint == fingerprint))
        return [(_instance(*row[:-1]), row[-1] or "") for row in rows]

    def rejections(self, fingerprint: str) -> list[str]:
        """Return the studies in which instances of a slide were rejected."""
        return [study for (study,) in self._rows(identity.rejections_of(fingerprint))]

    def slide(self, fingerprint: str) -> Slide | None:
        """Return the slide of a fingerprint, or None."""
        rows = self._rows(_SLIDES.where(tables.slides.c.fingerprint == fingerprint))
        return _slide(*rows[0]) if rows else None

    def slides(self, studies: Sequence[str] = ()) -> list[Slide]:
        """Return all slides, or those of some studies, in the order they were added."""
        wanted = _SLIDES.where(_study_uid.in_(studies)) if studies else _SLIDES
        return [_slide(*row) for row in self._rows(wanted.order_by(tables.slides.c.id))]

    def relink(self, file: LinkedFile) -> None:
        """Record where a slide lies now; NotFound if there is none of the fingerprint."""
        with self._writing() as connection:
            _update_slide(connection, file.fingerprint, _file(file))

    def materialised(self, fingerprint: str, sha256: str, instances: Sequence[Instance]) -> None:
        """Swap the frames under all instances of a slide, and record its full digest.

        Raises
        ------
        NotFound
            If there is no slide of the fingerprint.
        Conflict
            If the instances are not exactly those of the slide; nothing is changed then.
        """
        state = {"state": SlideState.MATERIALISED, "sha256": sha256}
        with self._writing() as connection:
            slide_id = _update_slide(connection, fingerprint, state)
            of_slide = tables.instances.c.slide_id == slide_id
            stored = connection.execute(select(_instance_uid).where(of_slide)).scalars()
            if set(stored) != {instance.key.instance for instance in instances}:
                raise Conflict("The instances are not those of the slide.")
            for instance in instances:
                place = _place(instance)
                del place["header"]  # it may have been corrected meanwhile
                this = _instance_uid == instance.key.instance
                connection.execute(update(tables.instances).where(this).values(place))

    def due_slides(self, now: float) -> list[Slide]:
        """Return the linked slides whose time to be materialised has come, oldest first."""
        slides = tables.slides.c
        due = _SLIDES.where(slides.state == SlideState.LINKED, slides.due <= now)
        return [_slide(*row) for row in self._rows(due.order_by(slides.due, slides.id))]

    def stock(self, now: float) -> Mapping[str, int]:
        """Return how many slides are linked, materialised, due since a time, and in quarantine."""
        slides = tables.slides.c
        linked = slides.state == SlideState.LINKED
        wanted = {
            "linked": select(func.count()).where(linked),
            "materialised": select(func.count()).where(slides.state == SlideState.MATERIALISED),
            "due": select(func.count()).where(linked, slides.due <= now),
            "quarantined": select(func.count()).select_from(tables.quarantine),
        }
        (row,) = self._rows(select(*(one.scalar_subquery() for one in wanted.values())))
        return dict(zip(wanted, row, strict=True))

    def postpone(self, fingerprint: str, due: float) -> None:
        """Say when a slide may be materialised; NotFound if there is none."""
        with self._writing() as connection:
            _update_slide(connection, fingerprint, {"due": due})

    def _rows(self, statement: Select[Any]) -> Sequence[Any]:
        with translating(), self._engine.connect() as connection:
            return connection.execute(statement).all()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with translating(), self._writer.begin() as connection:
            connection.execute(update(tables.epoch).values(number=tables.epoch.c.number + 1))
            yield connection


def _linked(path: bytes, fingerprint: str, signature: str) -> LinkedFile:
    return LinkedFile(os.fsdecode(path), fingerprint, Signature.parse(signature))


def _file(file: LinkedFile) -> dict[str, Any]:
    return {
        "path": os.fsencode(file.path),
        "fingerprint": file.fingerprint,
        "signature": str(file.signature),
    }


def _instance(
    study: str,
    series: str,
    instance: str,
    transfer_syntax: str,
    number_of_frames: int,
    header: str,
    frame_table: str,
    frames: str | None,
    received_header: str | None,
    *file: Any,
) -> Instance:
    return Instance(
        InstanceKey(study, series, instance),
        transfer_syntax,
        number_of_frames,
        header,
        frame_table or None,  # no column of it was ever NULL
        _linked(*file) if frames is None else frames,
        received_header,
    )


def _place(instance: Instance) -> dict[str, Any]:
    return {
        "transfer_syntax": instance.transfer_syntax,
        "number_of_frames": instance.number_of_frames,
        "header": instance.header,
        "frame_table": instance.frame_table or "",
        "frames": instance.frames if isinstance(instance.frames, str) else None,
        "received_header": instance.received_header,
    }


def _slide(
    study: str,
    series: str,
    path: bytes,
    fingerprint: str,
    signature: str,
    digest: str,
    state: str,
    instances: int,
    sha256: str | None,
    identified: str,
    facts: str,
    recipe: str,
) -> Slide:
    return Slide(
        study,
        series,
        _linked(path, fingerprint, signature),
        digest,
        SlideState(state),
        instances,
        sha256,
        Identified(identified),
        FileFacts(**json.loads(facts)),
        recipe,
    )


def _study(connection: Connection, attributes: Attributes) -> int:
    identity.claim(connection, attributes)
    row = tables.attribute_row(QueryLevel.STUDY, attributes)
    same = _study_uid == row[_study_uid.name]
    return _found_or_inserted(connection, QueryLevel.STUDY, same, row, attributes)


def _series(connection: Connection, study_id: int, attributes: Attributes) -> int:
    row = tables.attribute_row(QueryLevel.SERIES, attributes)
    same = (_series_uid == row[_series_uid.name]) & (tables.series.c.study_id == study_id)
    row_of_study = row | {"study_id": study_id}
    return _found_or_inserted(connection, QueryLevel.SERIES, same, row_of_study, attributes)


def _found_or_inserted(
    connection: Connection,
    level: QueryLevel,
    same: ColumnElement[bool],
    row: Mapping[str, Any],
    attributes: Attributes,
) -> int:
    table = tables.TABLES[level]
    found: int | None = connection.execute(select(table.c.id).where(same)).scalar()
    if found is None:
        found = _insert(connection, table, row)
        terms.add(connection, level, [(found, attributes)])
    return found


def _insert(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    key: int = connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one()
    return key


def _update_slide(connection: Connection, fingerprint: str, values: Mapping[str, Any]) -> int:
    this = tables.slides.c.fingerprint == fingerprint
    changed = update(tables.slides).where(this).values(values).returning(tables.slides.c.id)
    slide_id: int | None = connection.execute(changed).scalar()
    if slide_id is None:
        raise NotFound("There is no slide of this fingerprint.", fingerprint=fingerprint)
    return slide_id
