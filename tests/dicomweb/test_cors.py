"""Pages of other origins read answers if their origin is configured, and only then."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import Server, serving, slidegate
from tests.factories import SvsTruth
from tests.web.browser import Page, browsing

VIEWER = "https://viewer.example"
FRAME = 'multipart/related; type="image/jpeg"'


class _Blank(BaseHTTPRequestHandler):
    """A page of another origin."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>elsewhere</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Origin of a server of pages."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Blank)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def shared(
    svs: tuple[Path, SvsTruth], elsewhere: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that allows two origins."""
    data = tmp_path_factory.mktemp("shared") / "data"
    slidegate("add", svs[0], "--data", data)
    options = ("--cors-origin", VIEWER, "--cors-origin", elsewhere)
    with serving(data, "--no-materialise", *options) as server:
        yield server


@pytest.fixture(scope="module")
def volume(shared: Server) -> str:
    """URL of an instance."""
    url: str = shared.get("/instances?ImageType=VOLUME").json()[0]["00081190"]["Value"][0]
    return url


def preflight(url: str, origin: str, **asked: str) -> requests.Response:
    named = {"Origin": origin, "Access-Control-Request-Method": "GET"} | {
        f"Access-Control-Request-{name}": value for name, value in asked.items()
    }
    return requests.options(url, headers=named, timeout=10)


def listed(answer: requests.Response, header: str) -> set[str]:
    return {one.strip().lower() for one in answer.headers.get(header, "").split(",")}


@pytest.mark.req("REQ-HTTP-11")
def test_preflights_are_answered_for_every_path(shared: Server, volume: str) -> None:
    for url in (f"{volume}/frames/1", f"{shared.root}/studies", f"{shared.url}/nothing"):
        answer = preflight(url, VIEWER, Headers="authorization, x-own")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == VIEWER
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert int(answer.headers["Access-Control-Max-Age"]) >= 7200
        assert listed(answer, "Access-Control-Allow-Methods") == {
            "get", "head", "post", "put", "delete", "options"
        }  # fmt: skip
        assert listed(answer, "Access-Control-Allow-Headers") >= {
            "accept", "authorization", "content-type", "range", "if-none-match",
            "content-security-policy", "x-requested-with", "x-own",
        }  # fmt: skip
        assert listed(answer, "Vary") == {
            "origin", "access-control-request-method", "access-control-request-headers"
        }  # fmt: skip
    odd = preflight(f"{shared.root}/studies", VIEWER, Headers="a\tb; c")
    assert "b; c" not in odd.headers["Access-Control-Allow-Headers"]
    private = preflight(volume, VIEWER, **{"Private-Network": "true"})
    assert private.headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.req("REQ-HTTP-12", "REQ-HTTP-13")
def test_answers_and_errors_of_all_kinds_carry_the_headers(shared: Server, volume: str) -> None:
    for method, url, headers, status in (
        ("GET", f"{volume}/frames/1", {}, 200),
        ("HEAD", f"{volume}/frames/1", {}, 200),
        ("GET", f"{shared.root}/studies", {}, 200),
        ("OPTIONS", f"{volume}/frames/1", {}, 204),
        ("GET", f"{volume}/frames/0", {}, 400),
        ("GET", f"{shared.root}/studies", {"Host": "evil.example"}, 403),
        ("GET", f"{volume}/frames/99999", {}, 404),
        ("GET", f"{shared.url}/nothing", {}, 404),
        ("DELETE", f"{shared.root}/series", {}, 405),
        ("DELETE", f"{volume}/frames/1", {}, 405),
        ("GET", f"{volume}/frames/1", {"Accept": "text/html"}, 406),
    ):
        answer = requests.request(method, url, headers=headers | {"Origin": VIEWER}, timeout=10)
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == VIEWER
        assert "origin" in listed(answer, "Vary")
        assert listed(answer, "Access-Control-Expose-Headers") >= {
            "content-type", "content-location", "location", "etag", "warning", "retry-after",
            "content-range", "accept-ranges",
        }  # fmt: skip


@pytest.mark.req("REQ-HTTP-11")
def test_other_origins_get_nothing_but_the_answer_still_varies(
    shared: Server, server: Server, volume: str
) -> None:
    for origin in ("https://evil.example", "null", f"{VIEWER}:444", f"{VIEWER}.evil.example"):
        for answer in (
            preflight(f"{volume}/frames/1", origin),
            requests.get(f"{volume}/frames/1", headers={"Origin": origin}, timeout=10),
        ):
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
            assert "origin" in listed(answer, "Vary")
    assert "origin" in listed(requests.get(volume, timeout=10), "Vary")
    # Nothing is configured: nothing is allowed.
    closed = preflight(f"{server.root}/studies", VIEWER)
    assert not [name for name in closed.headers if name.startswith("Access-Control")]


_READ = """
(async (url, accept, credentials) => {
  try {
    const answer = await fetch(url, { headers: { Accept: accept }, credentials });
    const body = await answer.arrayBuffer();
    const names = ["Content-Type", "Warning", "Retry-After", "ETag"];
    const headers = names.map((name) => [name, answer.headers.get(name)]);
    return { status: answer.status, size: body.byteLength, ...Object.fromEntries(headers) };
  } catch (error) {
    return String(error);
  }
})(%s, %s, %s)
"""


def read(page: Page, url: str, accept: str, credentials: str = "omit") -> Any:
    return page.ask(_READ % tuple(map(json.dumps, (url, accept, credentials))))


@pytest.mark.req("REQ-HTTP-11", "REQ-HTTP-12", "REQ-HTTP-13")
def test_a_real_browser_reads_frames_metadata_warnings_and_errors(
    shared: Server, volume: str, elsewhere: str, tmp_path: Path
) -> None:
    with browsing(tmp_path / "chromium") as page:
        page.command("Page.navigate", url=elsewhere)
        while page.ask("document.title") != "elsewhere":
            pass
        frame = read(page, f"{volume}/frames/1", FRAME, "include")
        assert (frame["status"], frame["Content-Type"][:17]) == (200, "multipart/related")
        direct = requests.get(f"{volume}/frames/1", headers={"Accept": FRAME}, timeout=10)
        assert frame["size"] == len(direct.content)
        metadata = read(page, f"{volume}/metadata", "application/dicom+json")
        assert metadata["Content-Type"] == "application/dicom+json"
        search = read(page, f"{shared.root}/studies?Nothing=1", "application/dicom+json")
        assert "Nothing" in search["Warning"]
        refused = read(page, f"{volume}/frames/1", "text/html; x=1")
        assert (refused["status"], refused["Content-Type"]) == (406, "application/problem+json")
        # The same page under another name is another origin.
        page.command("Page.navigate", url=elsewhere.replace("127.0.0.1", "localhost"))
        while page.ask("location.hostname + document.title") != "localhostelsewhere":
            pass
        assert "Failed to fetch" in read(page, f"{volume}/frames/1", FRAME)
