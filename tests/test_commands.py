"""Commands as a person runs them."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import __version__
from gateway.cli import main
from tests.conftest import slidegate
from tests.factories import SvsTruth


def test_the_demonstration_checks_itself(
    svs: tuple[Path, SvsTruth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It has an index of its own, whatever is configured, and no proxy stands before it.
    monkeypatch.setenv("SLIDEGATE_DATABASE", f"sqlite:///{tmp_path / 'other.db'}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    done = slidegate(
        "demo", "--slide", svs[0], "--data", tmp_path / "demo", "--port", "0", "--check"
    )
    assert "All is well." in done.stdout
    assert "1504 columns, frame 1 " in done.stdout


def test_the_demonstration_tells_what_is_wrong(tmp_path: Path) -> None:
    done = slidegate("demo", "--slide", tmp_path / "none.svs", "--check", fails=True)
    assert "No such file" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["add", "x.svs", "--data", "/proc/none"], "cannot be made"),
        (["add", "x.svs", "--data", "/etc/passwd/x"], "cannot be made"),
        (["serve", "--port", "70000"], "not in the range"),
        (["serve", "--port", "-5"], "not in the range"),
        (["serve", "--host", "a..b", "--port", "0"], "unknown"),
        (["materialise", "--data", "/nowhere"], "does not exist"),
        (["check-links", "--data", "/nowhere"], "does not exist"),
        (["convert", "SLIDE", "OUT", "--mpp", "nan"], "cannot be"),
        (["convert", "SLIDE", "/proc/none"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    arguments: list[str], told: str, svs: tuple[Path, SvsTruth], tmp_path: Path
) -> None:
    places = {"SLIDE": str(svs[0]), "OUT": str(tmp_path / "out")}
    done = slidegate(*[places.get(word, word) for word in arguments], fails=True)
    assert told in done.stderr


@pytest.mark.parametrize("name", ["wh?t", "a%41b", "with space", "#1"])
def test_a_data_folder_may_have_any_name(
    svs: tuple[Path, SvsTruth], tmp_path: Path, name: str
) -> None:
    slidegate("add", svs[0], "--data", tmp_path / name)
    assert (tmp_path / name / "slidegate.db").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_conversion_leaves_other_files_alone(svs: tuple[Path, SvsTruth], tmp_path: Path) -> None:
    others = [tmp_path / "out" / name for name in (".mine.part", "sub/.2.25.1.dcm.0123abcd.part")]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"precious")
    slidegate("convert", svs[0], tmp_path / "out")
    assert all(path.read_bytes() == b"precious" for path in others)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_explains_itself(name: str) -> None:
    help_text = CliRunner().invoke(main, [name, "--help"]).output
    assert main.commands[name].help
    for parameter in main.commands[name].params:
        if parameter.opts[0].startswith("--") and not getattr(parameter, "hidden", False):
            assert parameter.opts[0] in help_text
            assert getattr(parameter, "help", None)


def test_the_version_is_told_without_heavy_imports() -> None:
    code = (
        "import sys; sys.argv = ['slidegate', '--version']; import gateway.cli\n"
        "try: gateway.cli.main()\n"
        "except SystemExit: print({'numpy', 'pydicom', 'sqlalchemy', 'flask'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["slidegate,", "version", __version__, "set()"]


def test_a_conversion_needs_no_server_and_no_database() -> None:
    code = (
        "import sys, converters.convert, converters.formats.svs\n"
        "print({'sqlalchemy', 'flask', 'granian', 'alembic'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
