"""Conversion without a server: a scanner's file in, Part 10 files out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from converters.library import ScannerFiles
from gateway.core.ports import Blob, BlobStore, Buffer, PlannedInstance
from gateway.dicom.part10 import Part10


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
    """

    name: str
    sop_instance: str
    image_type: str
    frames: int


Progress = Callable[[int, int], None]
"""Is told the bytes that are done, and the bytes of all."""


def convert(
    path: Path,
    store: BlobStore,
    *,
    stated_spacing_um: float | None = None,
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

    Raises
    ------
    SlideUnreadable
        If the file is damaged or of an unknown kind.
    OutOfResources
        If the disk is full.
    """
    plan = ScannerFiles().plan(os.path.abspath(path), stated_spacing_um)
    layouts = [Part10(one.header, one.frames, one.transfer_syntax) for one in plan.instances]
    total, done = sum(layout.size for layout in layouts), 0
    with store.open(plan.file) as blob:
        for instance, layout in zip(plan.instances, layouts, strict=True):
            name = f"{instance.key.instance}.dcm"
            chunks = layout.chunks(_reader(instance, blob))
            store.put(name, _told(chunks, progress, done, total))
            done += layout.size
            yield Converted(
                name,
                instance.key.instance,
                instance.attributes["ImageType"],
                len(instance.frames),
            )


def _reader(instance: PlannedInstance, blob: Blob) -> Callable[[int, int], Buffer]:
    if (built := instance.built) is None:
        return blob.view
    return lambda offset, length: memoryview(built)[offset : offset + length]


def _told(
    chunks: Iterator[list[Buffer]], progress: Progress | None, done: int, total: int
) -> Iterator[list[Buffer]]:
    for chunk in chunks:
        yield chunk
        if progress:
            done += sum(map(len, chunk))
            progress(done, total)
