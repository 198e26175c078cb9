"""HTTP requests on the loopback, each through a fresh connection, with their times."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VIEWER_ACCEPT = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
"""What dicom-microscopy-viewer sends for frames."""

_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; times are of `time.perf_counter`."""

    status: int
    body: bytes
    first_byte: float
    end: float


@dataclass(frozen=True, slots=True)
class Frames:
    """An instance and the number of its frames.

    Parameters
    ----------
    path
        Path of the instance's URL.
    count
        NumberOfFrames.
    """

    path: str
    count: int

    def frame(self, frame_number: int) -> str:
        """Return the path of a frame, counted from 1."""
        return f"{self.path}/frames/{frame_number}"


def get(port: int, path: str, accept: str = "*/*") -> Answer:
    """Get a resource."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT_S)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        response = connection.getresponse()
        first = response.read(1)
        first_byte = time.perf_counter()
        body = first + response.read()
        return Answer(response.status, body, first_byte, time.perf_counter())
    finally:
        connection.close()


def get_json(port: int, path: str) -> Any:
    """Get a resource as JSON.

    Raises
    ------
    ValueError
        If the answer is not 200.
    """
    answer = get(port, path, "application/dicom+json, application/json")
    if answer.status != 200:
        raise ValueError(f"{path} answered {answer.status}: {answer.body[:200]!r}")
    return json.loads(answer.body)


def post_file(port: int, path: str, file: Path) -> Any:
    """Post the content of a file; return the JSON of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT_S)
    try:
        with file.open("rb") as body:
            headers = {"Content-Length": str(file.stat().st_size)}
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            text = response.read()
        if response.status != 200:
            raise ValueError(f"{path} answered {response.status}: {text[:200]!r}")
        return json.loads(text)
    finally:
        connection.close()


def base_level(port: int, study: str, root: str = "/dicom-web") -> Frames:
    """Find the instance of a study that has the most frames."""
    query = f"{root}/studies/{study}/instances?includefield=NumberOfFrames"
    found = [
        Frames(
            f"{root}/studies/{study}/series/{one['0020000E']['Value'][0]}"
            f"/instances/{one['00080018']['Value'][0]}",
            int(one["00280008"]["Value"][0]),
        )
        for one in get_json(port, query)
    ]
    return max(found, key=lambda one: one.count)
