"""Linked slides for the gateway: the port SlideLibrary over the table of formats."""

from __future__ import annotations

import os
from pathlib import Path

from converters.plan import plan_slide
from converters.sources import format_of
from gateway.core.errors import SlideUnreadable, Unavailable
from gateway.core.frames import Crop
from gateway.core.instances import Signature
from gateway.core.ports import SlidePlan


class ScannerFiles:
    """Scanner files on disk, of all formats that the converters know."""

    def plan(self, path: str, stated_spacing_um: float | None = None) -> SlidePlan:
        """Say what instances a file becomes; see :meth:`gateway.core.ports.SlideLibrary.plan`."""
        file = Path(path)
        slide_format = format_of(file)
        before = Signature.of(os.stat(file))
        slide = slide_format.read(file)
        if Signature.of(os.stat(file)) != before:
            raise SlideUnreadable(f"{path} is being written; add it when it is complete.")
        return plan_slide(slide, path, before, stated_spacing_um)

    def cut(self, block: bytes, crop: Crop) -> list[bytes]:
        """Cut a block into tiles; see :meth:`gateway.core.ports.SlideLibrary.cut`."""
        raise Unavailable("No format of slides is cut yet.")

    def fingerprint(self, path: str) -> str:
        """Take the fingerprint of a file again."""
        file = Path(path)
        return format_of(file).fingerprint(file)
