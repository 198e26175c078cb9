"""What the use cases need from outside: protocols that adapters fulfil."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.frames import Crop, CropTable, FrameTable
from gateway.core.identity import Correction, QuarantinedSlide, Revision
from gateway.core.instances import (
    FileFacts,
    Identified,
    Instance,
    InstanceKey,
    LinkedFile,
    Slide,
)
from gateway.core.queries import Query
from gateway.core.storage import Blob, Scratch

Attributes = Mapping[str, str]
"""Keyword of a data element -> its value as text; several values are joined by a backslash.

Data elements within sequences are named by their path, with item numbers from 0, as in
``SpecimenDescriptionSequence[0].SpecimenIdentifier``."""

Progress = Callable[[int, int], None]
"""Is told how much is done, and how much there is of all."""

Match = Mapping[str, str | int | None]
"""One match of a search: keyword -> value; counts are int, what is not known is None."""


@dataclass(frozen=True, slots=True, eq=False)
class PlannedInstance:
    """An instance that a slide becomes.

    Parameters
    ----------
    key
        Its UIDs.
    transfer_syntax
        UID of the syntax of its frames.
    header
        Part 10 header: all bytes before the pixel data.
    attributes
        What the index keeps of the header.
    frames
        What bytes of the scanner's file (or of ``built``) make each frame.
    built
        What the frames lie in if that is not the scanner's file; else None.
    role
        What it is among the instances of its slide; its SOP Instance UID derives from it.
    """

    key: InstanceKey
    transfer_syntax: str
    header: bytes
    attributes: Attributes
    frames: FrameTable | CropTable
    built: Blob | None
    role: str


class WorklistRow(Protocol):
    """What a row of a worklist says of a slide."""

    def rewritten(self, header: bytes, slide: Slide | None) -> bytes:
        """Return a header that says what the row says, under the same UIDs.

        Parameters
        ----------
        header
            Of an instance as it is.
        slide
            The slide of the instance; None rewrites patient and study only.

        Raises
        ------
        Conflict
            If the row contradicts what the scanner's file says.
        InvalidInput
            If the row says what cannot be written.
        """
        ...

    def study(self, slide: Slide, issue: int) -> tuple[str, Identified]:
        """Return the Study Instance UID that the row gives a slide, and what it derives from.

        Parameters
        ----------
        issue
            0, or more for a study beside the one that is another patient's by mistake; nothing to
            an order that has a UID of its own.
        """
        ...

    def reissued(
        self, header: bytes, slide: Slide, role: str, study: str, issue: int
    ) -> tuple[InstanceKey, bytes]:
        """Return the UIDs and the header of an instance in another study.

        Nothing remains in it of whose it was thought to be.

        Parameters
        ----------
        role
            What it is among the instances of its slide.
        issue
            How often instances of the slide in that study were rejected: no UID comes twice.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SlidePlan:
    """A scanner file as instances: what adding it will commit.

    Parameters
    ----------
    file
        The scanner's file; of a slide of several files, the one that names it.
    identity
        Digest of the fingerprint and of what the operator stated.
    study, series
        UIDs.
    instances
        The base level first; none while there is something to decode.
    facts
        What the file says that a worklist may complete.
    identified
        What the Study Instance UID derives from.
    recipe
        Version of what decides about bytes besides the slide.
    row
        What a worklist says of the slide; None if nobody said whose it is.
    said
        What the index keeps of patient and study.
    chosen
        Whether the operator chose how frames are made, or of which focal planes.
    decode
        Makes the whole plan of a slide whose pixels no client could read as they lie in its
        files, or None. They are decoded and encoded once into the scratch blob, which the
        instances of the plan are ``built`` in. See :class:`SlideLibrary` for its errors.
    """

    file: LinkedFile
    identity: str
    study: str
    series: str
    instances: tuple[PlannedInstance, ...]
    facts: FileFacts
    identified: Identified
    recipe: str
    row: WorklistRow | None
    said: Attributes
    chosen: bool = False
    decode: Callable[[Scratch, Progress | None], SlidePlan] | None = None


