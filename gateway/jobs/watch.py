"""Watched folders: a slide is added when it is completely written.

Folders are asked again and again. Notices of the kernel (inotify) would be cheaper, but none come
for what another machine writes to a network share, and there slides arrive.

What is seen is compared with what was seen before and never with our clock, which need not be
that of the machine that writes. Nothing is kept on disk: after a start the index tells which files
are slides already, and files that are none are looked at once more.
"""

from __future__ import annotations

import heapq
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.core.errors import GatewayError
from gateway.core.instances import LinkedFile
from gateway.jobs.hands import Adder, Fate, Outcome

_LOOK_EVERY_S = 2.0
_IDLE_SHARE = 9.0
"""It rests so many times as long as it looked: that costs a tenth of a processor at most ..."""

_LONGEST_REST_S = 60.0
"""... unless one look takes many seconds: no slide should wait for minutes."""

_PATIENCE_S = 2.0
"""So long it waits for a file to be added before it turns to the others."""

_AGAIN_AFTER_S = 30.0
"""What cannot be read, or stored, may be well without having changed: so soon it is tried again."""

_ANOTHER_WORKLIST_S = 300.0
"""And so soon, if the worklist does not say whose slide it is."""

_AT_ONCE = 20_000
"""Files that one look may find ready; the next look finds the others."""

# What copying programs, editors, NAS snapshots and indexers leave in folders.
_TEMPORARY = ("~", ".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload")
_HIDDEN = (".", "~", "$", "@")

_log = logging.getLogger(__name__)

_State = tuple[int, int, int] | None
"""Size and times of content and inode; None if there is no file. Some shares invent inodes."""

Companions = Callable[[str], Sequence[str]]
"""Tells the other files of a slide that is several files; none of all other files."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file as it was seen.

    Parameters
    ----------
    path
        Absolute path.
    mtime_ns
        When it was changed last, by the clock of the machine it lies on.
    inode
        Its number in its file system.
    state
        Digest of the path and of the state of all files of the slide: while it stays the same,
        nobody writes.
    """

    path: str
    mtime_ns: int
    inode: int
    state: int


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """A file that is being added."""

    adder: Adder
    folder: _Folder
    sighting: Sighting


