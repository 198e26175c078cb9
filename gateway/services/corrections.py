"""Corrections after release: what was said of a slide, or whose it was said to be, was wrong.

Frames are never touched: other headers take their place over the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydicom.dataset import Dataset

from gateway.core.errors import Conflict, NotFound, Unmatched
from gateway.core.identity import Correction, CorrectionKind, Revision
from gateway.core.instances import Identified, Instance, InstanceKey, Slide
from gateway.core.ports import Index, SlideLibrary, WorklistRow
from gateway.core.storage import BlobStore
from gateway.dicom.attributes import indexed_attributes
from gateway.dicom.corrections import differences, with_original_attributes
from gateway.dicom.streams.part10 import decode_header
from gateway.services.documents import document_blob, document_name
from gateway.services.names import Names

_MOST_STUDIES = 100
"""Studies beside an accession number's own that mistakes may have used up."""


@dataclass(frozen=True, slots=True)
class Change:
    """One attribute that a correction changes.

    Parameters
    ----------
    keyword
        Of the attribute.
    before, after
        Its values for people; those of sequences are not told.
    """

    keyword: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, eq=False)
class PlannedCorrection:
    """What a correction will do.

    Parameters
    ----------
    correction
        What will be recorded.
    identified
        What the slide's Study Instance UID derives from, then.
    revisions
        Headers that take the place of others.
    blobs
        What is written before: name -> bytes.
    changes
        What changes in the first instance.
    left
        Instances that stay in the study that was wrong: they came from elsewhere, and may speak
        of the slide.
    """

    correction: Correction
    identified: Identified
    revisions: Sequence[Revision]
    blobs: dict[str, bytes]
    changes: Sequence[Change]
    left: int


