"""The suite passes over our own server, and would notice if it did not deserve it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conformance import requirements
from conformance.suite import table
from conformance.suite.checks import CHECKS, FAILED, NOT_APPLICABLE, PASSED, Outcome, outcomes
from conformance.suite.run import run
from conformance.suite.site import Site

SECTIONS = ("HTTP", "QIDO", "META", "FRM", "INS", "REN", "URI", "STOW", "DEL")
FROM_INSIDE = {
    "REQ-HTTP-15": "there are no signed URLs",
    "REQ-META-08": "how fast metadata are is measured by the bench",
}
"""Requirements that no request from outside can prove."""

NOT_HERE = {
    "requests_without_identity": "the server knows no identities yet",
    "names_that_clients_use": "the drawn slide is JPEG; both_names_of_rle does it for a stored one",
    "private_values_stay": "the slide has none; private_values_of_a_stored_object does it",
}
"""Checks that cannot be applied to our own archive."""

LIES = {
    "nonsense": (200, "text/plain", b"nonsense"),
    "error": (500, "application/problem+json", b"{}"),
    "nothing": (200, "application/dicom+json", b"[]"),
    "shells": (200, "application/dicom+json", b"[{}]"),
}
TRUE_BY_CHANCE = {("nothing", "nothing_found")}
"""A server that always finds nothing is right in this."""


@pytest.fixture(scope="module")
def found(archive: Site) -> list[Outcome]:
    return list(run(archive))


def test_our_server_fails_no_check_but_the_known_gaps(found: list[Outcome]) -> None:
    gaps = requirements.known_gaps()
    failed = {
        one.check.name: f"{one.reason} ({one.request})" for one in found if one.state == FAILED
    }
    surprises = "\n".join(f"{name}: {why}" for name, why in failed.items() if name not in gaps)
    assert not surprises, surprises
    assert set(gaps) == set(failed), "gaps.toml lists what passes"
    assert all(gaps.values())


def test_what_cannot_be_checked_here_is_known(found: list[Outcome]) -> None:
    skipped = {one.check.name for one in found if one.state == NOT_APPLICABLE}
    assert skipped == set(NOT_HERE)


def test_running_the_suite_again_changes_nothing(archive: Site, found: list[Outcome]) -> None:
    before = {one.check.name: one.state for one in found if one.check.writes}
    again = {one.check.name: one.state for one in run(archive, ["REQ-STOW", "REQ-DEL"])}
    again.pop("references_to_nothing")  # its warning comes with the first time
    assert {name: before.get(name, PASSED) for name in again} == again


@contextmanager
def lying(status: int, kind: str, body: bytes) -> Iterator[str]:
    """Serve the same answer to every request."""

    class Liar(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                while size := int(self.rfile.readline().strip() or b"0", 16):
                    self.rfile.read(size + 2)
            else:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                with suppress(OSError):  # a check may have heard enough
                    self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_DELETE = do_OPTIONS = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("lie", LIES)
def test_every_check_can_fail(archive: Site, found: list[Outcome], lie: str) -> None:
    """What a check learned about the archive is kept; only the answers change."""
    passed = [one.check.name for one in found if one.state == PASSED]
    root, wado = archive.client.root, archive.wado
    try:
        with lying(*LIES[lie]) as url:
            archive.client.root, archive.wado = f"{url}/dicom-web", f"{url}/wado"
            states = {one.check.name: one.state for one in outcomes(archive)}
    finally:
        archive.client.root, archive.wado = root, wado
    gullible = [name for name in passed if states[name] == PASSED]
    unfair = [name for name in gullible if (lie, name) not in TRUE_BY_CHANCE]
    assert not unfair, ", ".join(unfair)


def test_every_requirement_has_a_check_or_a_reason() -> None:
    listed = {name for name in requirements.report().entries if name.split("-")[1] in SECTIONS}
    checked = {name for one in CHECKS for name in one.requirements}
    assert listed - checked == set(FROM_INSIDE)
    assert len({one.name for one in CHECKS}) == len(CHECKS)
    assert all(one.title and one.requirements for one in CHECKS)


def test_the_table_says_what_failed_and_how_it_was_asked(found: list[Outcome]) -> None:
    text = "\n".join(table.lines([*found, Outcome(CHECKS[0], FAILED, "a reason", "GET /x")]))
    assert "REQ-STOW-11   passed" in text
    assert "a reason\n        GET /x" in text
    assert f"{CHECKS[0].requirements[0]:13} failed" in text
