"""Slides come in: added at once, materialised later."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from gateway.core.errors import Conflict, Contradicted, SourceChanged, Unmatched
from gateway.core.frames import CropTable, FrameTable
from gateway.core.identity import QuarantinedSlide
from gateway.core.instances import Identified, Instance, LinkedFile, Slide, SlideState
from gateway.core.ports import (
    Index,
    PlannedInstance,
    Progress,
    SlideLibrary,
    SlidePlan,
    UnmatchedSlide,
    WorklistRow,
)
from gateway.core.storage import Blob, BlobStore, Buffer
from gateway.dicom.attributes import empty_keywords, provenance
from gateway.dicom.corrections import differences
from gateway.dicom.streams.crops import cut_all
from gateway.dicom.streams.part10 import Part10, decode_header
from gateway.services.documents import document_blob, document_name
from gateway.services.links import Links
from gateway.services.names import Names

_READ = 8 << 20


class Ingest:
    """Adds slides and materialises them.

    Parameters
    ----------
    delay_s
        Seconds that an added slide waits before :meth:`due` names it.
    """

    def __init__(
        self,
        index: Index,
        store: BlobStore,
        library: SlideLibrary,
        links: Links,
        clock: Callable[[], float],
        delay_s: float,
    ) -> None:
        self._index = index
        self._store = store
        self._library = library
        self._links = links
        self._clock = clock
        self._delay_s = delay_s

    def add(
        self,
        path: str,
        stated_spacing_um: float | None = None,
        progress: Progress | None = None,
        *,
        row: str | None = None,
        unidentified: bool = False,
        fingerprint: str | None = None,
    ) -> Slide:
        """Make a slide servable; only its headers are read, unless it has to be decoded.

        A slide that is there already is not added twice: if it is lost where it was, it is linked
        to where it lies now. Where a worklist is configured that does not say whose slide it is,
        it waits in quarantine.

        Parameters
        ----------
        path
            Absolute path of the scanner's file.
        stated_spacing_um
            Pixel spacing of the base level in micrometres, if the file does not state it.
        progress
            Is told how far decoding has come.
        row
            Row of the worklist that the operator says is this slide's; None looks for it.
        unidentified
            Whether a slide that waits may be served as nobody's.
        fingerprint
            Of the slide that is meant; None takes what lies there.

        Raises
        ------
        SlideUnreadable
            If the file is damaged or of an unknown kind.
        Unmatched
            If nobody says whose slide it is, and somebody should.
        Conflict
            If it was added with another stated spacing, or as another's, or came as DICOM objects.
        SourceChanged
            If another slide lies there than the one that is meant.
        """
        plan = self._planned(path, stated_spacing_um, row)
        if fingerprint not in (None, plan.file.fingerprint):
            raise SourceChanged(
                f"{path} is another slide now than the one that waits. Put the right file back, or "
                "add this one with 'slidegate add'."
            )
        known = self._index.slide(plan.file.fingerprint)
        if isinstance(plan, UnmatchedSlide):
            if known is None:
                raise self._quarantined(plan, stated_spacing_um)
            return self._relinked(known, plan.file)
        if known is None:
            if plan.row is None and not unidentified:
                self._refuse_waiting(plan.file)
            known = self._added(plan, progress)
        self._refuse_other(known, plan)
        return self._relinked(known, plan.file)

    def _planned(
        self, path: str, stated_spacing_um: float | None, row: str | None
    ) -> SlidePlan | UnmatchedSlide:
        """Plan a slide in the study of its case.

        Where that is another patient's by mistake, it is the one that a correction began.
        """
        first = plan = self._library.plan(path, stated_spacing_um, row)
        issue = 0
        while (
            isinstance(plan, SlidePlan)
            and plan.identified is Identified.ACCESSION
            and self._index.is_anothers(plan.study, plan.said)
        ):
            issue += 1
            plan = self._library.plan(path, stated_spacing_um, row, issue)
            if isinstance(plan, UnmatchedSlide) or not self._index.slides([plan.study]):
                return first
        return plan

    def _added(self, plan: SlidePlan, progress: Progress | None) -> Slide:
        refused: Conflict | None = None
        try:
            if plan.decode:
                self._add_decoded(plan, progress)
            else:
                self._check(plan)
                self._store.put_all(_blobs(plan))  # before the rows that name them
                instances = [_linked(planned, plan.file) for planned in plan.instances]
                self._index.add_slide(plan, instances, self._clock())
        except Conflict as conflict:  # another process may just have added it
            refused = conflict
        added = self._index.slide(plan.file.fingerprint)
        if added is None:
            raise refused or Conflict(study=plan.study)
        return added

    def _check(self, plan: SlidePlan) -> None:
        """Compare what is said of a slide with what is stored of its study."""
        try:
            self._index.check_slide(plan.instances[0].attributes)
        except Conflict as conflict:
            raise Contradicted(conflict.detail, **conflict.context) from conflict

    def _add_decoded(self, plan: SlidePlan, progress: Progress | None) -> None:
        """Add a slide whose frames have to be made: as Part 10 blobs from the start.

        Its files are not needed afterwards. Nothing is visible before all of it is durable.
        """
        assert plan.decode is not None
        with self._store.scratch() as scratch, self._store.open(plan.file) as file:
            plan = plan.decode(scratch, progress)
            self._index.check_slide(plan.instances[0].attributes)
            silent = _Report(None, 0)
            instances: list[Instance] = []
            for planned in plan.instances:
                names = Names.by_header(planned.key, planned.header)
                self._store.put_all(_header_blobs(names, planned))
                instance = replace(_linked(planned, plan.file), frames=names.of("dcm"))
                blob = planned.built or file
                instances.append(self._write(instance, planned.frames, blob, silent))
            digest = self._digest(plan.file, silent)
        self._index.add_slide(plan, instances, self._clock(), digest)

    def _quarantined(self, slide: UnmatchedSlide, stated_spacing_um: float | None) -> Unmatched:
        waits = QuarantinedSlide(
            slide.file, slide.barcode, slide.reason, self._clock(), stated_spacing_um
        )
        self._index.quarantine(waits)
        return Unmatched(
            f"{slide.file.path} waits in quarantine: {slide.reason}. Complete the worklist or say "
            "which row it is, with 'slidegate match'.",
            fingerprint=slide.file.fingerprint,
        )

    def _refuse_waiting(self, file: LinkedFile) -> None:
        if file.fingerprint in {one.file.fingerprint for one in self._index.quarantined()}:
            raise Unmatched(
                f"{file.path} waits in quarantine until it is known whose it is: name the worklist "
                "with --metadata, or see 'slidegate match'.",
                fingerprint=file.fingerprint,
            )

    def _refuse_other(self, known: Slide, plan: SlidePlan) -> None:
        """Refuse to add a slide again as something else than it was released as."""
        if known.identity != plan.identity:
            raise Conflict(
                "This slide was added before with another stated pixel spacing.",
                study=known.study,
            )
        if plan.chosen and known.recipe != plan.recipe:
            raise Conflict(
                "This slide was added before with frames made in another way, or of other focal "
                "planes, and stays so: leave --tile-by and --focal-planes away.",
                study=known.study,
            )
        if plan.row is None:
            return
        moved = plan.identified is Identified.ORDER and plan.study != known.study
        if moved or self._says_other(known, plan.row):
            raise Conflict(
                "This slide is served already, and the worklist says something else of it now. "
                "If that is right, say so with 'slidegate correct'.",
                study=known.study,
            )

    def _says_other(self, known: Slide, row: WorklistRow) -> bool:
        for instance, _ in self._index.instances_of(known.file.fingerprint):
            header = self._store.get(instance.header)
            again = row.rewritten(header, known)
            if again != header and differences(decode_header(header), decode_header(again)):
                return True
        return False

    def _relinked(self, known: Slide, file: LinkedFile) -> Slide:
        """Point a slide that was added before to where it lies now, if it is lost where it was."""
        if known.state is SlideState.MATERIALISED or self._links.holds(known.file):
            return known
        self._index.relink(file)
        return replace(known, file=file)

    def empty(self, slide: Slide) -> list[str]:
        """Return the keywords of the attributes of a slide that nobody stated."""
        instances = self._index.instances_of(slide.file.fingerprint)
        headers = (decode_header(self._store.get(instance.header)) for instance, _ in instances)
        return list(dict.fromkeys(word for header in headers for word in empty_keywords(header)))

    def provenance(self, slide: Slide) -> str:
        """Return what was assumed, filled in or left out when a slide was added, in sentences."""
        base, _ = self._index.instances_of(slide.file.fingerprint)[0]
        return provenance(decode_header(self._store.get(base.header)))

    def slides(self, studies: Sequence[str] = ()) -> list[Slide]:
        """Return all slides, or those of some studies."""
        return self._index.slides(studies)

    def due(self) -> list[Slide]:
        """Return the slides that have waited long enough to be materialised."""
        return self._index.due_slides(self._clock() - self._delay_s)

    def stock(self) -> Mapping[str, int]:
        """Return how many slides are linked, materialised, due and in quarantine."""
        return self._index.stock(self._clock() - self._delay_s)

    def postpone(self, slide: Slide, seconds: float) -> None:
        """Try to materialise a slide again later."""
        self._index.postpone(slide.file.fingerprint, self._clock() - self._delay_s + seconds)

    def materialise(self, slide: Slide, progress: Progress | None = None) -> None:
        """Write a linked slide's instances as Part 10 blobs and serve those from then on.

        UIDs and frame bytes stay the same. Nothing changes for readers until all instances are
        durable; then all change at once. A run that was killed is simply run again.

        Raises
        ------
        SourceMissing, SourceChanged
            If the scanner's file is not what was added.
        OutOfResources
            If the disk is full.
        """
        now = self._index.slide(slide.file.fingerprint)
        if now is None or now.state is SlideState.MATERIALISED:
            return  # another process has done it since
        file = self._links.verified(now.file)
        old = [instance for instance, _ in self._index.instances_of(file.fingerprint)]
        tables = [FrameTable.decode(self._store.get(instance.pixels)) for instance in old]
        total = sum(table.stored_bytes for table in tables) + file.signature.size
        report = _Report(progress, total)
        new: list[Instance] = []
        for instance, table in zip(old, tables, strict=True):
            with self._links.open(instance.frames) as blob:
                new.append(self._write(instance, table, blob, report))
        digest = self._digest(file, report)
        self._index.materialised(file.fingerprint, digest, new)

    def _write(
        self, instance: Instance, table: FrameTable | CropTable, source: Blob, report: _Report
    ) -> Instance:
        """Write an instance as a Part 10 blob; its header is a blob already."""
        header = self._store.get(instance.header)
        names = Names.by_header(instance.key, header)
        with self._store.scratch() as scratch:
            if isinstance(table, CropTable):
                table = cut_all(table, source.read, self._library.cut, scratch)
                source = scratch
            layout = Part10(header, table, instance.transfer_syntax)
            self._store.put(names.of("dcm"), report.watched(layout.chunks(source.view)))
        self._store.put(names.of("frames"), [[layout.frame_table.encode()]])
        return replace(instance, frame_table=names.of("frames"), frames=names.of("dcm"))

    def _digest(self, file: LinkedFile, report: _Report) -> str:
        """Return the SHA-256 of the scanner's file, which still is in the state it was read in."""
        digest = hashlib.sha256()
        with self._store.open(file) as blob:
            for offset in range(0, file.signature.size, _READ):
                data = blob.read(offset, min(_READ, file.signature.size - offset))
                digest.update(data)
                report.advance(len(data))
        return digest.hexdigest()


