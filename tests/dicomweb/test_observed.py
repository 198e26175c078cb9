"""What operators are told, and what every client is told that asks for what cannot be."""

from __future__ import annotations

import json
import logging
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client

from gateway.bootstrap import load_application, open_services
from gateway.dicomweb.http.limits import LIMITS, URL_BYTES
from gateway.dicomweb.http.observed import FRAMES_ROUTE, Observed
from gateway.settings import Settings, Web
from gateway.telemetry.logs import JsonLines
from gateway.telemetry.metrics import Metrics
from tests.conftest import Server
from tests.factories import SvsTruth

ROUTE = "/dicom-web/studies/{study}/metadata"


def one_instance(server: Server) -> str:
    """Return the URL of an instance."""
    url: str = server.get("/instances?ImageType=VOLUME").json()[0]["00081190"]["Value"][0]
    return url


@pytest.fixture(scope="module")
def logged(svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory) -> Client:
    """An application that writes a line for every answer."""
    settings = Settings(tmp_path_factory.mktemp("logged") / "data", web=Web(access_log="all"))
    open_services(settings).ingest.add(str(svs[0]))
    return Client(load_application(settings, "http://localhost"))


# -- metrics


def sample(server: Server, name: str, **labels: str) -> float:
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    return sum(
        one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name == name and labels.items() <= one.labels.items()
    )


def totals(server: Server) -> tuple[float, float, float]:
    """Return answers, bytes and frames of the frame lane."""
    good = {"route": FRAMES_ROUTE, "method": "GET", "status": "2xx"}
    return (
        sample(server, "slidegate_answer_seconds_count", **good),
        sample(server, "slidegate_answer_bytes_total", **good),
        sample(server, "slidegate_frames_total"),
    )


def settled(server: Server) -> tuple[float, float, float]:
    """Wait until all processes have told what they counted."""
    seen = totals(server)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        if (now := totals(server)) != seen:
            seen, end = now, time.monotonic() + 1.5
        time.sleep(0.05)
    return seen


def test_answers_of_all_processes_are_counted(server: Server) -> None:
    url = f"{one_instance(server)}/frames"
    count, size, frames = settled(server)
    sent = 0
    for listed in ["1"] * 20 + ["1,2,3"]:  # each on a connection of its own: both get some
        sent += len(requests.get(f"{url}/{listed}", timeout=10).content)
    wanted = (count + 21, size + sent, frames + 23)
    end = time.monotonic() + 20
    while totals(server) != wanted:
        assert time.monotonic() < end, (totals(server), wanted)
    assert sample(server, "slidegate_slides", state="linked") == 1


def test_metrics_name_routes_methods_and_states_but_nobody(server: Server) -> None:
    uid = "1.2.3.4567890"
    for method, path in (
        ("GET", f"/studies/{uid}/metadata"),
        ("GET", f"/{uid}"),
        (uid, "/studies"),
    ):
        requests.request(method, server.root + path, timeout=10)
    answer = requests.get(f"{server.url}/metrics", timeout=10)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert uid not in answer.text
    assert not re.search(r"\d\.\d+\.\d+\.\d+", answer.text)
    end = time.monotonic() + 20
    for labels in ({"route": ROUTE, "status": "4xx"}, {"route": "unknown"}, {"method": "other"}):
        while not sample(server, "slidegate_answer_seconds_count", **labels):
            assert time.monotonic() < end, labels


# -- the access log


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    formatter = JsonLines()
    return [json.loads(formatter.format(record)) for record in caplog.records]


def test_each_answer_has_a_line_without_identifiers(
    logged: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "slidegate.access")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    traced = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    logged.get("/dicom-web/studies/1.2.3/metadata?PatientName=Miller", headers=traced).get_data()
    logged.get("/dicom-web/studies?PatientName=Miller").get_data()
    logged.get("/Miller", headers={"traceparent": "Miller", "User-Agent": "Miller"}).get_data()
    logged.open("/dicom-web/studies", method="MILLER", buffered=True)
    lines = lines_of(caplog)
    assert [line["status"] for line in lines] == [404, 200, 404, 405]
    assert [line["route"] for line in lines] == [ROUTE, "/dicom-web/studies", "unknown", "unknown"]
    assert [line["method"] for line in lines] == ["GET", "GET", "GET", "other"]
    assert lines[0]["trace"] == trace
    assert re.fullmatch("[0-9a-f]{32}", str(lines[2]["trace"]))
    assert {"time", "level", "logger", "bytes", "ms"} <= set(lines[1])
    assert "miller" not in json.dumps(lines).lower()
    assert "1.2.3" not in json.dumps(lines)


