"""A second opinion on what attributes an object has to have: dciodvfy's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.dicom.gate import Severity
from gateway.dicom.gate.items import Item, name_of
from tests.conftest import tool
from tests.dicom.gate.samples import Sample, judged
from tests.dicom.gate.test_types import UID_OF_THE_OBJECT, without


def places(item: Item) -> Iterator[tuple[str, str]]:
    """Yield each attribute once for each sequence that it stands in."""
    seen = set[tuple[str, str]]()
    for below in item.walk():
        for tag in below.elements:
            kind = (below.place.split("[")[0], name_of(tag))
            if kind not in seen and kind[1] not in UID_OF_THE_OBJECT:
                seen.add(kind)
                yield below.place, kind[1]


@pytest.mark.req("REQ-WSI-02", "REQ-GATE-01")
@pytest.mark.parametrize("kind", ["image", "LABEL", "annotations", "report"])
def test_what_dciodvfy_misses_the_gate_misses_too(
    kind: str, request: pytest.FixtureRequest, images: dict[str, Sample], tmp_path: Path
) -> None:
    program = tool("dciodvfy", "dicom3tools")
    sample: Sample = images.get(kind) or request.getfixturevalue(kind)
    path = tmp_path / "object.dcm"

    def errors(stream: bytes) -> set[str]:
        path.write_bytes(stream)
        done = subprocess.run([program, "-new", path], capture_output=True, text=True, check=False)
        return {line for line in done.stderr.splitlines() if line.startswith("Error")}

    # The build of 2022 has a false error for all annotations in 2D.
    false = errors(sample.encoded())
    assert all("CommonZCoordinateValue" in line for line in false)
    missed = 0
    for place, keyword in places(Item(sample.dataset)):
        stream = replace(sample, dataset=without(sample.dataset, place, keyword)).encoded()
        if errors(stream) - false:
            missed += 1
            found = [one for one in judged(stream).findings if one.severity != Severity.WARNING]
            assert found, f"{place}{keyword}"
    assert missed > 40
