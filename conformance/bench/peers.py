"""Where the measured programs are, their versions, and how to get those that are missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PLUGINS = tuple(
    Path(folder) for folder in ("/usr/share/orthanc/plugins", "/usr/lib/orthanc/plugins")
)
_YEARS = {
    "wsidicomizer 0.26.1": "2026",
    "orthanc 1.10.1": "2022",
    "orthanc-dicomweb 1.7": "2021",
    "orthanc-wsi 1.1": "2021",
    "nginx 1.22.1": "2022",
    "wrk 4.1.0": "2018",
}
"""When a version was released, by the beginning of its name."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program to compare with.

    Parameters
    ----------
    name
        What the tables call it.
    program
        Its path; None if it is not installed.
    remedy
        What to do if it is not.
    """

    name: str
    program: Path | None
    remedy: str

    @property
    def skipped(self) -> str:
        """The line that says that the peer was left out."""
        return f"{self.name}: not installed, skipped; {self.remedy}"


def slidegate() -> Path:
    """Return the command of this environment."""
    beside = Path(sys.executable).with_name("slidegate")
    found = beside if beside.exists() else _which("slidegate")
    if found is None:
        raise FileNotFoundError("slidegate is not installed here: pip install -e .")
    return found


def wsidicomizer() -> Peer:
    """Return wsidicomizer; the variable WSIDICOMIZER says where it is if not on the path."""
    stated = os.environ.get("WSIDICOMIZER")
    remedy = (
        "apt install libturbojpeg0, python3 -m venv DIR, DIR/bin/pip install wsidicomizer, "
        "WSIDICOMIZER=DIR/bin/wsidicomizer"
    )
    return Peer("wsidicomizer", _which(stated or "wsidicomizer"), remedy)


def orthanc_wsi_dicomizer() -> Peer:
    """Return the converter of orthanc-wsi."""
    return Peer("OrthancWSIDicomizer", _which("OrthancWSIDicomizer"), "apt install orthanc-wsi")


def nginx() -> Peer:
    """Return nginx, which is the ceiling for serving frames."""
    return Peer("nginx", _which("nginx"), "apt install nginx-light")


def orthanc() -> Peer:
    """Return Orthanc, if its DICOMweb and its WSI plugin are there too."""
    program = _which("Orthanc") if orthanc_plugins() else None
    return Peer("Orthanc", program, "apt install orthanc orthanc-dicomweb orthanc-wsi")


def orthanc_plugins() -> list[Path]:
    """Return the plugins for DICOMweb and whole-slide images; none if one is missing."""
    names = ("libOrthancDicomWeb.so", "libOrthancWSI.so")
    for folder in PLUGINS:
        if all((folder / name).exists() for name in names):
            return [folder / name for name in names]
    return []


def wrk() -> Peer:
    """Return the load generator."""
    return Peer("wrk", _which("wrk"), "apt install wrk")


def versions() -> list[str]:
    """Return name and version of all that is installed, with the year of the release."""
    from gateway import __version__

    found = [f"slidegate {__version__}{_commit()}"]
    if program := wsidicomizer().program:
        listed = _printed(str(program.with_name("python")), "-m", "pip", "show", "wsidicomizer")
        number = re.search(r"^Version: (\S+)", listed, re.MULTILINE)
        found.append(f"wsidicomizer {number[1] if number else 'of unknown version'}")
    for package in ("orthanc", "orthanc-dicomweb", "orthanc-wsi", "nginx", "nginx-light", "wrk"):
        if number := re.match(r"[\d.]+", _debian(package)):
            found.append(f"{package} {number[0]}")
    return [name + _year(name) for name in found]


def _year(name: str) -> str:
    years = [year for known, year in _YEARS.items() if (name + ".").startswith(known + ".")]
    return f" ({years[0]})" if years else ""


def _commit() -> str:
    here = str(Path(__file__).parent)
    commit = _printed("git", "-C", here, "rev-parse", "--short", "HEAD").strip()
    changed = _printed("git", "-C", here, "status", "--porcelain", "--untracked-files=no")
    return f" at {commit}{' with changes' if changed else ''}" if commit else ""


def _debian(package: str) -> str:
    shown = _printed("dpkg-query", "-W", "-f", "${Version}", package)
    return re.sub(r"^\d+:", "", shown)


def _printed(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _which(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None