def test_frames_and_probes_have_a_line_only_if_all_are_asked_for(
    logged: Client, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO, "slidegate.access")
    quiet = Settings(tmp_path / "data", web=Web(access_log="requests"))
    frame = "/dicom-web/studies/1/series/1/instances/1/frames/1"
    for client, count in (
        (logged, 3),
        (Client(load_application(quiet, "http://localhost")), 1),
        (Client(load_application(Settings(tmp_path / "data"), "http://localhost")), 0),
    ):
        caplog.clear()
        for path in (frame, "/ready", "/dicom-web/series"):
            client.get(path).get_data()
        assert len(caplog.records) == count


def test_of_an_exception_the_place_is_logged_but_not_what_it_says() -> None:
    try:
        try:
            raise KeyError("Miller")
        except KeyError as error:
            raise ValueError("invalid literal: 'Miller^Anna'") from error
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "p", 1, "went wrong", None, sys.exc_info())
    line = JsonLines().format(record)
    assert "Miller" not in line
    told = json.loads(line)["error"]
    assert told[0] == "ValueError" and "KeyError" in told
    assert "test_observed.py" in told[1]


def test_an_answer_that_breaks_off_is_counted_once_and_called_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "slidegate.access")

    def pieces() -> Iterator[bytes]:
        yield b"12345"
        raise OSError("disk")

    def application(environ: object, start_response: object) -> Iterator[bytes]:
        start_response("200 OK", [])  # type: ignore[operator]
        return pieces()

    metrics = Metrics()
    body = Observed(application, metrics, "all")({"REQUEST_METHOD": "GET"}, lambda *_: print)
    assert b"slidegate_answers_under_way 1.0" in metrics.exposition({})
    assert next(iter(body)) == b"12345"
    with pytest.raises(OSError, match="disk"):
        next(iter(body))
    body.close()  # type: ignore[attr-defined]
    del body
    (line,) = lines_of(caplog)
    assert (line["bytes"], line["broken_off"]) == (5, True)
    assert b"slidegate_answers_under_way 0.0" in metrics.exposition({})


@pytest.mark.req("REQ-HTTP-20")
def test_the_unexpected_is_told_by_a_name_that_the_log_has_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def application(environ: object, start_response: object) -> Iterator[bytes]:
        raise ValueError("Miller")

    answer = Client(Observed(application, Metrics(), "none")).get("/")
    assert answer.status_code == 500
    assert answer.json is not None
    assert answer.json["instance"].startswith("urn:uuid:")
    assert b"Miller" not in answer.data
    (line,) = lines_of(caplog)
    assert line["instance"] == answer.json["instance"]


# -- errors


_PIECES = st.sampled_from(
    ["dicom-web", "studies", "series", "instances", "frames", "metadata", "bulkdata", "rendered",
     "1.2.3", "x", "", "..", "1,2", "00480105/0/00282000", "%", "\x00", "é", "\U0001f600", "view",
     "leaflet", "static", "metrics", "'\"<script>"]
) | st.text(max_size=8)  # fmt: skip
_VALUES = st.sampled_from(
    ["*/*", "application/dicom+json", "multipart/related", 'multipart/related; type="', ";;,,=",
     "bytes=0-", "bytes=9-1", "text/html", "gzip", "W/\"", "*"]
) | st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=20)  # fmt: skip
_NAMES = st.sampled_from(
    ["Accept", "Content-Type", "Range", "If-None-Match", "If-Range", "Accept-Encoding", "Cookie",
     "Authorization", "Host", "Origin", "Forwarded", "X-Forwarded-Host", "Content-Length"]
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "QUERY"]),
    st.lists(_PIECES, max_size=9),
    st.dictionaries(st.sampled_from(["limit", "accept", "StudyDate", "x", "00100010"]), st.text()),
    st.dictionaries(_NAMES, _VALUES, max_size=4),
)
@pytest.mark.req("REQ-HTTP-20", "REQ-HTTP-21")
def test_whatever_is_asked_the_answer_is_plain(
    logged: Client, method: str, path: list[str], query: dict[str, str], headers: dict[str, str]
) -> None:
    answer = logged.open(
        quote("/" + "/".join(path)),
        method=method,
        query_string=query,
        headers=headers,
        buffered=True,
    )
    assert answer.status_code < 500
    assert answer.status_code // 100 != 3 or answer.status_code == 304
    assert b"Traceback" not in answer.data
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.headers["Content-Type"] in (
            "application/problem+json", "application/dicom+json"
        )  # fmt: skip
        if answer.headers["Content-Type"] == "application/problem+json":
            assert answer.json is not None
            assert answer.json["status"] == answer.status_code


