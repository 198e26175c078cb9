"""Conversion without a server: a scanner's file in, Part 10 files out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from converters.library import ScannerFiles
from converters.sources import Choices
from gateway.core.errors import Unmatched
from gateway.core.frames import CropTable
from gateway.core.ports import Progress, UnmatchedSlide
from gateway.core.storage import BlobStore, Buffer
from gateway.dicom.attributes import empty_keywords, provenance
from gateway.dicom.streams.crops import cut_all
from gateway.dicom.streams.part10 import Part10, decode_header


@dataclass(frozen=True, slots=True)
class Converted:
    """A Part 10 file that was written.

    Parameters
    ----------
    name
        Of the blob, or of the file in the folder.
    sop_instance
        SOP Instance UID.
    image_type
        Values joined by backslashes.
    frames
        Number of frames.
    empty
        Keywords of the attributes that nobody stated.
    provenance
        What was assumed, filled in or left out, in sentences.
    """

    name: str
    sop_instance: str
    image_type: str
    frames: int
    empty: tuple[str, ...]
    provenance: str


def convert(
    path: Path,
    store: BlobStore,
    *,
    stated_spacing_um: float | None = None,
    worklist: Path | None = None,
    choices: Choices | None = None,
    progress: Progress | None = None,
) -> Iterator[Converted]:
    """Write a slide as Part 10 instances, one blob each.

    UIDs and bytes are those that the gateway gives the same slide. An instance is complete and
    durable when it is yielded; a conversion that was killed is simply run again.

    Parameters
    ----------
    path
        The scanner's file.
    store
        Where the instances go; a name is ``<SOP Instance UID>.dcm``, so that no slide overwrites
        another.
    stated_spacing_um
        Pixel spacing of the base level in micrometres, if the file does not state it.
    worklist
        File that says whose slides they are.
    choices
        How frames are made, where a format leaves a choice.

    Raises
    ------
    SlideUnreadable
        If the file is damaged or of an unknown kind.
    Unmatched
        If the worklist does not say whose slide it is.
    OutOfResources
        If the disk is full.
    """
    library = ScannerFiles(worklist, choices)
    plan = library.plan(os.path.abspath(path), stated_spacing_um)
    if isinstance(plan, UnmatchedSlide):
        raise Unmatched(f"{path}: {plan.reason}.", fingerprint=plan.file.fingerprint)
    with store.open(plan.file) as file, store.scratch() as decoded:
        if plan.decode:
            plan = plan.decode(decoded, progress)
            progress = None  # what is left takes no time
        report = _Report(progress, sum(one.frames.stored_bytes for one in plan.instances))
        for instance in plan.instances:
            name = f"{instance.key.instance}.dcm"
            with store.scratch() as scratch:
                frames, blob = instance.frames, instance.built or file
                if isinstance(frames, CropTable):
                    frames = cut_all(frames, blob.read, library.cut, scratch)
                    blob = scratch
                layout = Part10(instance.header, frames, instance.transfer_syntax)
                store.put(name, report.watched(layout.chunks(blob.view)))
            header = decode_header(instance.header)
            yield Converted(
                name,
                instance.key.instance,
                instance.attributes["ImageType"],
                len(instance.frames),
                tuple(empty_keywords(header)),
                provenance(header),
            )


class _Report:
    """Counts bytes of frames and tells whoever wants to know."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def watched(self, chunks: Iterator[list[Buffer]]) -> Iterator[list[Buffer]]:
        for chunk in chunks:
            yield chunk
            self._done += sum(map(len, chunk))
            if self._progress:
                self._progress(min(self._done, self._total), self._total)
