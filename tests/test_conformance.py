"""The papers in conformance/ say what the code does."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask, request_started
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from openapi_spec_validator.readers import read_from_filename
from werkzeug.test import Client

from conformance import requirements, statement
from conformance.suite.__main__ import main as suite
from gateway import cli
from gateway.bootstrap import load_application, open_services
from gateway.settings import Settings
from tests.factories import SvsTruth

URL = "http://localhost"
FRAMES = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}"
WADO_URI = "/wado"
"""The one route that is not Flask's."""

Json = dict[str, Any]


# -- requirements


def test_every_mark_is_of_a_requirement_and_every_exception_has_a_reason() -> None:
    found = requirements.report()
    assert found.faults == []
    assert found.of_status(None)
    for status in ("later", "refused"):
        assert all(found.entries[name]["reason"] for name in found.of_status(status))


def test_faults_are_told(tmp_path: Path) -> None:
    (tmp_path / "conformance").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "conformance/requirements.toml").write_text(
        '[REQ-A-01]\ntext = "t"\nsource = "s"\n[REQ-A-02]\nsource = "s"\nstatus = "later"\n'
    )
    (tmp_path / "tests/test_a.py").write_text(
        '@pytest.mark.req("REQ-A-01", "REQ-A-03")\ndef test_one() -> None: ...\n'
    )
    found = requirements.report(tmp_path)
    assert found.proofs["REQ-A-01"] == ["tests/test_a.py::test_one"]
    assert found.faults == [
        "REQ-A-03 is not listed: tests/test_a.py::test_one",
        "REQ-A-02 has no text",
        "REQ-A-02 has a status without a reason, or a reason without a status",
    ]


# -- the statement


def test_the_tables_of_the_statement_are_those_of_the_code() -> None:
    text = statement.STATEMENT.read_text("utf-8")
    assert statement.written(text) == text, "run python -m conformance.statement"
    assert text.count("<!-- table ") == 7


# -- the README


def test_commands_and_options_of_the_readme_are_there() -> None:
    text = (requirements.ROOT / "README.md").read_text("utf-8")
    named = [
        (line[1], set(re.findall(r"(?<!\S)--[a-z-]+", line[2])))
        for line in re.finditer(r"\bslidegate ([a-z][a-z-]*)([^`\n]*)", text)
    ]
    assert {"demo", "serve", "add", "convert"} <= {name for name, _ in named}
    for name, options in named:
        assert options <= options_of(cli.main.commands[name]), name
    commands = (*cli.main.commands.values(), suite)
    anywhere = set[str]().union(*map(options_of, commands), {"--help"})
    assert set(re.findall(r"(?<=`)--[a-z-]+", text)) <= anywhere


def options_of(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


# -- the API description


@dataclass(frozen=True)
class Api:
    """The description, and the application over a folder with one slide."""

    document: Json
    client: Client
    instance: tuple[str, str, str]

    @property
    def operations(self) -> Iterator[tuple[str, Json]]:
        for path, item in self.document["paths"].items():
            if "get" in item:
                yield path, item["get"]

    def url(self, path: str, uids: tuple[str, str, str], frames: str = "1") -> str:
        values = dict(zip(("study", "series", "instance"), uids, strict=True))
        if path == WADO_URI:
            named = zip(("studyUID", "seriesUID", "objectUID"), uids, strict=True)
            return f"{path}?requestType=WADO&" + "&".join(f"{name}={uid}" for name, uid in named)
        return path.format(**values, frames=frames, path="00480105/0/00282000")

    def content_of(self, operation: Json, status: int) -> dict[str, Json]:
        """Return the media types that an answer may have."""
        response = operation["responses"][str(status)]
        if "$ref" in response:
            response = self.document["components"]["responses"][response["$ref"].split("/")[-1]]
        content: dict[str, Json] = response["content"]
        return content

    def conforms(self, document: object, media: Json) -> bool:
        schema = media["schema"] | {"components": self.document["components"]}
        return bool(OAS31Validator(schema).is_valid(document))


@pytest.fixture(scope="module")
def api(svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory) -> Api:
    settings = Settings(tmp_path_factory.mktemp("api") / "data")
    slide = open_services(settings).ingest.add(str(svs[0]))
    client = Client(load_application(settings, URL))
    (first,) = json.loads(client.get("/dicom-web/instances?limit=1").data)
    sop_instance = first["00080018"]["Value"][0]
    document, _ = read_from_filename(str(requirements.ROOT / "conformance/openapi.yaml"))
    return Api(dict(document), client, (slide.study, slide.series, sop_instance))


def test_the_api_description_is_valid(api: Api) -> None:
    validate(api.document)


def test_the_api_description_has_exactly_the_routes_of_the_application(api: Api) -> None:
    seen: list[Flask] = []

    def notice(app: Flask, **_: object) -> None:
        seen.append(app)

    with request_started.connected_to(notice):
        api.client.get("/health")
    (app,) = seen
    routes = {
        (re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith("pages.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {
        (path, method)
        for path, item in api.document["paths"].items()
        for method in item.keys() - {"parameters"}
    } == routes | {(FRAMES, "get")}


def test_every_described_media_type_is_given_when_asked_for(api: Api) -> None:
    for path, operation in api.operations:
        for media_type, media in api.content_of(operation, 200).items():
            answer = api.client.get(api.url(path, api.instance), headers={"Accept": media_type})
            assert answer.status_code == 200, (path, media_type)
            assert answer.headers["Content-Type"].startswith(media_type)
            if "schema" in media:
                assert api.conforms(json.loads(answer.data), media), path


@pytest.mark.req("REQ-HTTP-20")
def test_errors_are_described_and_have_the_described_form(api: Api) -> None:
    unknown = ("1.2.3", "1.2.3", "1.2.3")
    for path, operation in api.operations:
        for url, headers in (
            (api.url(path, unknown), {}),
            (api.url(path, api.instance, "0"), {}),
            (api.url(path, api.instance, "99999"), {}),
            (api.url(path, api.instance) + "?limit=x", {}),
            (api.url(path, api.instance), {"Accept": "text/html"}),
            (api.url(path, api.instance), {"Host": "elsewhere.example"}),
        ):
            answer = api.client.get(url, headers=headers)
            if answer.status_code != 200:
                content = api.content_of(operation, answer.status_code)
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert api.conforms(answer.json, content["application/problem+json"])
                assert not api.conforms(
                    {"title": "no problem"}, content["application/problem+json"]
                )


def test_the_described_limit_of_frames_is_the_limit(api: Api) -> None:
    text = statement.STATEMENT.read_text("utf-8")
    assert "at most 10,000" in text
    for count, status in ((10_000, 404), (10_001, 400)):
        listed = ",".join(["99999"] * count)
        assert api.client.get(api.url(FRAMES, api.instance, listed)).status_code == status
