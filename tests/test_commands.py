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


def test_the_demonstration_checks_itself(svs: tuple[Path, SvsTruth], tmp_path: Path) -> None:
    done = slidegate(
        "demo", "--slide", svs[0], "--data", tmp_path / "demo", "--port", "0", "--check"
    )
    assert "All is well." in done.stdout
    assert "1504 columns, frame 1 " in done.stdout


def test_the_demonstration_tells_what_is_wrong(tmp_path: Path) -> None:
    done = slidegate("demo", "--slide", tmp_path / "none.svs", "--check", fails=True)
    assert "No such file" in done.stderr


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
        "import sys, converters.convert, converters.svs\n"
        "print({'sqlalchemy', 'flask', 'granian', 'alembic'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
