"""The whole way with a PostgreSQL database behind it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import process_of, serving, slidegate
from tests.factories import SvsTruth


def test_the_databases_password_is_on_no_command_line_of_ours(
    tmp_path: Path, new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIDEGATE_DATABASE", new_database("postgresql"))
    with serving(tmp_path / "data"):
        worker = Path(f"/proc/{process_of(tmp_path / 'data', 'worker')}")
        assert b"postgresql" not in (worker / "cmdline").read_bytes()
        assert b"SLIDEGATE_DATABASE=postgresql" in (worker / "environ").read_bytes()


def test_a_slide_is_added_served_and_materialised(
    svs: tuple[Path, SvsTruth], tmp_path: Path, new_database: Callable[[str], str]
) -> None:
    slide = Path(shutil.copyfile(svs[0], tmp_path / "slide.svs"))
    options = ("--data", tmp_path / "data", "--database", new_database("postgresql"))
    record = json.loads(slidegate("add", slide, *options, "--json").stdout)
    with serving(tmp_path / "data", *map(str, options[2:])) as server:
        (base, *_) = server.get(f"/studies/{record['study']}/instances").json()
        path = base["00081190"]["Value"][0].removeprefix(server.root) + "/frames/2"
        linked = server.get(path, "image/jpeg")
        assert linked.content.endswith(svs[1].levels[0].tiles[1][2:])
        slidegate("materialise", *options)
        slide.unlink()
        assert server.get(path, "image/jpeg").content == linked.content
    assert not list((tmp_path / "data").glob("*.db"))
