"""Slides that wait until it is known whose they are; nothing of them has left."""

from __future__ import annotations

import os

from gateway.core.errors import GatewayError, NotFound
from gateway.core.identity import QuarantinedSlide
from gateway.core.instances import Slide
from gateway.core.ports import Index
from gateway.services.ingest import Ingest


class Quarantine:
    """Slides that wait until it is known whose they are."""

    def __init__(self, index: Index, ingest: Ingest) -> None:
        self._index = index
        self._ingest = ingest

    def waiting(self) -> list[QuarantinedSlide]:
        """Return the slides that wait."""
        return self._index.quarantined()

    def match(self, name: str, row: str) -> Slide:
        """Serve a slide under the identity of a row that the operator names.

        Parameters
        ----------
        name
            Path or fingerprint of the slide.

        Raises
        ------
        NotFound
            If no such slide waits.
        Conflict
            If the row contradicts what the scanner's file says.
        SourceChanged
            If another slide lies where it was.
        """
        return self._added(self._found(name), row=row)

    def serve_unidentified(self, name: str) -> Slide:
        """Serve a slide as nobody's: patient and order stay empty.

        Raises
        ------
        NotFound
            If no such slide waits.
        """
        return self._added(self._found(name), unidentified=True)

    def match_all(self) -> list[tuple[QuarantinedSlide, Slide | GatewayError]]:
        """Try all slides that wait again; return what became of each."""
        return [(slide, self._tried(slide)) for slide in self.waiting()]

    def _tried(self, slide: QuarantinedSlide) -> Slide | GatewayError:
        try:
            return self._added(slide)
        except GatewayError as error:
            return error

    def _added(
        self, slide: QuarantinedSlide, row: str | None = None, *, unidentified: bool = False
    ) -> Slide:
        file = slide.file
        return self._ingest.add(
            file.path,
            slide.stated_spacing_um,
            row=row,
            unidentified=unidentified,
            fingerprint=file.fingerprint,
        )

    def _found(self, name: str) -> QuarantinedSlide:
        path = os.path.abspath(name)
        for slide in self.waiting():
            if name == slide.file.fingerprint or path == slide.file.path:
                return slide
        raise NotFound(
            f"No slide {name} waits for a match; 'slidegate match' lists those that do. What is "
            "served already is corrected with 'slidegate correct'."
        )
