"""Generated requests of everything that the API description allows, and of what it forbids."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from openapi_spec_validator.readers import read_from_filename

from conformance.requirements import ROOT
from conformance.suite import record
from conformance.suite.site import Site

_NOBODY = "2.25.1"
_CONFIGURATION = """
[checks]
# What is described can still be too large, not acceptable or not an object that is taken.
positive_data_acceptance.expected-statuses = ["2xx", 403, 404, 406, 409, 413, 415, 503]
negative_data_rejection.expected-statuses = [400, 403, 404, 405, 406, 409, 413, 414, 415, 503]
"""
_EXCLUDED = (
    "ignored_auth",  # there are no identities yet
    "missing_required_header",  # no header is required
    "use_after_free",  # nothing is deleted
)
_LONGEST_RUN_S = 3600


def run(folder: Path, scale: float, *, seed: int = 1) -> str:
    """Start a server with a slide, annotations and a report, and ask it anything.

    Raises
    ------
    AssertionError
        With the report of schemathesis, if an answer is not as described.
    """
    with record.ours(record.make_objects(folder), folder / "server") as site:
        return ask(site, folder, max(2, round(200 * scale)), seed)


def ask(site: Site, folder: Path, examples: int, seed: int) -> str:
    """Ask a running server.

    Parameters
    ----------
    examples
        Generated requests of each operation, besides those at the bounds of what is described.

    Raises
    ------
    AssertionError
        With the report of schemathesis, if an answer is not as described.
    """
    from json import dumps

    description, configuration = folder / "api.json", folder / "schemathesis.toml"
    description.write_text(dumps(_with_what_is_there(site)), "utf-8")
    configuration.write_text(_CONFIGURATION, "utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color"]
    command += ["--config-file", str(configuration), "run", str(description)]
    command += ["--url", site.client.origin, "--seed", str(seed), "--max-examples", str(examples)]
    command += ["--generation-database", "none", "--phases", "examples,coverage,fuzzing"]
    command += ["--exclude-checks", ",".join(_EXCLUDED), "--no-shrink", "--warnings", "off"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "conformance.soak.multipart", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=_LONGEST_RUN_S,
        check=False,
    )
    count = re.search(r"(\d+) generated", done.stdout)
    if done.returncode or count is None:
        raise AssertionError(f"{done.stdout}\n{done.stderr}")
    return f"{count[1]} requests with seed {seed}, every answer as described"


def _with_what_is_there(site: Site) -> dict[str, Any]:
    """Return the description, its UIDs being those of an image here and of nothing."""
    document: dict[str, Any] = dict(read_from_filename(str(ROOT / "conformance/openapi.yaml"))[0])
    parameters = document["components"]["parameters"]
    image = site.many
    for name, uid in (
        ("study", image.study),
        ("series", image.series),
        ("instance", image.instance),
    ):
        parameters[name]["schema"] = {
            "anyOf": [{"enum": [uid, _NOBODY]}, {"$ref": "#/components/schemas/uid"}],
            "examples": [uid],
        }
    for name in ("viewport", "window", "thumbnailViewport"):
        if name in parameters:
            schema = parameters[name]["schema"]
            parameters[name]["schema"] = {"enum": schema["examples"], "type": "string"}
    for path in document["paths"].values():
        for parameter in path.get("parameters", []):
            if parameter.get("name") == "frames":
                parameter["schema"] = {"enum": ["1", "2,1", "9999999"]}
            if parameter.get("name") == "path":
                parameter["schema"] = {"enum": parameter["schema"]["examples"]}
    return document