def sent(server: Server, head: bytes) -> requests.structures.CaseInsensitiveDict[str]:
    """Send a request as it is; tells status and headers."""
    place = urlsplit(server.url)
    with socket.create_connection((str(place.hostname), place.port or 80), timeout=10) as link:
        link.sendall(head + b"\r\n\r\n")
        lines = link.recv(65536).split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    told = dict(line.split(": ", 1) for line in lines[1:])
    return requests.structures.CaseInsensitiveDict(told | {"status": lines[0].split()[1]})


PROBLEM = "application/problem+json"


@pytest.mark.req("REQ-HTTP-21")
def test_published_limits_hold_at_the_socket(server: Server) -> None:
    path = urlsplit(one_instance(server)).path.encode()
    host = b" HTTP/1.1\r\nHost: localhost"
    longest = path + b"/frames/" + b"%2C".join([b"999999"] * 400)
    assert sent(server, b"GET " + longest + host)["status"] == "404"
    fields = b"&includefield=00081030" * 400  # 9 kB
    assert sent(server, b"GET /dicom-web/studies?limit=1" + fields + host)["status"] == "200"
    for head, status, document in (
        (b"GET /dicom-web/studies?x=" + b"a" * URL_BYTES + host, 414, True),
        (b"GET /" + b"a" * 70_000 + host, 414, False),
        (b"GET /health" + host + b"".join(b"\r\nX-%d: 1" % n for n in range(101)), 431, False),
        (b"GET " + path + b"/frames/1" + host + b"\r\nContent-Length: 1", 413, True),
        (b"GET /dicom-web/studies" + host + b"\r\nTransfer-Encoding: chunked", 413, True),
        (b"DELETE /dicom-web/studies" + host + b"\r\nContent-Length: 9", 413, True),
        (b"GET " + path + b"/frames/" + b"1," * 10_000 + b"1" + host, 400, True),
    ):
        told = sent(server, head)
        assert told["status"] == str(status), head[:80]
        assert (told.get("Content-Type") == PROBLEM) is document
        assert status in {limit.status for limit in LIMITS.values()}
    for most in (b"\r\nContent-Length: 0", b"\r\nX: " + b"a" * 390_000):
        assert sent(server, b"GET /health" + host + most)["status"] == "200"


# -- HEAD, OPTIONS, capabilities


@pytest.mark.req("REQ-HTTP-19", "REQ-HTTP-21")
def test_the_capabilities_are_true(server: Server) -> None:
    document = server.get("/", "application/json").json()
    assert document["base"] == server.root
    assert document["limits"]["frames"]["most"] == 10_000
    found = {one["path"]: one["methods"] for one in document["resources"]}
    assert {"/", "/studies", FRAMES_ROUTE.removeprefix("/dicom-web")} <= set(found)
    uids = one_instance(server).split("/")
    values = {"study": uids[5], "series": uids[7], "instance": uids[9], "frames": "1",
              "path": "00480105/0/00282000"}  # fmt: skip
    for path, methods in found.items():
        url = server.root + path.format(**values)
        allowed = set(requests.options(url, timeout=10).headers["Allow"].split(", "))
        assert allowed == set(methods), path
        assert {"GET", "HEAD", "OPTIONS"} <= allowed
        if "rendered" in path or "thumbnail" in path:
            continue
        for slash in ("", "/") if "{path}" not in path else ("",):
            get = requests.get(url + slash, timeout=30)
            head = requests.head(url + slash, timeout=30)
            assert (get.status_code, head.status_code, head.content) == (200, 200, b""), url
            kind = re.sub("boundary=.*", "", get.headers["Content-Type"])
            assert head.headers["Content-Type"].startswith(kind)
            if "Content-Length" in get.headers:
                assert head.headers.get("Content-Length") == get.headers["Content-Length"], url


@pytest.mark.req("REQ-HTTP-19")
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
@pytest.mark.parametrize("path", ["", "/"])
def test_the_root_describes_the_service_in_wadl(server: Server, method: str, path: str) -> None:
    answer = requests.request(method, server.root + path, timeout=10)
    assert answer.headers["Content-Type"] == "application/vnd.sun.wadl+xml"
    assert {"GET", "OPTIONS"} <= set(answer.headers["Allow"].split(", "))
    space = {"w": "http://wadl.dev.java.net/2009/02"}
    resources = ElementTree.fromstring(answer.content).find("w:resources", space)
    assert resources is not None
    assert resources.get("base") == f"{server.root}/"
    paths = {one.get("path") for one in resources.findall("w:resource", space)}
    assert "studies/{study}/series/{series}/metadata" in paths
    assert server.get("/", "text/html").status_code == 406
