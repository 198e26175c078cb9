"""Which part of a scan an Aperio file holds."""

from pathlib import Path

import numpy as np
import pytest

from converters.formats.svs.history import cut_from_scan
from converters.sources import format_of
from gateway.core.geometry import Placement

SCAN = "Aperio Image Library v10.0.51\r\n46920x33014 [0,100 46000x32914] (256x256) JPEG/RGB Q=30"
PART = "Aperio Image Library v11.2.1 \r\n46000x32914 [42673,5576 2220x2967] (240x240) JPEG/RGB"


def end(columns: int, rows: int, *steps: str) -> tuple[float, float]:
    placement = cut_from_scan(";".join(steps), columns, rows)
    assert placement is not None
    assert placement.orientation == Placement.nominal(1, 1).orientation
    assert placement.point_mm == (0, 0)
    return placement.pixel


def test_the_lower_right_corner_of_the_whole_scan_is_in_the_corner_of_the_slide() -> None:
    assert end(46000, 32914, SCAN) == (46920, 32914)
    assert end(2220, 2967, PART, SCAN) == (46920 - 42673, 33014 - 5676)


def test_a_part_that_was_made_smaller_keeps_its_place() -> None:
    assert end(1110, 989, f"{PART} -> 1110x989 JPEG/RGB Q=70", SCAN) == pytest.approx(
        ((46920 - 42673) / 2, (33014 - 5676) / 3)
    )


@pytest.mark.parametrize(
    "head",
    [
        "",
        "Aperio Image Library v11.2.1",
        "Aperio\r\n2220x2967 (240x240) JPEG/RGB Q=30",
        f"Aperio\r\n900x800;{PART};{SCAN}",  # what was done last is not told
        "Aperio\r\n2220x2967 [0,100 2220x2967] (240x240)",  # more than there is
        "Aperio\r\n2220x3067 [1,100 2220x2967] (240x240)",
        "Aperio\r\n46000x32914 [0,0 2221x2967] (240x240)",  # another image
        "Aperio\r\n2220x2967 [0,0 2220x2967] (240x240)",  # all of it
    ],
)
def test_a_history_that_does_not_tell_of_this_level_tells_nothing(head: str) -> None:
    assert cut_from_scan(head, 2220, 2967) is None


def test_the_scan_is_placed_as_far_as_its_history_holds_together() -> None:
    assert end(2220, 2967, PART, "Aperio\r\n500x500 [0,0 400x400]") == (46000 - 42673, 32914 - 5576)


@pytest.mark.req("REQ-WSI-19")
def test_the_real_export_lies_where_it_was_cut_from(real_svs: Path) -> None:
    facts = format_of(real_svs).read(real_svs).facts
    assert facts.placement is not None
    assert facts.spacing_um is not None
    row_mm, column_mm = (spacing / 1000 for spacing in facts.spacing_um)
    part = facts.placement.matrix(2220, 2967, (row_mm, column_mm))
    scan = Placement.nominal(46920, 33014).matrix(46920, 33014, (row_mm, column_mm))
    corner = part.to_level(np.zeros((1, 2)), scan)[0]
    assert corner == pytest.approx((42673, 5676))
    assert "part of a scan" in facts.remarks[0]
