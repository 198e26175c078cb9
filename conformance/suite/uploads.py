"""How the suite stores its own objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from conformance.suite.client import Answer
from conformance.suite.objects import STUDY, encoded, uid
from conformance.suite.site import JSON, Site

GUID = "39a0f8c3-9a52-4e4f-8d1e-7f0d6c2f5b11"
"""The boundary of its requests."""

MULTIPART = 'multipart/related; type="application/dicom"; boundary="{}"'
"""Their Content-Type."""

BASE = uid(STUDY, "slide", "base")
SMALL = uid(STUDY, "slide", "small")
ANNOTATIONS = uid(STUDY, "annotations", "annotations")


def body_of(
    files: Sequence[bytes],
    boundary: str = GUID,
    *,
    start: str = "",
    part: str = "Content-Type: application/dicom\r\n",
    end: str = "",
) -> bytes:
    """Return a multipart body.

    Parameters
    ----------
    start, end
        What stands before the first delimiter and after the last.
    part
        Headers of each part, each with its CRLF.
    """
    head = f"--{boundary}\r\n{part}\r\n".encode()
    joined = b"\r\n".join(head + file for file in files)
    return start.encode() + joined + f"\r\n--{boundary}--{end}".encode()


def post(
    site: Site,
    files: Sequence[bytes],
    path: str = "/studies",
    *,
    kind: str = MULTIPART.format(GUID),
    accept: str = JSON,
) -> Answer:
    """Store files as one request; what comes of it is told in the answer."""
    headers = (("Content-Type", kind), ("Accept", accept))
    return site.client.request("POST", path, headers, body_of(files))


def base() -> bytes:
    """Return the base level of the suite's own slide."""
    return encoded("base")


def path_of(series: str, name: str, study: str = STUDY) -> str:
    """Return the path of an object of the suite, below the root."""
    return f"/studies/{study}/series/{uid(study, series)}/instances/{uid(study, series, name)}"


def seed(site: Site) -> None:
    """Store all of them, for an empty archive; checks tell what is wrong with that."""
    with suppress(OSError):
        post(site, [encoded(kind) for kind in ("base", "small", "annotations")])
