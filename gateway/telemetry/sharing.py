"""Where the processes of a server tell each other what they have counted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir

SHARED = "SLIDEGATE_METRICS"
"""Variable that names the folder, for the processes that are started."""

_MEMORY = Path("/dev/shm")
_PREFIX = "slidegate-metrics-"


@contextmanager
def shared_by_processes() -> Iterator[None]:
    """Let the metrics of processes that are started within be added up.

    The folder is in memory where there is such a place: a full disk must not hurt those who count.
    """
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(gettempdir())
    for left in place.glob(f"{_PREFIX}*"):  # by servers that were killed
        process = left.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", process).exists():
            rmtree(left, ignore_errors=True)
    with TemporaryDirectory(
        prefix=f"{_PREFIX}{os.getpid()}-", dir=place, ignore_cleanup_errors=True
    ) as name:
        os.environ[SHARED] = name
        try:
            yield
        finally:
            del os.environ[SHARED]