@dataclass(frozen=True, slots=True)
class UnmatchedSlide:
    """A scanner file of which the worklist does not say whose it is.

    Parameters
    ----------
    file
        The scanner's file.
    barcode
        What the scanner read from the label.
    reason
        Why no row matches, for people.
    """

    file: LinkedFile
    barcode: str | None
    reason: str


class SlideLibrary(Protocol):
    """What the use cases need to know of scanner files."""

    def plan(
        self, path: str, stated_spacing_um: float | None, row: str | None = None, issue: int = 0
    ) -> SlidePlan | UnmatchedSlide:
        """Read the headers of a scanner file and say what instances it becomes.

        Where a worklist is configured it says whose slide it is; where it does not, the slide is
        unmatched. Where none is configured, nobody says it.

        Parameters
        ----------
        path
            Absolute path.
        stated_spacing_um
            Pixel spacing of the base level in micrometres as the operator states it, or None.
        row
            Row of the worklist that the operator says is this slide's; None looks for it.
        issue
            As of :meth:`WorklistRow.study`.

        Raises
        ------
        SlideUnreadable
            If the file is damaged or of an unknown kind; the message says what to do.
        SpacingUnknown
            If neither file nor operator states the pixel spacing.
        Conflict
            If the worklist contradicts the file.
        InvalidInput
            If the worklist is malformed; the message names row and field.
        """
        ...

    def row(self, identifier: str | None) -> WorklistRow:
        """Return a row of the configured worklist, or its only one.

        Raises
        ------
        InvalidInput
            If there is no worklist, or no such row.
        """
        ...

    def cut(self, block: bytes, crop: Crop) -> list[bytes]:
        """Cut a block into its tiles without decoding it.

        Parameters
        ----------
        block
            A JPEG bit stream that holds the tiles of one block.
        crop
            How tiles lie in a block.

        Returns
        -------
        ``crop.down`` rows of ``crop.across`` tiles, from the top left; each a JPEG of the grid's
        tile size, padded where it reaches over the edge of the block.

        Raises
        ------
        Unavailable
            If the library that cuts is not installed; the message names it.
        SlideUnreadable
            If the block is damaged.
        """
        ...

    def fingerprint(self, path: str) -> str:
        """Take the fingerprint of a scanner file again.

        Raises
        ------
        SlideUnreadable
            If the file is damaged or of an unknown kind.
        """
        ...


@dataclass(frozen=True, slots=True)
class Holding:
    """An instance that is there, and what came in when it came.

    Parameters
    ----------
    instance
        The instance.
    sha256
        Hexadecimal digest of the Part 10 stream that was received; None if none was.
    """

    instance: Instance
    sha256: str | None


