"""curl, for what clients and proxies may do and libraries rarely let one do."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from dicomweb_client import DICOMwebClient
from pydicom import dcmwrite
from pydicom.uid import generate_uid

from conformance.bench.objects import annotations_of
from tests.clients.conftest import POLYGONS, Archive
from tests.conftest import tool

Curl = Callable[..., tuple[int, bytes, str]]
OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


@pytest.fixture
def curl(tmp_path: Path) -> Curl:
    """Return what runs curl and tells status, body and the head of the last answer."""

    def run(
        *arguments: str | Path, stdin: bytes = b"", fails: bool = False
    ) -> tuple[int, bytes, str]:
        told = tmp_path / "head"
        command = [tool("curl", "curl"), "-sS", "-D", str(told), "--max-time", "20", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        head = told.read_text().strip().split("\n\n")[-1].replace("\r", "")
        return int(head.split()[1]), done.stdout, head.lower()

    return run


@pytest.fixture
def frames(archive: Archive) -> str:
    """URL of frames of the base level, with a slash at its end."""
    study, series, instance = archive.base
    return f"{archive.server.root}/studies/{study}/series/{series}/instances/{instance}/frames/"


@pytest.mark.parametrize(
    "version", ["--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge"]
)
def test_versions_of_http_make_no_difference(
    archive: Archive, curl: Curl, frames: str, version: str
) -> None:
    status, body, head = curl(version, "-H", "Accept: image/jpeg", f"{frames}2")
    assert status == 200
    assert body.endswith(archive.slide.levels[0].tiles[1][2:])
    assert head.startswith("http/2" if version == "--http2-prior-knowledge" else "http/1")


@pytest.mark.req("REQ-HTTP-18")
def test_ranges_are_pieces_of_the_whole(archive: Archive, curl: Curl, frames: str) -> None:
    instance = frames.removesuffix("/frames/")
    accept = ("-H", "Accept: application/dicom")
    _, whole, _ = curl(*accept, instance)
    for asked, wanted in (
        ("128-131", b"DICM"),
        (f"{len(whole) - 9}-", whole[-9:]),
        ("-7", whole[-7:]),
        ("0-99999999999", whole),
    ):
        status, body, head = curl(*accept, "-r", asked, instance)
        assert (status, body == wanted) == (206, True)
        assert f"/{len(whole)}" in head
    status, body, head = curl(*accept, "-r", f"{len(whole)}-", instance)
    assert status == 416
    assert f"content-range: bytes */{len(whole)}" in head


@pytest.mark.req("REQ-HTTP-23")
def test_only_text_is_compressed(archive: Archive, curl: Curl, frames: str) -> None:
    metadata = frames.replace("/frames/", "/metadata")
    _, plain, _ = curl(metadata)
    status, body, head = curl("--compressed", metadata)
    assert (status, body) == (200, plain)
    assert "content-encoding: gzip" in head
    for accept in ("image/jpeg", OCTETS):
        _, _, head = curl("--compressed", "-H", f"Accept: {accept}", f"{frames}1")
        assert "content-encoding" not in head


@pytest.mark.req("REQ-HTTP-19")
def test_options_and_head_are_answered_without_a_body(
    archive: Archive, curl: Curl, frames: str
) -> None:
    status, body, head = curl("-X", "OPTIONS", f"{archive.server.root}/studies")
    assert status in (200, 204)
    assert "allow: " in head
    for url in (f"{frames}1", frames.removesuffix("/frames/"), f"{archive.server.root}/studies"):
        status, body, head = curl("-I", url)
        assert status == 200
        assert body[-4:] == b"\r\n\r\n"  # the head, as -I shows it
        assert "content-type: " in head


@pytest.mark.req("REQ-HTTP-21", "REQ-FRM-01")
@pytest.mark.parametrize("comma", [",", "%2C", "%2c"])
def test_commas_may_be_escaped(archive: Archive, curl: Curl, frames: str, comma: str) -> None:
    status, body, _ = curl("-H", f"Accept: {OCTETS}", f"{frames}{comma.join('123')}")
    assert status == 200
    places = [body.index(tile[2:]) for tile in archive.slide.levels[0].tiles[:3]]
    assert places == sorted(places)


@pytest.mark.req("REQ-HTTP-21", "REQ-FRM-01")
def test_very_long_lists_are_taken_or_refused_in_words(
    archive: Archive, curl: Curl, frames: str
) -> None:
    numbers = [str(1 + number % 130) for number in range(5000)]
    listed = ",".join(numbers)
    status, body, _ = curl("-H", f"Accept: {OCTETS}", f"{frames}{listed}")
    assert status == 200
    assert body.count(b"Content-Location") == 5000
    status, _, _ = curl("-H", f"Accept: {OCTETS}", f"{frames}{','.join(['1'] * 10_001)}")
    assert 400 <= status < 500


@pytest.mark.req("REQ-HTTP-01", "REQ-HTTP-02")
def test_hosts_without_port_and_absolute_targets_change_no_url(
    archive: Archive, curl: Curl
) -> None:
    url = f"{archive.server.root}/studies?StudyInstanceUID={archive.study}"
    _, wanted, _ = curl(url)
    path = urlsplit(url)
    for options in (
        ("-H", f"Host: {path.hostname}"),
        ("--request-target", url),
        ("--request-target", url, "-H", "Host: localhost"),
        ("-x", archive.server.url),
    ):
        status, body, _ = curl(*options, url)
        assert (status, body) == (200, wanted)


def test_one_connection_serves_several_requests(archive: Archive, curl: Curl, frames: str) -> None:
    urls = [f"{frames}1", f"{archive.server.root}/studies", f"{frames}0", f"{frames}2"]
    _, body, _ = curl("-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", *urls[:1])
    assert body == b"200 1\n"
    each = [one for url in urls for one in ("-o", "/dev/null", url)]
    _, body, _ = curl("-w", "%{http_code} %{num_connects}\n", *each)
    assert body.decode().split("\n")[:-1] == ["200 1", "200 0", "400 0", "200 0"]


@pytest.mark.req("REQ-STOW-01", "REQ-STOW-02")
@pytest.mark.parametrize(
    "options",
    [
        ("-T", "-"),  # chunked, as it is read
        ("-T", "-", "--expect100-timeout", "10", "-H", "Expect: 100-continue"),
        ("--data-binary", "@-", "-H", "Expect:"),
        ("--http2-prior-knowledge", "-T", "-"),
    ],
)
def test_stores_come_in_chunks_or_whole_and_after_a_hundred(
    archive: Archive, curl: Curl, tmp_path: Path, options: tuple[str, ...]
) -> None:
    base = DICOMwebClient(archive.server.root).retrieve_instance(*archive.base)
    base.StudyInstanceUID = generate_uid()
    annotations = annotations_of(base, POLYGONS, name=str(generate_uid()))
    dcmwrite(tmp_path / "one.dcm", annotations, enforce_file_format=True)
    part = b"\r\nContent-Type: application/dicom\r\n\r\n" + (tmp_path / "one.dcm").read_bytes()
    body = b"--one" + part + b"\r\n--one--\r\n"
    kind = 'Content-Type: multipart/related; type="application/dicom"; boundary=one'
    url = f"{archive.server.root}/studies"
    status, told, _ = curl("-X", "POST", "-H", kind, *options, url, stdin=body)
    assert status == 202, told  # as the image that they are of is not in their study
    assert str(annotations.SOPInstanceUID) in told.decode()
