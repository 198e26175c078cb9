"""OpenSlide at work in processes of its own.

On some damaged files OpenSlide ends the process that it runs in (failed assertions), and it must
not be that of a gateway. So a slide is opened and drawn by :mod:`converters.openslide.process`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import SlideUnreadable, Unavailable

Rgba = NDArray[np.uint8]
"""R, G, B and opacity, shape (rows, columns, 4)."""

Size = tuple[int, int]
"""``(columns, rows)``."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What OpenSlide says of a slide.

    Parameters
    ----------
    version
        Of OpenSlide.
    properties
        By name, as OpenSlide calls them.
    sizes, downsamples
        Of each level from the largest.
    profile
        Colour profile of the base level, or None.
    """

    version: str
    properties: Mapping[str, str]
    sizes: tuple[Size, ...]
    downsamples: tuple[float, ...]
    profile: bytes | None


class Drawing:
    """A slide that processes of OpenSlide have opened; a context manager that ends them.

    Threads may ask at once; who asks while all processes work waits.

    Parameters
    ----------
    path
        What OpenSlide is to open.
    processes
        How many.

    Raises
    ------
    Unavailable
        If OpenSlide is not installed; the message says how to install it.
    """

    def __init__(self, path: Path, processes: int = 1) -> None:
        self._path = path
        if find_spec("openslide") is None:
            raise self._missing()
        self._processes = [_started(path) for _ in range(processes)]
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for process in self._processes:
            self._idle.put(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._processes:
            process.kill()  # it only reads
            process.communicate()

    def opened(self) -> Opened:
        """Return what OpenSlide says of the slide."""
        head, profile = self._ask("opened")
        return Opened(
            head["version"],
            head["properties"],
            tuple(map(tuple, head["sizes"])),
            tuple(head["downsamples"]),
            profile or None,
        )

    def region(self, place: tuple[int, int], level: int, size: Size) -> Rgba:
        """Return a region of a level; its place is in pixels of the base level."""
        return self._pixels("region", place, level, size)

    def picture(self, name: str) -> Rgba:
        """Return a picture beside the levels, such as ``label``."""
        return self._pixels("picture", name)

    def _pixels(self, *request: object) -> Rgba:
        head, content = self._ask(*request)
        columns, rows = head["size"]
        return np.frombuffer(content, np.uint8).reshape(rows, columns, 4)

    def _ask(self, *request: object) -> tuple[dict[str, Any], bytes]:
        process = self._idle.get()
        try:
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            head: dict[str, Any] = json.loads(process.stdout.readline())
            content = process.stdout.read(head["bytes"])
        except (OSError, ValueError) as error:  # it is no more
            raise self._unreadable("OpenSlide gave up on it") from error
        finally:
            self._idle.put(process)
        if head.get("missing"):
            raise self._missing()
        if "error" in head:
            raise self._unreadable(head["error"])
        if len(content) != head["bytes"]:
            raise self._unreadable("OpenSlide gave up on it")
        return head, content

    def _missing(self) -> Unavailable:
        return Unavailable(
            f"{self._path} can only be read with OpenSlide, which is not installed: "
            "pip install 'slidegate[formats]', or openslide-python and openslide-bin."
        )

    def _unreadable(self, reason: str) -> SlideUnreadable:
        return SlideUnreadable(
            f"{self._path} cannot be read: {reason}. Copy it again from the scanner, with all its "
            "files."
        )


def _started(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "converters.openslide.process", os.fspath(path)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