class Index(Protocol):
    """The rows behind the doors. Each writing method is one transaction."""

    def epoch(self) -> int:
        """Return a number that differs whenever what was read before may have changed."""
        ...

    def instance(self, key: InstanceKey) -> Instance:
        """Return one instance.

        Raises
        ------
        NotFound
            If it is not there under these three UIDs.
        """
        ...

    def instances(
        self, study: str, series: str | None = None, instance: str | None = None
    ) -> list[Instance]:
        """Return the instances of a study, series or instance in a stable order.

        Raises
        ------
        NotFound
            If there is none.
        """
        ...

    def holding(self, sop_instance: str) -> Holding | None:
        """Return the instance of a SOP Instance UID, whatever study it is in, or None."""
        ...

    def check_study(self, attributes: Attributes) -> None:
        """Compare what an instance says of its study and series with what is stored of them.

        Raises
        ------
        InvalidDataset
            If a value is longer than can be searched for.
        Conflict
            If its study is, or once was, another patient's, its series is in another study, or it
            was rejected.
        """
        ...

    def add_instance(self, instance: Instance, attributes: Attributes, sha256: str) -> None:
        """Commit an instance that was received.

        Parameters
        ----------
        attributes
            What the index keeps of its header.
        sha256
            Hexadecimal digest of what came in.

        Raises
        ------
        DuplicateInstance
            If its SOP Instance UID is there already.
        InvalidDataset, Conflict
            As :meth:`check_study`.
        """
        ...

    def search(self, query: Query) -> Iterator[Match]:
        """Return the matches in a total and stable order, in memory that does not grow with them.

        A match has the attributes of its level and of the levels above, and the counts
        and modalities of these. See :data:`gateway.dicom.attributes.INDEXED`.

        Raises
        ------
        InvalidQuery
            If a key is not one that the index keeps, or of a value that cannot be; before the
            first match is asked for.
        """
        ...

    def untold(self, before: int | None, most: int) -> list[tuple[int, InstanceKey]]:
        """Return instances of which the index does not keep yet all that it keeps of new ones.

        Parameters
        ----------
        before
            Number of the last one that was returned; None begins with the newest.
        most
            How many to return.
        """
        ...

    def complete(self, told: Sequence[tuple[InstanceKey, Attributes]]) -> None:
        """Keep of such instances what the index keeps of new ones; newer ones come first."""
        ...

    def add_slide(
        self,
        plan: SlidePlan,
        instances: Sequence[Instance],
        due: float,
        sha256: str | None = None,
    ) -> None:
        """Commit a slide and all its instances; visible at once and together.

        Parameters
        ----------
        instances
            One for each instance of the plan, in its order.
        due
            Time in seconds since the epoch from which the slide waits to be materialised.
        sha256
            Digest of the scanner's whole file if all instances are blobs of ours from the start:
            the slide is materialised then, not linked.

        Raises
        ------
        Conflict
            If a slide of this identity is there already.
        """
        ...

    def check_slide(self, attributes: Attributes) -> None:
        """Compare what a slide says of its study with what is stored of it.

        Raises
        ------
        Conflict
            As :meth:`check_study`, or if the study says something else of itself.
        """
        ...

    def is_anothers(self, study: str, attributes: Attributes) -> bool:
        """Whether a study is, or once was, of another patient than an instance."""
        ...

    def quarantine(self, slide: QuarantinedSlide) -> None:
        """Record that a slide waits; in place of what was recorded of it before."""
        ...

    def quarantined(self) -> list[QuarantinedSlide]:
        """Return the slides that wait, longest first; those that are added wait no more."""
        ...

    def correct(
        self, correction: Correction, revisions: Sequence[Revision], identified: Identified
    ) -> None:
        """Put headers in place of others over the same frames, all at once.

        For details the revisions are all instances of the study. For identity they are all of
        the slide; the old ones are kept as rejected, and their UIDs are never used again.

        Raises
        ------
        Conflict
            If an instance is not as it was before the revision, if there are others, or if the
            study would be two patients'.
        """
        ...

    def corrections(self) -> list[Correction]:
        """Return all corrections, oldest first."""
        ...

    def instances_of(self, fingerprint: str) -> list[tuple[Instance, str]]:
        """Return the instances of a slide, each with its role; the base level first.

        Objects that were received are none, even if they came into the series of the slide.
        """
        ...

    def rejections(self, fingerprint: str) -> list[str]:
        """Return the studies in which instances of a slide were rejected, once for each time."""
        ...

    def slide(self, fingerprint: str) -> Slide | None:
        """Return the slide of a fingerprint, or None."""
        ...

    def slides(self, studies: Sequence[str] = ()) -> list[Slide]:
        """Return all slides, or those of some studies, in the order they were added."""
        ...

    def relink(self, file: LinkedFile) -> None:
        """Record where the slide of a fingerprint lies now, and in which state."""
        ...

    def materialised(self, fingerprint: str, sha256: str, instances: Sequence[Instance]) -> None:
        """Swap the frames under all instances of a slide, and record its full digest."""
        ...

    def due_slides(self, now: float) -> list[Slide]:
        """Return the linked slides that have been due since a time or longer, oldest first."""
        ...

    def stock(self, now: float) -> Mapping[str, int]:
        """Return how many slides are linked, materialised, due since a time, and in quarantine."""
        ...

    def postpone(self, fingerprint: str, due: float) -> None:
        """Say when a slide may be materialised next, after an attempt that failed."""
        ...