class Watch:
    """Adds the slides of some folders.

    Parameters
    ----------
    known
        Returns the files that are slides already.
    adders
        What adds files; each has time for one.
    companions
        Which files are one slide.
    folders
        Absolute paths; what is below them is watched too, except behind links to folders.
    settle_s
        Seconds for which a file must not change before it is taken for completely written.
    excluded
        A folder that is left out if it lies in a watched one: the data folder.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        known: Callable[[], Iterable[LinkedFile]],
        adders: Sequence[Adder],
        companions: Companions,
        folders: Sequence[str],
        settle_s: float,
        excluded: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._known = known
        self._free = list(adders)
        self._busy: list[_Task] = []
        self._companions = companions
        self._folders = [_Folder(path, companions, excluded, settle_s) for path in folders]
        self._settle_s = settle_s
        self._clock = clock

    @property
    def waiting(self) -> int:
        """Number of files that may still be written."""
        return sum(len(folder.waiting) for folder in self._folders)

    @property
    def handled(self) -> int:
        """Number of files that are done with until they change."""
        return sum(len(folder.handled) for folder in self._folders)

    def run(self) -> None:
        """Watch until the process ends, which it may at any point."""
        every = max(0.1, min(_LOOK_EVERY_S, self._settle_s / 4))
        self._recall_patiently()
        while True:
            begun = self._clock()
            self._collect()
            ready = self._ready()
            took = self._clock() - begun
            until = begun + took + min(max(every, _IDLE_SHARE * took), _LONGEST_REST_S)
            self._add(ready, until)
            time.sleep(max(0.0, until - self._clock()))

    def _recall_patiently(self) -> None:
        while True:
            try:
                return self.recall()
            except GatewayError as error:
                _log.warning("the index cannot be asked for slides: %s", error.code)
                time.sleep(_AGAIN_AFTER_S)

    def recall(self) -> None:
        """Learn from the index which files are slides already."""
        known = {_digest_of(file) for file in self._known()}
        for folder in self._folders:
            folder.handled |= known

    def round(self) -> None:
        """Look once, and add all that is ready."""
        self._collect()
        self._add(self._ready(), float("inf"))

    def _ready(self) -> list[tuple[_Folder, Sighting]]:
        """Return what is completely written, the newest first: nobody waits for a backlog."""
        now = self._clock()
        found = ((folder, sighting) for folder in self._folders for sighting in folder.settled(now))
        newest = heapq.nlargest(_AT_ONCE, found, key=lambda pair: pair[1].mtime_ns)
        under_way = {task.sighting.path for task in self._busy}
        ready = []
        for folder, sighting in newest:
            if sighting.path in folder.companions:
                folder.finish(sighting)
            elif sighting.path not in under_way:
                ready.append((folder, sighting))
        return ready

    def _add(self, ready: Iterable[tuple[_Folder, Sighting]], until: float) -> None:
        for folder, sighting in ready:
            if self._clock() >= until or not self._free:
                return
            # Slides of several files are decoded, which takes minutes; others must not wait.
            if len(self._free) > 1 or not self._companions(sighting.path):
                self._attempt(folder, sighting)

    def _attempt(self, folder: _Folder, sighting: Sighting) -> None:
        try:
            if not self._still(sighting):
                return  # the next look sees what it is now
        except OSError:
            folder.postpone(sighting, self._clock() + _AGAIN_AFTER_S, "unreadable")
            return
        task = _Task(self._free.pop(), folder, sighting)
        task.adder.give(sighting.path)
        self._busy.append(task)
        self._collect(task)

    def _collect(self, latest: _Task | None = None) -> None:
        """Learn what became of files; wait a moment for the one that was given latest."""
        for task in list(self._busy):
            if (outcome := task.adder.outcome(_PATIENCE_S if task is latest else 0)) is not None:
                self._busy.remove(task)
                self._free.append(task.adder)
                self._conclude(task.folder, task.sighting, outcome)

    def _conclude(self, folder: _Folder, sighting: Sighting, outcome: Outcome) -> None:
        """Say what became of a file. Log lines name none: names may be those of people."""
        fate, now = outcome.fate, self._clock()
        if fate is Fate.NOT_NOW:
            folder.postpone(sighting, now + _AGAIN_AFTER_S, outcome.why)
        elif fate is Fate.NOBODYS:
            folder.postpone(sighting, now + _ANOTHER_WORKLIST_S, outcome.why)
        elif fate is not Fate.REFUSED:
            if fate is Fate.ADDED:
                _log.info("added: %s", outcome.why)
            folder.finish(sighting)
        elif not self._changed(sighting):
            folder.report(sighting, outcome.why)
            folder.finish(sighting)

    def _changed(self, sighting: Sighting) -> bool:
        with suppress(OSError):
            return not self._still(sighting)
        return True

    def _still(self, sighting: Sighting) -> bool:
        """Whether nothing has changed, as an open file tells it: network shares remember."""
        paths = [sighting.path, *self._companions(sighting.path)]
        return _digest(sighting.path, [_opened(path) for path in paths]) == sighting.state


@dataclass(slots=True)
class _Folder:
    """A watched folder and what was seen in it: numbers only, as there may be a million files.

    Parameters
    ----------
    handled
        States of files that are done with until they change.
    waiting
        States of files that may still change -> since when they have not.
    companions
        Files that belong to another, so that they are not looked at for themselves.
    """

    path: str
    find_companions: Companions
    excluded: str
    settle_s: float
    handled: set[int] = field(default_factory=set)
    waiting: dict[int, float] = field(default_factory=dict)
    companions: set[str] = field(default_factory=set)
    _told: set[int] = field(default_factory=set)
    _unreadable: set[str] = field(default_factory=set)

    def settled(self, now: float) -> Iterator[Sighting]:
        """Look at all files and yield those that have not changed for long enough.

        What is gone is forgotten; but while the folder itself is away, as a network share may be,
        everything is remembered.
        """
        handled: set[int] = set()
        waiting: dict[int, float] = {}
        self.companions.clear()
        for path, status, state in self._files():
            if state in self.handled:
                handled.add(state)
                continue
            since = waiting[state] = self.waiting.get(state, now)
            if now - since >= self.settle_s:
                yield Sighting(path, status.st_mtime_ns, status.st_ino, state)
        if self.path not in self._unreadable and (handled or waiting):
            self.handled, self.waiting = handled, waiting
            self._told &= waiting.keys()

    def finish(self, sighting: Sighting) -> None:
        """Be done with a file until it changes."""
        self.handled.add(sighting.state)
        self.waiting.pop(sighting.state, None)

    def postpone(self, sighting: Sighting, until: float, reason: str) -> None:
        """Try again later even if the file does not change."""
        self.waiting[sighting.state] = until - self.settle_s
        if sighting.state not in self._told:
            self._told.add(sighting.state)
            self.report(sighting, reason)

    def report(self, sighting: Sighting, reason: str) -> None:
        """Say that a file cannot be added, so that only who may see the folder learns which."""
        _log.warning(
            "a file in %s cannot be added (%s): 'find %s -inum %d' tells which, 'slidegate add' "
            "why; it is tried again",
            self.path,
            reason,
            self.path,
            sighting.inode,
        )

    def _files(self) -> Iterator[tuple[str, os.stat_result, int]]:
        unreadable: set[str] = set()
        folders = [self.path]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if _is_folder(entry):
                            if not _same(entry, self.excluded):
                                folders.append(entry.path)
                        elif status := _of_a_file(entry):
                            yield entry.path, status, self._state_of(entry.path, status)
            except OSError as error:
                if folder == self.path or not isinstance(error, FileNotFoundError):
                    unreadable.add(folder)
                    self._complain(folder, error)
        self._unreadable = unreadable

    def _complain(self, folder: str, error: OSError) -> None:
        if folder not in self._unreadable:
            where = "" if folder == self.path else "a folder in "
            _log.warning("%s%s cannot be read: %s", where, self.path, error.strerror)

    def _state_of(self, path: str, status: os.stat_result) -> int:
        states = [_state(status)]
        if others := self.find_companions(path):
            self.companions.update(others)
            states += map(_stated, others)
        return _digest(path, states)


def _of_a_file(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return what a file is like now; None if it is none, is temporary, empty, or has gone."""
    if not _is_of_interest(entry.name):
        return None
    try:
        status = entry.stat()
    except OSError:  # gone, or a link to nowhere
        return None
    return status if stat.S_ISREG(status.st_mode) and status.st_size else None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder to be looked into; links to folders may lead in circles."""
    try:
        return entry.is_dir(follow_symlinks=False) and _is_of_interest(entry.name)
    except OSError:
        return False


def _is_of_interest(name: str) -> bool:
    """Whether a name is neither hidden nor that of something unfinished."""
    return not name.startswith(_HIDDEN) and not name.lower().endswith(_TEMPORARY)


def _same(entry: os.DirEntry[str], folder: str) -> bool:
    with suppress(OSError):
        return os.path.samefile(entry.path, folder)
    return False


def _state(status: os.stat_result) -> _State:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _stated(path: str) -> _State:
    try:
        return _state(os.stat(path))
    except OSError:
        return None


def _opened(path: str) -> _State:
    """Return the state of a file as its server tells it: opening ends what a client remembers."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        return _state(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _digest(path: str, states: Sequence[_State]) -> int:
    return hash((path, *states))


def _digest_of(file: LinkedFile) -> int:
    signature = file.signature
    return _digest(file.path, [(signature.size, signature.mtime_ns, signature.ctime_ns)])