def _blobs(plan: SlidePlan) -> dict[str, bytes]:
    """Return what is written when a slide is added, by name."""
    blobs: dict[str, bytes] = {}
    for planned in plan.instances:
        names = Names.by_header(planned.key, planned.header)
        blobs |= _header_blobs(names, planned)
        blobs[names.of("linked")] = planned.frames.encode()
        if planned.built is not None:
            blobs[names.of("built")] = planned.built.read(0, planned.frames.stored_bytes)
    return blobs


def _header_blobs(names: Names, planned: PlannedInstance) -> dict[str, bytes]:
    header = names.of("header")
    document = document_blob(planned.header, planned.key, planned.transfer_syntax)
    return {header: planned.header, document_name(header): document}


def _linked(planned: PlannedInstance, file: LinkedFile) -> Instance:
    names = Names.by_header(planned.key, planned.header)
    return Instance(
        key=planned.key,
        transfer_syntax=planned.transfer_syntax,
        number_of_frames=len(planned.frames),
        header=names.of("header"),
        frame_table=names.of("linked"),
        frames=file if planned.built is None else names.of("built"),
    )


class _Report:
    """Counts bytes and tells whoever wants to know."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def advance(self, count: int) -> None:
        self._done += count
        if self._progress:
            self._progress(min(self._done, self._total), self._total)

    def watched(self, chunks: Iterator[list[Buffer]]) -> Iterator[list[Buffer]]:
        for chunk in chunks:
            yield chunk
            self.advance(sum(map(len, chunk)))
