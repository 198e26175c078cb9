"""Whatever scanner's file the project converts, the gate has nothing to say about it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from converters.convert import convert
from gateway.cli.examining import examine_files, find_files
from gateway.core.errors import SpacingUnknown
from gateway.dicom.gate import Severity
from gateway.store.files import FileStore
from tests.conftest import SHARED
from tests.factories import make_svs
from tests.ndpi import FLUORESCENCE, make_ndpi
from tests.scanners import (
    make_generic,
    make_leica,
    make_mirax,
    make_ome,
    make_philips,
    make_qptiff,
    make_trestle,
    make_ventana,
    make_vms,
)

SLIDES: dict[str, Callable[[Path], object]] = {
    "ycbcr.svs": partial(make_svs, components="ycbcr", bigtiff=True),
    "ycbcr-420.svs": partial(make_svs, components="ycbcr-420"),
    "ict.svs": partial(make_svs, components="j2k-ict"),
    "rct.svs": partial(make_svs, components="j2k-rct"),
    "rgb.svs": partial(make_svs, components="j2k-rgb"),
    "bright-field.ndpi": make_ndpi,
    "shared-colour.ndpi": partial(make_ndpi, subsampling="4:2:0"),
    "fluorescence.ndpi": partial(make_ndpi, tags=FLUORESCENCE),
    "generic.tif": make_generic,
    "slide.ome.tif": make_ome,
    "philips.tiff": make_philips,
    "leica.scn": make_leica,
    "akoya.qptiff": make_qptiff,
    "trestle.tif": make_trestle,
    "ventana.bif": partial(make_ventana, overlapping=False),
    "slide.mrxs": make_mirax,
    "slide.vms": make_vms,
}


def converted(source: Path, folder: Path) -> list[str]:
    """Convert a slide; state a spacing if it states none."""
    try:
        list(convert(source, FileStore(folder)))
    except SpacingUnknown:
        list(convert(source, FileStore(folder), stated_spacing_um=0.5))
    return find_files([str(folder)]).paths


@pytest.mark.req("REQ-GATE-02")
@pytest.mark.parametrize("name", SLIDES)
def test_what_is_converted_passes_but_for_a_known_warning(name: str, tmp_path: Path) -> None:
    source = tmp_path / name
    SLIDES[name](source)
    examined = examine_files(converted(source, tmp_path / "dicom"), None)
    assert examined
    findings = {(finding.rule, finding.severity) for one in examined for finding in one.findings}
    # Eight levels: the smallest have pixels so large that half of one is far.
    assert findings == ({("SERIES-ORIGIN", Severity.WARNING)} if name == "slide.vms" else set())


@pytest.mark.parametrize("name", ["svs/CMU-1-Small-Region.svs", "ndpi/test3-DAPI-2-387.ndpi"])
def test_real_slides_pass_without_a_finding(name: str, tmp_path: Path) -> None:
    source = SHARED / name
    if not source.exists():
        pytest.skip("the folder with real slides is not beside the project")
    examined = examine_files(converted(source, tmp_path / "dicom"), None)
    assert len(examined) > 3
    assert [(one.path, one.findings) for one in examined if one.findings] == []
