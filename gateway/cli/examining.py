"""DICOM files in folders, examined by several processes."""

from __future__ import annotations

import filecmp
import gc
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from gateway.core.errors import GatewayError
from gateway.dicom.gate import (
    Finding,
    Outcome,
    Summary,
    examine_part10,
    examine_series,
    held,
    outcome_of,
    prepare,
)
from gateway.store.dicom_files import is_dicom
from gateway.store.files import FileBlob

_BATCH = 32
"""Files that a process is given at once."""

_AHEAD = 4
"""Batches of each process that wait: what is found in files is small, but there may be many."""

_FEW = 64
"""Files for which no processes are started."""


@dataclass(frozen=True, slots=True)
class Files:
    """Files that are to be examined.

    Parameters
    ----------
    paths
        In the order in which they were named, those of a folder by their names.
    skipped
        Number of files in folders that are no DICOM.
    """

    paths: list[str]
    skipped: int


def find_files(named: Sequence[str]) -> Files:
    """Find the DICOM files that were named, and those in folders that were.

    In a folder, and in those below it, what does not begin as a DICOM file does (PS3.10 7.1) is
    skipped, and so are links and the directory file of media. What is named is always taken, and
    so are folders that cannot be read, for whoever examines them to say so.
    """
    paths: list[str] = []
    unread: list[str] = []
    skipped = 0
    for name in named:
        if not os.path.isdir(name):
            paths.append(name)
            continue
        for path in _files_below(name, unread):
            if not os.path.islink(path) and is_dicom(path):
                paths.append(path)
            else:
                skipped += 1
    return Files(list(dict.fromkeys((*paths, *unread))), skipped)


def _files_below(folder: str, unread: list[str]) -> Iterator[str]:
    for place, folders, names in os.walk(
        folder, onerror=lambda error: unread.append(error.filename)
    ):
        folders.sort()
        yield from (os.path.join(place, name) for name in sorted(names))


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found of a file.

    Parameters
    ----------
    path
        As named or found.
    findings
        Of the object, and of how it goes together with the others.
    """

    path: str
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """What becomes of it."""
        return outcome_of(self.findings)


Told = Callable[[int, int], None]
"""Is told the files that are done, and all."""

Result = tuple[tuple[Finding, ...], Summary | None]
"""What was found of a file, and what the rules over several need."""

Work = Callable[[Sequence[str]], list[Result]]
"""Examines files."""


def examine_files(paths: Sequence[str], tell: Told | None) -> list[Examined]:
    """Examine files, each by itself and all together.

    Parameters
    ----------
    tell
        Is told how far it has come.

    Returns
    -------
    In the order of ``paths``. Only what was found is kept of a file, and what the rules over
    series compare: about 2 kB each.
    """
    findings: list[tuple[Finding, ...]] = []
    summaries: list[tuple[int, Summary]] = []
    for batch in _batches(paths):
        for found, summary in batch:
            if summary is not None:
                summaries.append((len(findings), summary))
            findings.append(found)
        if tell:
            tell(len(findings), len(paths))
    summaries = _without_copies(paths, summaries)
    for place, finding in examine_series([summary for _, summary in summaries]):
        number = summaries[place][0]
        findings[number] = (*findings[number], finding)
    return [Examined(*pair) for pair in zip(paths, findings, strict=True)]


def _without_copies(
    paths: Sequence[str], summaries: Sequence[tuple[int, Summary]]
) -> list[tuple[int, Summary]]:
    """Leave out files that are an earlier one again, byte for byte: they are the same object."""
    first: dict[str, int] = {}
    return [
        (number, summary)
        for number, summary in summaries
        if (earlier := first.setdefault(summary.instance, number)) == number
        or not _same(paths[earlier], paths[number])
    ]


def _same(one: str, other: str) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _batches(paths: Sequence[str]) -> Iterator[list[Result]]:
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    prepare()
    if len(paths) <= _FEW:
        yield from map(_examine_batch, batches)
        return
    yield from in_processes(batches, _examine_batch)


def in_processes(batches: Sequence[Sequence[str]], work: Work) -> Iterator[list[Result]]:
    """Let several processes work, and yield their results in order.

    What ends a process, as running out of memory does, is held; nothing else suffers.
    """
    done = 0
    try:
        for results in _pooled(batches, work):
            yield results
            done += 1
    except BrokenProcessPool:
        for batch in batches[done:]:
            yield [_alone(path, work) for path in batch]


def _pooled(batches: Sequence[Sequence[str]], work: Work) -> Iterator[list[Result]]:
    processes = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(processes, initializer=_calm) as pool:
        waiting: deque[Future[list[Result]]] = deque()
        for batch in batches:
            if len(waiting) >= processes * _AHEAD:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, batch))
        yield from (future.result() for future in waiting)


def _alone(path: str, work: Work) -> Result:
    try:
        with ProcessPoolExecutor(1, initializer=_calm) as pool:
            return pool.submit(work, [path]).result()[0]
    except BrokenProcessPool:
        message = "The process that examined the file was ended: it may take all memory."
        return held("FILE-UNREADABLE", message).findings, None


def _calm() -> None:
    """Collect garbage once a batch, not all the time: none of it is older than that."""
    gc.freeze()
    gc.disable()


def _examine_batch(paths: Sequence[str]) -> list[Result]:
    found = [_examine_file(path) for path in paths]
    gc.collect(0)
    return found


def _examine_file(path: str) -> Result:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            os.listdir(path)  # a folder is only here because it could not be read
        if not stat.S_ISREG(status.st_mode):
            return held("FILE-UNREADABLE", "It is no file.").findings, None
        with FileBlob(path, None) as blob:
            verdict, summary = examine_part10(blob.read, status.st_size)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        return held("FILE-UNREADABLE", f"The file cannot be read: {reason}.").findings, None
    except GatewayError as error:
        return held("FILE-UNREADABLE", error.detail).findings, None
    except Exception as error:  # a hostile file must not end the examination of the others
        kind = type(error).__name__
        return held("FILE-UNREADABLE", f"The object cannot be examined ({kind}).").findings, None
    return verdict.findings, summary
