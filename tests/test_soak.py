"""A short slice of each long fault run."""

from pathlib import Path

import pytest

from conformance.soak import damage, huge, kills


def test_some_kills(tmp_path: Path) -> None:
    assert kills.run(tmp_path, 0.02).endswith("nothing was lost")


def test_some_damage(tmp_path: Path) -> None:
    assert "refused" in damage.run(tmp_path, 0.02)


@pytest.mark.req("REQ-INS-01", "REQ-WSI-26")
def test_a_slide_of_a_quarter_gigabyte(tmp_path: Path) -> None:
    assert "the same bytes before and after" in huge.run(tmp_path, 0.05)
