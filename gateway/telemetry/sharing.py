"""Metrics of several processes are added up; this module imports nothing that counts.

The library that counts decides, when it is imported, whether it counts for itself alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that names the folder in which processes count; an operator may set it too."""

_MEMORY = Path("/dev/shm")


@contextmanager
def shared_by_processes() -> Iterator[None]:
    """Let the metrics of processes started within be added up; must come before there are any.

    They are in small files in memory: a full disk must not hurt those who count.
    """
    if os.environ.get(SHARED):
        yield
        return
    folder = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="slidegate-", dir=folder) as name:
        os.environ[SHARED] = name
        try:
            yield
        finally:
            del os.environ[SHARED]
