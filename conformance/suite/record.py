"""Runs the suite over this server and over Orthanc, with the same objects, and keeps the tables."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom

from conformance.bench import peers, servers
from conformance.bench.client import post_file
from conformance.bench.objects import annotations_of, report_of
from conformance.bench.slides import make_large_svs
from conformance.suite import table
from conformance.suite.checks import FAILED, NOT_APPLICABLE, Outcome, by_requirement
from conformance.suite.client import Client
from conformance.suite.run import run
from conformance.suite.site import Site

RESULTS = Path(__file__).with_name("RESULTS.md")
ORIGIN = "https://viewer.example"
"""Origin of pages that our server is told to let in."""

_HEAD = """# What the suite found

Written by `python -m conformance.suite --record`: both servers hold the same slide, made by
`slidegate convert`, with annotations and a report of it; objects may be stored. A requirement has
passed if all of its checks have; `n/a` is what could not be checked. Orthanc leaves CORS and
caching to a proxy in front of it; here it stands alone, like ours.
"""


_ROW = {
    "file": "slide.svs",
    "scanned": "2026-01-15",
    "patient_id": "SUITE-26",
    "patient_id_issuer": "EXAMPLE",
    "patient_name": "Muster^Åsa=見本^朝",
    "patient_birth_date": "1960-02-03",
    "patient_sex": "F",
    "accession": "S26-1",
    "accession_issuer": "EXAMPLE",
    "study_id": "1",
    "study_date": "2026-01-15",
    "study_time": "10:00",
    "study_description": "Skin, excision",
    "referring_physician": "Beispiel^Jo",
    "slide_id": "S26-1-A1-1",
    "specimen_id": "S26-1-A1-1",
    "specimen_id_issuer": "EXAMPLE",
    "stain": "12710003^SCT^hematoxylin stain; 36879007^SCT^water soluble eosin stain",
}
"""Whose slide it is: nobody's."""


@dataclass(frozen=True, slots=True)
class Objects:
    """A slide, and the same as DICOM files with annotations and a report.

    Parameters
    ----------
    worklist
        Says whose slide it is.
    files
        Levels and associated images, then annotations and report.
    """

    slide: Path
    worklist: Path
    files: tuple[Path, ...]

    @property
    def findings(self) -> tuple[Path, ...]:
        """Annotations and report."""
        return self.files[-2:]


def slidegate(*arguments: str | Path) -> None:
    """Run a command of this source tree.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    command = [sys.executable, "-m", "gateway.cli", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def make_objects(folder: Path) -> Objects:
    """Draw a slide, and make the objects that both servers get."""
    slide, worklist = folder / "slide.svs", folder / "worklist.csv"
    make_large_svs(slide, file_bytes=3_000_000, tiles=120)
    with worklist.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, list(_ROW))
        rows.writeheader()
        rows.writerow(_ROW)
    slidegate("convert", slide, folder / "dicom", "--metadata", worklist)
    images = sorted((folder / "dicom").rglob("*.dcm"))
    levels = [pydicom.dcmread(path, stop_before_pixels=True) for path in images]
    base = max(levels, key=lambda one: int(one.get("NumberOfFrames", 1)))
    for name, made in (("annotations", annotations_of(base)), ("report", report_of(base))):
        made.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    return Objects(slide, worklist, (*images, folder / "annotations.dcm", folder / "report.dcm"))


@contextmanager
def ours(objects: Objects, folder: Path) -> Iterator[Site]:
    """Run this server; the slide stays linked to its file."""
    folder.mkdir()
    data = folder / "data"
    slidegate("add", objects.slide, "--data", data, "--metadata", objects.worklist)
    slidegate("add", *objects.findings, "--data", data)
    port = servers.free_port()
    command = (sys.executable, "-m", "gateway.cli", "serve", "--data", str(data))
    options = ("--port", str(port), "--no-materialise", "--cors-origin", ORIGIN)
    with servers.running((*command, *options), folder / "log", port, "/ready") as server:
        root = f"http://127.0.0.1:{server.port}"
        yield Site(Client(f"{root}/dicom-web"), write=True, origin=ORIGIN, wado=f"{root}/wado")


@contextmanager
def orthanc(objects: Objects, folder: Path) -> Iterator[Site]:
    """Run Orthanc with its DICOMweb plugin."""
    program = peers.orthanc().program
    if program is None:
        raise FileNotFoundError(peers.orthanc().skipped)
    with servers.orthanc(program, folder) as server:
        for file in objects.files:
            post_file(server.port, "/instances", file)
        root = f"http://127.0.0.1:{server.port}"
        yield Site(Client(f"{root}/dicom-web"), write=True, origin=ORIGIN, wado=f"{root}/wado")


def write_results(work: Path | None) -> str:
    """Run both and write RESULTS.md; return how they did."""
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        folder = Path(scratch)
        objects = make_objects(folder)
        found = {}
        for name, server in (("Slidegate", ours), ("Orthanc", orthanc)):
            with server(objects, folder / name) as site:
                found[name] = list(run(site))
    RESULTS.write_text("\n".join(_document(found)) + "\n", "utf-8")
    return "\n".join(f"{name}: {table.counts(outcomes)}" for name, outcomes in found.items())


def _document(found: dict[str, list[Outcome]]) -> Iterator[str]:
    yield _HEAD
    yield f"Run on {time.strftime('%Y-%m-%d', time.gmtime())} with:\n"
    yield from (f"- {name}" for name in peers.versions() if name.startswith(("slide", "orthanc")))
    yield ""
    for name, outcomes in found.items():
        yield f"- {name}: {len(outcomes)} checks: {table.counts(outcomes)}"
    yield from ("", "## By requirement", "")
    groups = {name: by_requirement(outcomes) for name, outcomes in found.items()}
    yield f"| Requirement | {' | '.join(found)} |"
    yield "|---|" + "---|" * len(found)
    for requirement in next(iter(groups.values())):
        cells = [_cell(group[requirement]) for group in groups.values()]
        yield f"| {requirement} | {' | '.join(cells)} |"
    yield from ("", "## By check", "")
    yield f"| Check | {' | '.join(found)} |"
    yield "|---|" + "---|" * len(found)
    for row in zip(*found.values(), strict=True):
        states = ["n/a" if one.state == NOT_APPLICABLE else one.state for one in row]
        yield f"| {row[0].check.title} (`{row[0].check.name}`) | {' | '.join(states)} |"
    for name, outcomes in found.items():
        yield from ("", f"## What {name} failed, and what could not be checked", "")
        yield from (
            (_told(one) for one in outcomes if one.reason)
            if any(one.reason for one in outcomes)
            else ("Nothing.",)
        )


def _cell(group: list[Outcome]) -> str:
    state = table.state_of(group)
    if state == FAILED:
        failed = sum(one.state == FAILED for one in group)
        return f"**failed** {failed} of {len(group)}"
    return "n/a" if state == NOT_APPLICABLE else state


def _told(outcome: Outcome) -> str:
    request = f" (`{outcome.request.replace('`', chr(39))}`)" if outcome.request else ""
    # Ports and random boundaries differ from run to run.
    return f"- `{outcome.check.name}` {outcome.state}: {outcome.reason}{request}"
