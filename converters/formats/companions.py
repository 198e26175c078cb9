"""Slides that are several files: which files belong to the one that names the slide."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

_MOST = 1 << 20
"""Bytes of a Hamamatsu index that are read; real ones have a few hundred."""

_LISTED = re.compile(
    r"^(?:ImageFile|MapFile|MacroImage|OptimisationFile)[^=\r\n]*=[ \t]*([^\r\n]*\S)", re.MULTILINE
)


def companions(path: str) -> list[str]:
    """Return the other files of a slide, whether they are there or not.

    Decided by the name: it is asked for every file of a folder, again and again.

    Parameters
    ----------
    path
        Of any file; only one that names a slide of several files has companions.
    """
    rule = _RULES.get(os.path.splitext(path)[1].lower())
    return rule(path) if rule else []


def _folder_of_the_same_name(path: str) -> list[str]:
    """MIRAX: everything in the folder beside it; the folder itself while there is none."""
    folder = os.path.splitext(path)[0]
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))] or [folder]
    except OSError:
        return [folder]


def _listed_inside(path: str) -> list[str]:
    """Hamamatsu VMS and VMU."""
    try:
        return listed_by_vms(path)
    except OSError:
        return []


def listed_by_vms(path: str) -> list[str]:
    """Return the files that the index of a VMS or VMU lists; they lie beside it.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read(_MOST)
    names = {os.path.basename(name.replace("\\", "/")) for name in _LISTED.findall(text)}
    return [os.path.join(os.path.dirname(path), name) for name in sorted(names - {""})]


_RULES: dict[str, Callable[[str], list[str]]] = {
    ".mrxs": _folder_of_the_same_name,
    ".vms": _listed_inside,
    ".vmu": _listed_inside,
}
