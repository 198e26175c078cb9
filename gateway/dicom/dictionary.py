"""What the data dictionary says of an attribute that somebody names (PS3.6)."""

from __future__ import annotations

import re
from functools import lru_cache

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag, tag_for_keyword

_LONGEST_NAME = 512
_TAG = re.compile(r"[0-9A-Fa-f]{8}\Z")


@lru_cache(4096)
def vr_of(keyword: str) -> str:
    """Value representation of a data element by its keyword, or by its path of keywords."""
    tag = tag_for_keyword(keyword.rpartition(".")[2])
    assert tag is not None
    return dictionary_VR(tag)[:2]  # the first of several, as in "US or SS"


def tag_of(keyword: str) -> int:
    """Tag of a data element by its keyword."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return tag


@lru_cache(4096)
def path_of(name: str) -> str | None:
    """Return the path of keywords that names an attribute, or None if there is no such one.

    Parameters
    ----------
    name
        Keywords or tags of eight hexadecimal digits, with dots between them.
    """
    if len(name) > _LONGEST_NAME:
        return None
    steps = [_keyword(step) for step in name.split(".")]
    known = [step for step in steps if step]
    return ".".join(known) if len(known) == len(steps) else None


def _keyword(step: str) -> str | None:
    if _TAG.match(step):
        tag = int(step, 16)
        return (keyword_for_tag(tag) or None) if dictionary_has_tag(tag) else None
    return step if step.isascii() and tag_for_keyword(step) is not None else None