class Corrections:
    """Corrects whose slides are after they were released."""

    def __init__(
        self, index: Index, store: BlobStore, library: SlideLibrary, clock: Callable[[], float]
    ) -> None:
        self._index = index
        self._store = store
        self._library = library
        self._clock = clock

    def listed(self) -> list[Correction]:
        """Return all corrections, oldest first."""
        return self._index.corrections()

    def plan(
        self, name: str, row: str | None, kind: CorrectionKind, actor: str, reason: str
    ) -> PlannedCorrection:
        """Say what a correction will do; nothing is changed yet.

        Parameters
        ----------
        name
            Path or fingerprint of a slide, UID of its series, or of a study.
        row
            Row of the worklist that says what is true; None if it has only one.
        actor
            Who does it.
        reason
            Why, for people.

        Raises
        ------
        NotFound
            If there is no such slide.
        Conflict
            If the row says what is stored already, contradicts the file, or does not fit the kind.
        """
        said = self._library.row(row)
        study, slide = self._found(name)
        fingerprint = slide.file.fingerprint if slide else None
        now = self._clock()
        correction = Correction(kind, study, study, fingerprint, actor, reason, now, ())
        if kind is CorrectionKind.DETAILS:
            return self._details(correction, slide, said)
        if slide is None:
            raise Conflict(
                "The study came as DICOM objects. Objects of another patient must be sent again "
                "under other UIDs by the system that made them.",
                study=study,
            )
        return self._identity(correction, slide, said)

    def apply(self, planned: PlannedCorrection) -> None:
        """Do what was planned: at all doors at once, or not at all.

        Raises
        ------
        Conflict
            If what was to be corrected has changed since it was planned.
        """
        self._store.put_all(planned.blobs)  # before the rows that name them
        self._index.correct(planned.correction, planned.revisions, planned.identified)

    def _details(
        self, correction: Correction, slide: Slide | None, row: WorklistRow
    ) -> PlannedCorrection:
        """Plan new headers for all instances of a study; UIDs stay."""
        identified = Identified.NONE
        if slide:
            nobodys = slide.identified is Identified.NONE
            given, identified = row.study(slide, 0)
            if given != slide.study and (nobodys or identified is Identified.ORDER):
                raise Conflict(
                    "The row's order has a study of its own, another than that of the slide: use "
                    "--kind identity.",
                    study=slide.study,
                )
            if not nobodys:
                identified = slide.identified
        at = datetime.fromtimestamp(correction.at, UTC)
        of_slide = self._index.instances_of(slide.file.fingerprint) if slide else []
        own = {instance.key for instance, _ in of_slide}
        revisions, blobs, keywords = [], dict[str, bytes](), dict[str, None]()
        changes: list[Change] = []
        for instance in self._index.instances(correction.study):
            before = self._store.get(instance.header)
            after = row.rewritten(before, slide if instance.key in own else None)
            found = _changes(before, after)
            changes = changes or found
            revised = instance
            if found:
                keywords |= dict.fromkeys(change.keyword for change in found)
                after = with_original_attributes(before, after, at)
                revised = _renewed(instance, instance.key, after)
                blobs |= _blobs(revised, after)
            revisions.append(_revision(instance, revised, after))
        if not blobs:
            raise Conflict("The row says what is stored already.", study=correction.study)
        correction = replace(correction, keywords=tuple(keywords))
        return PlannedCorrection(correction, identified, revisions, blobs, changes, 0)

    def _identity(
        self, correction: Correction, slide: Slide, row: WorklistRow
    ) -> PlannedCorrection:
        """Plan other instances over the same frames; the old ones are rejected."""
        fingerprint = slide.file.fingerprint
        old = self._index.instances_of(fingerprint)
        study, identified = self._study(slide, row, old[0][0])
        issue = self._index.rejections(fingerprint).count(study)
        revisions, blobs, keywords = [], dict[str, bytes](), dict[str, None]()
        changes: list[Change] = []
        for instance, role in old:
            before = self._store.get(instance.header)
            key, after = row.reissued(before, slide, role, study, issue)
            reissued = _renewed(instance, key, after)
            blobs |= _blobs(reissued, after)
            found = _changes(before, after)
            changes = changes or found
            keywords |= dict.fromkeys(change.keyword for change in found)
            revisions.append(_revision(instance, reissued, after))
        left = len(self._index.instances(slide.study)) - sum(
            other.instances for other in self._index.slides([slide.study])
        )
        correction = replace(correction, new_study=study, keywords=tuple(keywords))
        return PlannedCorrection(correction, identified, revisions, blobs, changes, left)

    def _study(self, slide: Slide, row: WorklistRow, first: Instance) -> tuple[str, Identified]:
        """Return the study of the right patient; a UID that was another's is passed over."""
        said = row.rewritten(self._store.get(first.header), slide)
        attributes = indexed_attributes(decode_header(said), first.transfer_syntax)
        for issue in range(_MOST_STUDIES):
            study, identified = row.study(slide, issue)
            if self._index.is_anothers(study, attributes):
                continue
            if study == slide.study:
                raise Conflict(
                    "The row names the patient and the study that the slide is stored with: use "
                    "--kind details.",
                    study=study,
                )
            return study, identified
        raise Conflict(
            "The study of the order is, or once was, another patient's: a UID never serves two. "
            "Is it the right row? Else give the order in the row another Study Instance UID.",
            study=study,
        )

    def _found(self, name: str) -> tuple[str, Slide | None]:
        """Return the study and the slide that a name is of; received studies have no slide."""
        path = os.path.abspath(name)
        slides = [
            slide
            for slide in self._index.slides()
            if name in (slide.file.fingerprint, slide.series, slide.study)
            or path == slide.file.path
        ]
        if len(slides) > 1:
            raise Conflict(
                f"There are {len(slides)} slides in the study; name one by its path, its "
                "fingerprint or the UID of its series.",
                study=name,
            )
        if slides:
            return slides[0].study, slides[0]
        for waiting in self._index.quarantined():
            if name == waiting.file.fingerprint or path == waiting.file.path:
                raise Unmatched(
                    "The slide was not released yet: it waits for its metadata. Use "
                    "'slidegate match'.",
                    fingerprint=waiting.file.fingerprint,
                )
        try:
            return self._index.instances(name)[0].key.study, None
        except NotFound as error:
            raise NotFound(f"There is no slide and no study {name}.") from error


def _changes(before: bytes, after: bytes) -> list[Change]:
    old, new = decode_header(before), decode_header(after)
    return [
        Change(keyword, _value(old, keyword), _value(new, keyword))
        for keyword in differences(old, new)
    ]


def _value(dataset: Dataset, keyword: str) -> str:
    if keyword not in dataset or dataset[keyword].is_empty:
        return ""
    return "..." if dataset[keyword].VR == "SQ" else str(dataset[keyword].value)


def _blobs(instance: Instance, header: bytes) -> dict[str, bytes]:
    """Return what is written of an instance that has another header."""
    document = document_blob(header, instance.key, instance.transfer_syntax)
    return {instance.header: header, document_name(instance.header): document}


def _renewed(instance: Instance, key: InstanceKey, header: bytes) -> Instance:
    """Return an instance under these UIDs with another header over the same frames."""
    return replace(instance, key=key, header=Names.by_header(key, header).of("header"))


def _revision(before: Instance, after: Instance, header: bytes) -> Revision:
    attributes = indexed_attributes(decode_header(header), after.transfer_syntax)
    return Revision(before, after, attributes)
