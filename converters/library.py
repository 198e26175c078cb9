"""Linked slides for the gateway: the port SlideLibrary over the table of formats."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from converters.codecs import lossless
from converters.plan import plan_slide
from converters.revision import DescribedRow
from converters.sources import Choices, ScannedSlide, SlideFacts, format_of
from converters.worklist import Row, Sighting, Worklist
from converters.worklist.metadata import Description
from gateway.core.errors import InvalidInput, SlideUnreadable
from gateway.core.frames import Crop
from gateway.core.instances import LinkedFile, Signature
from gateway.core.ports import Progress, SlidePlan, UnmatchedSlide
from gateway.core.storage import Scratch


class ScannerFiles:
    """Scanner files on disk, of all formats that the converters know.

    Parameters
    ----------
    worklist
        File that says whose slides they are; None if nobody does.
    choices
        What the operator chose for slides that are planned.
    """

    def __init__(self, worklist: Path | None = None, choices: Choices | None = None) -> None:
        self._worklist = worklist
        self._choices = choices
        self._read: tuple[Signature, Worklist] | None = None

    def plan(
        self,
        path: str,
        stated_spacing_um: float | None = None,
        row: str | None = None,
        issue: int = 0,
    ) -> SlidePlan | UnmatchedSlide:
        """Say what instances a file becomes; see :meth:`gateway.core.ports.SlideLibrary.plan`."""
        file = Path(path)
        slide_format = format_of(file)
        before = Signature.of(os.stat(file))
        slide = slide_format.read(file, self._choices)
        if Signature.of(os.stat(file)) != before:
            raise _being_written(path)
        described = self._described(file.name, slide.facts, row)
        if isinstance(described, str):
            linked = LinkedFile(path, slide.fingerprint, before)
            return UnmatchedSlide(linked, slide.facts.barcode, described)

        def planned(slide: ScannedSlide) -> SlidePlan:
            return plan_slide(
                slide,
                path,
                before,
                stated_spacing_um=stated_spacing_um,
                description=described,
                issue=issue,
            )

        def decode(scratch: Scratch, progress: Progress | None) -> SlidePlan:
            assert slide.decode is not None
            images = slide.decode(scratch, progress)
            # All files of the slide are what they were; its signature tells of one of them only.
            if slide_format.fingerprint(file) != slide.fingerprint:
                raise _being_written(path)
            return planned(replace(slide, images=images, decode=None))

        plan = replace(planned(slide), chosen=self._choices not in (None, Choices()))
        return replace(plan, decode=decode) if slide.decode else plan

    def _described(
        self, name: str, facts: SlideFacts, identifier: str | None
    ) -> Description | str | None:
        """Return what the worklist says of a slide, or why it says nothing."""
        if self._worklist is None:
            return None
        rows = self._rows(self._worklist)
        if identifier is not None:
            found: Row | str = rows.row(identifier)
        else:
            found = rows.find(Sighting(name, facts.barcode, facts.acquired, facts.serial_number))
        if isinstance(found, str):
            return found
        return Description(found)

    def _rows(self, path: Path) -> Worklist:
        """Return the worklist as it is now; it is read again when the file has changed."""
        try:
            signature = Signature.of(path.stat())
        except OSError as error:
            raise InvalidInput(f"The worklist {path} cannot be read: {error.strerror}.") from error
        if self._read is None or self._read[0] != signature:
            self._read = signature, Worklist.read(path)
        return self._read[1]

    def row(self, identifier: str | None) -> DescribedRow:
        """Return a row; see :meth:`gateway.core.ports.SlideLibrary.row`."""
        if self._worklist is None:
            raise InvalidInput("Name the worklist that says whose slide it is, with --metadata.")
        rows = self._rows(self._worklist)
        found = rows.only_row() if identifier is None else rows.row(identifier)
        return DescribedRow(Description(found))

    def cut(self, block: bytes, crop: Crop) -> list[bytes]:
        """Cut a block into tiles; see :meth:`gateway.core.ports.SlideLibrary.cut`."""
        return lossless.cut(block, crop)

    def fingerprint(self, path: str) -> str:
        """Take the fingerprint of a file again."""
        file = Path(path)
        return format_of(file).fingerprint(file)


def _being_written(path: str) -> SlideUnreadable:
    return SlideUnreadable(f"{path} is being written; add it when it is complete.")
