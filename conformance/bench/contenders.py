"""Who serves frames of a slide: slidegate twice, nginx as the ceiling, and Orthanc twice."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from conformance.bench import peers, servers
from conformance.bench.client import VIEWER_ACCEPT, Frames, base_level, get_json, post_file
from conformance.bench.load import Load, Target
from conformance.bench.programs import ProgramFailed, measure

CEILING = "nginx, static files"
ORTHANC_FRAMES, ORTHANC_TILES = "Orthanc, DICOMweb frames", "Orthanc, /wsi/tiles"
_TILES_NOTE = "/wsi/tiles of Orthanc is no DICOMweb: it answers with the bare JPEG."


@dataclass(frozen=True, slots=True)
class Running:
    """A server with the frames of the slide's base level.

    Parameters
    ----------
    target
        The frames.
    columns
        Tiles in a row of the base level, where a frame is named by column and row; else None.
    """

    server: servers.Server
    target: Target
    columns: int | None = None

    def numbers(self, frame_number: int) -> tuple[int, ...]:
        """Return what stands in the URL of a frame, counted from 1."""
        if self.columns is None:
            return (frame_number,)
        row, column = divmod(frame_number - 1, self.columns)
        return column, row


@dataclass(slots=True)
class Contender:
    """A way to serve the frames, and what was measured of it, one value each round.

    Parameters
    ----------
    start
        Runs the server while the context is open.
    served
        File or folder whose bytes it gives out.
    """

    name: str
    start: Callable[[], AbstractContextManager[Running]]
    served: Path
    crowd: list[Load] = field(default_factory=list)
    single: list[Load] = field(default_factory=list)
    peaks_mb: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Field:
    """All contenders of a slide.

    Parameters
    ----------
    ours, others
        In the order of the table.
    static
        Folder with the bytes of each frame, in a file named by its number.
    frames
        How many there are.
    notes
        What has to be said about the others, and who is missing.
    """

    ours: list[Contender]
    others: list[Contender]
    static: Path
    frames: int
    notes: list[str]


@contextmanager
def contenders(work: Path, source: Path) -> Iterator[Field]:
    """Prepare all that are installed; what they need goes when they are no longer needed."""
    linked, written, static = work / "linked", work / "written", work / "static"
    folders = (linked, written, static, work / "nginx", work / "orthanc", work / "converted")
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        study = add(work, source, linked)
        add(work, source, written)
        measure((peers.slidegate(), "materialise", "--data", written), work / "materialise.log")
        frames = _extract(work, linked, study, static)
        notes: list[str] = []
        yield Field(
            [
                Contender("slidegate, linked", partial(_slidegate, work, linked, study), source),
                Contender(
                    "slidegate, materialised", partial(_slidegate, work, written, study), written
                ),
            ],
            [*_nginx(work, static, frames, notes), *_orthanc(work, source, study, notes)],
            static,
            frames,
            notes,
        )
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def add(work: Path, source: Path, data: Path) -> str:
    """Add a slide to a data folder; return its study."""
    command = (peers.slidegate(), "add", source, "--data", data, "--json")
    study: str = json.loads(measure(command, work / "add.log").output)["study"]
    return study


def dicomweb(level: Frames) -> Target:
    """Return all frames of an instance, asked for as a viewer does."""
    return Target(f"{level.path}/frames/", [(1, level.count)], VIEWER_ACCEPT)


@contextmanager
def _slidegate(work: Path, data: Path, study: str) -> Iterator[Running]:
    with servers.slidegate(data, work / "serve.log") as server:
        yield Running(server, dicomweb(base_level(server.port, study)))


def _extract(work: Path, data: Path, study: str, static: Path) -> int:
    """Write every frame of the base level as a file named by its number; return how many."""
    static.mkdir()
    with servers.slidegate(data, work / "serve.log") as server:
        level = base_level(server.port, study)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for number in range(1, level.count + 1):
            headers = {"Accept": "image/jpeg; transfer-syntax=*"}
            connection.request("GET", level.frame(number), headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200 or not body.startswith(b"\xff\xd8"):
                raise ProgramFailed(f"frame {number} answered {answer.status}: {body[:200]!r}")
            (static / str(number)).write_bytes(body)
        connection.close()
    return level.count


def _nginx(work: Path, static: Path, frames: int, notes: list[str]) -> Sequence[Contender]:
    peer = peers.nginx()
    if (program := peer.program) is None:
        notes.append(peer.skipped)
        return []

    @contextmanager
    def start() -> Iterator[Running]:
        with servers.nginx(program, static, work / "nginx") as server:
            yield Running(server, Target("/", [(1, frames)], VIEWER_ACCEPT))

    return [Contender(CEILING, start, static)]


def _orthanc(work: Path, source: Path, study: str, notes: list[str]) -> Sequence[Contender]:
    """Store in Orthanc what slidegate converts."""
    peer = peers.orthanc()
    if (program := peer.program) is None:
        notes.append(peer.skipped)
        return []
    folder, converted = work / "orthanc", work / "converted"
    measure((peers.slidegate(), "convert", source, converted), work / "convert.log")
    with servers.orthanc(program, folder) as server:
        stored = [post_file(server.port, "/instances", file) for file in converted.iterdir()]
    shutil.rmtree(converted)
    series = stored[0]["ParentSeries"]
    notes.append(_TILES_NOTE)

    @contextmanager
    def frames() -> Iterator[Running]:
        with servers.orthanc(program, folder) as server:
            yield Running(server, dicomweb(base_level(server.port, study)))

    @contextmanager
    def tiles() -> Iterator[Running]:
        with servers.orthanc(program, folder) as server:
            columns, rows = get_json(server.port, f"/wsi/pyramids/{series}")["TilesCount"][0]
            ranges = [(0, columns - 1), (0, rows - 1)]
            target = Target(f"/wsi/tiles/{series}/0/", ranges, VIEWER_ACCEPT)
            yield Running(server, target, columns)

    return [
        Contender(ORTHANC_FRAMES, frames, folder),
        Contender(ORTHANC_TILES, tiles, folder),
    ]
