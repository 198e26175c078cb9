"""The running server, asked as clients ask."""

import json
import re
import socket
from email import message_from_bytes
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import requests
from PIL import Image

from tests.conftest import Server, serving, slidegate
from tests.factories import SvsTruth, make_svs

Json = dict[str, Any]
UIDS = ("0020000D", "0020000E", "00080018")
OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


def found(server: Server, path: str) -> list[Json]:
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    documents: list[Json] = json.loads(answer.content, parse_constant=pytest.fail)
    return documents


def instance_path(server: Server, flavour: str = "VOLUME", number: int = 0) -> str:
    matches = [one for one in found(server, "/instances") if flavour in one["00080008"]["Value"]]
    url: str = matches[number]["00081190"]["Value"][0]
    return url.removeprefix(server.root)


def parts_of(answer: requests.Response) -> list[tuple[str, bytes]]:
    """Take a multipart body apart with the standard library's mail parser and by hand."""
    kind = answer.headers["Content-Type"]
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode())
    boundary = message.get_param("boundary")
    assert isinstance(boundary, str)
    head, *parts, tail = answer.content.split(f"--{boundary}".encode())
    assert (head, tail) == (b"", b"--\r\n")
    split = [part.split(b"\r\n\r\n", 1) for part in parts]
    assert all(body.endswith(b"\r\n") and len(lines) < 1000 for lines, body in split)
    return [(lines.decode(), body[:-2]) for lines, body in split]


# -- frames


@pytest.mark.req("REQ-FRM-01", "REQ-FRM-02", "REQ-HTTP-10")
def test_frames_come_in_the_order_asked_for(server: Server, svs: tuple[Path, SvsTruth]) -> None:
    tiles = svs[1].levels[0].tiles
    answer = server.get(f"{instance_path(server)}/frames/3,1,2,1", OCTETS)
    parts = parts_of(answer)
    assert answer.headers["Content-Type"].startswith(
        'multipart/related; type="application/octet-stream"'
    )
    for (head, body), number in zip(parts, [3, 1, 2, 1], strict=True):
        assert body.endswith(tiles[number - 1][2:])
        assert "Content-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.50" in (
            head
        )
        assert f"/frames/{number}" in head


def test_every_frame_is_the_tile_joined_with_its_tables(
    server: Server, svs: tuple[Path, SvsTruth]
) -> None:
    app14 = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    for number, level in enumerate(svs[1].levels):
        path = instance_path(server, number=number)
        for frame, tile in enumerate(level.tiles, 1):
            answer = server.get(f"{path}/frames/{frame}", "image/jpeg")
            assert answer.content == b"\xff\xd8" + level.tables[2:-2] + app14 + tile[2:]
            assert answer.headers["Content-Type"].startswith("image/jpeg")


@pytest.mark.req("REQ-FRM-04")
def test_native_pixels_are_what_openslide_sees(server: Server, svs: tuple[Path, SvsTruth]) -> None:
    level = svs[1].levels[0]
    answer = server.get(f"{instance_path(server)}/frames/2", "application/octet-stream")
    pixels = np.frombuffer(answer.content, np.uint8).reshape(level.tile, level.tile, 3)
    assert np.array_equal(pixels, level.decoded[1])


@pytest.mark.parametrize(
    ("numbers", "status"),
    [("0", 400), ("1,0", 400), ("x", 400), ("-1", 400), ("1,,2", 400), ("99999", 404)],
)
@pytest.mark.req("REQ-FRM-01", "REQ-HTTP-20")
def test_frames_that_are_not_there_are_told(server: Server, numbers: str, status: int) -> None:
    answer = server.get(f"{instance_path(server)}/frames/{numbers}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status


@pytest.mark.req("REQ-HTTP-21")
def test_long_lists_and_escaped_commas_are_taken(
    server: Server, svs: tuple[Path, SvsTruth]
) -> None:
    wanted = [1 + number % len(svs[1].levels[0].tiles) for number in range(400)]
    listed = "%2C".join(f"{number:06}" for number in wanted)
    answer = server.get(f"{instance_path(server)}/frames/{listed}/", OCTETS)
    assert answer.status_code == 200
    assert len(parts_of(answer)) == 400


@pytest.mark.req("REQ-HTTP-19", "REQ-HTTP-23")
def test_head_tells_what_get_would(server: Server) -> None:
    url = f"{server.root}{instance_path(server)}/frames/1"
    accept = {"Accept": "image/jpeg", "Accept-Encoding": "gzip, br"}
    head = requests.head(url, headers=accept, timeout=10)
    get = requests.get(url, headers=accept, timeout=10)
    assert head.content == b""
    for name in ("Content-Type", "Content-Length", "Vary"):
        assert head.headers[name] == get.headers[name]
    assert "Content-Encoding" not in get.headers


@pytest.mark.req("REQ-HTTP-19", "REQ-HTTP-21")
def test_other_methods_are_told_which_there_are(server: Server) -> None:
    for path in ("/studies", f"{instance_path(server)}/frames/1"):
        for method in ("DELETE", "PATCH", "OPTIONS"):
            answer = requests.request(method, server.root + path, timeout=10)
            assert answer.status_code in ((200, 204) if method == "OPTIONS" else (405,))
            assert {"GET", "HEAD", "OPTIONS"} <= set(answer.headers["Allow"].split(", "))
    assert server.get("/studies/1.x/series/1/instances/1/frames/1").status_code == 400


@pytest.mark.req("REQ-HTTP-04")
def test_other_syntaxes_are_not_acceptable(server: Server) -> None:
    accept = 'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90'
    assert server.get(f"{instance_path(server)}/frames/1", accept).status_code == 406
    assert server.get(instance_path(server), "text/html").status_code == 406
    assert server.get("/studies", "application/dicom+xml").status_code == 406


# -- metadata and bulk data


@pytest.mark.req("REQ-META-01", "REQ-META-05", "REQ-META-07", "REQ-META-09", "REQ-QIDO-12")
def test_metadata_hold_every_attribute_of_the_file(server: Server) -> None:
    series = instance_path(server).split("/instances")[0]
    documents = found(server, f"{series}/metadata")
    assert len(documents) == len(found(server, f"{series}/instances")) == 6
    for document in documents:
        sop_instance = document["00080018"]["Value"][0]
        answer = server.get(f"{series}/instances/{sop_instance}", "application/dicom")
        dataset = pydicom.dcmread(BytesIO(answer.content))
        tags = {f"{element.tag:08X}" for element in dataset if element.tag != 0x7FE00010}
        assert set(document) == tags | {"00083002"}
        assert list(document) == sorted(document)
        del document["00083002"]
        del dataset.PixelData
        read_back = pydicom.Dataset.from_json(dataset.to_json_dict())
        assert pydicom.Dataset.from_json(document) == read_back


@pytest.mark.req("REQ-META-02", "REQ-META-03", "REQ-META-04", "REQ-META-06", "REQ-HTTP-02")
def test_bulk_data_are_inline_in_metadata_and_at_their_uri(server: Server) -> None:
    (match,) = found(server, "/instances?includefield=OpticalPathSequence&limit=1")
    path = match["00480105"]["Value"][0]
    uri = path["00282000"]["BulkDataURI"]
    assert uri.startswith(server.url)
    single = requests.get(uri, headers={"Accept": "application/octet-stream"}, timeout=10)
    assert single.headers["Content-Type"] == "application/octet-stream"
    accept = 'multipart/related; type="application/octet-stream"'
    ((_, body),) = parts_of(requests.get(uri, headers={"Accept": accept}, timeout=10))
    (document,) = found(
        server, f"{match['00081190']['Value'][0].removeprefix(server.root)}/metadata"
    )
    inline = pydicom.Dataset.from_json(document).OpticalPathSequence[0].ICCProfile
    assert single.content == body == inline
    for wrong in ("00282000", "00480105/7/00282000", "00480105/0/00480106", "x", "00480105/x/1"):
        bad = uri.split("/bulkdata/")[0] + f"/bulkdata/{wrong}"
        assert requests.get(bad, timeout=10).status_code == 404


# -- whole instances


@pytest.mark.req("REQ-INS-01", "REQ-HTTP-07", "REQ-HTTP-09")
@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"',
        "multipart/related; type=application/dicom; transfer-syntax=*",
        'multipart/related; transfer-syntax=1.2.840.10008.1.2.4.50; type="application/dicom"',
    ],
)
def test_an_instance_comes_in_parts(server: Server, accept: str) -> None:
    path = instance_path(server)
    answer = server.get(path, accept)
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    ((_, body),) = parts_of(answer)
    assert body == server.get(path, "application/dicom; transfer-syntax=*").content


def test_a_study_comes_whole(server: Server) -> None:
    study = instance_path(server).split("/series")[0]
    answer = server.get(study, 'multipart/related; type="application/dicom"')
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    parts = parts_of(answer)
    uids = {str(pydicom.dcmread(BytesIO(body)).SOPInstanceUID) for _, body in parts}
    assert len(uids) == len(parts) == 6


# -- search


@pytest.mark.req("REQ-QIDO-01", "REQ-QIDO-10", "REQ-QIDO-11", "REQ-HTTP-08")
def test_every_resource_answers_with_its_attributes(server: Server) -> None:
    answer = server.get("/studies?ModalitiesInStudy=SM", "application/dicom+json")
    assert answer.headers["Content-Type"] == "application/dicom+json"
    (study,) = answer.json()
    uid = study["0020000D"]["Value"][0]
    assert study["00080061"]["Value"] == ["SM"]
    assert study["00201206"]["Value"] == [1]
    assert study["00201208"]["Value"] == [6]
    (series,) = found(server, f"/series?Modality=SM&StudyInstanceUID={uid}")
    assert series == found(server, f"/studies/{uid}/series")[0]
    assert series["00201209"]["Value"] == [6]
    within = f"/studies/{uid}/series/{series['0020000E']['Value'][0]}/instances"
    instances = found(server, within)
    assert instances == found(server, "/instances") == found(server, f"/studies/{uid}/instances")
    for one in instances:
        assert {"00080016", "00080018", "00200013", "00280010", "00280008"} <= set(one)
        assert one["00083002"]["Value"][0].startswith("1.2.840.10008.1.2")


@pytest.mark.req("REQ-QIDO-02", "REQ-QIDO-03", "REQ-QIDO-04")
def test_pages_cover_all_and_end(server: Server) -> None:
    everything = found(server, "/instances")
    pages = [found(server, f"/instances?limit=2&offset={start}") for start in (0, 2, 4, 6)]
    assert [one for page in pages for one in page] == everything
    assert pages[-1] == []
    assert found(server, "/studies?PatientID=nobody") == []


@pytest.mark.req("REQ-QIDO-14", "REQ-QIDO-06")
def test_a_study_list_is_asked_for_as_ohif_does(server: Server) -> None:
    common = "limit=101&offset=0&fuzzymatching=false"
    fields = "includefield=00081030,00080060,00080090,00100030"
    for modalities in ("SM", "SM,SR", "SR%5CSM"):
        answer = server.get(f"/studies?ModalitiesInStudy={modalities}&{common}&{fields}")
        (study,) = answer.json()
        assert {"00081030", "00080090", "00100030"} <= set(study)
        assert "00080018" not in study
    assert "00280010" not in found(server, "/studies?includefield=all")[0]
    assert "00480105" in found(server, "/instances?includefield=all")[0]


@pytest.mark.req("REQ-QIDO-07")
def test_uid_lists_are_or(server: Server) -> None:
    uids = [one["00080018"]["Value"][0] for one in found(server, "/instances")][:2]
    for joined in (",".join(uids), "%5C".join(uids), "&SOPInstanceUID=".join(uids)):
        assert len(found(server, f"/instances?SOPInstanceUID={joined}")) == 2


def test_unknown_resources_are_not_found(server: Server) -> None:
    for path in ("/studies/1.2.3/metadata", "/studies/1.2.3", "/nothing"):
        assert server.get(path).status_code == 404
    assert found(server, "/studies/1.2.3/series") == []
    assert server.get("/studies/x/metadata").status_code == 400


# -- the server itself


def test_it_is_alive_and_ready(server: Server) -> None:
    for path in ("/health", "/ready"):
        assert requests.get(server.url + path, timeout=5).status_code == 200


def test_a_name_from_elsewhere_is_refused(server: Server) -> None:
    for path in ("/dicom-web/studies", "/"):
        answer = requests.get(server.url + path, headers={"Host": "evil.example"}, timeout=5)
        assert answer.status_code == 403
    named = requests.get(f"{server.root}/studies", headers={"Host": "localhost"}, timeout=5)
    assert named.status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_it_refuses_to_listen_where_others_could_reach_it(tmp_path: Path, host: str) -> None:
    done = slidegate("serve", "--data", tmp_path / "d", "--host", host, "--port", "0", fails=True)
    assert "identit" in done.stderr
    assert done.stdout == ""


def test_it_answers_under_the_name_it_listens_to(tmp_path: Path) -> None:
    for host in ("127.0.0.2", "localhost"):
        with serving(tmp_path / "data", "--host", host) as running:
            assert host in running.url
            assert running.get("/studies").json() == []


def test_a_taken_port_is_told(server: Server, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    done = slidegate("serve", "--data", tmp_path / "d", "--port", port, fails=True)
    assert f"Port {port}" in done.stderr


@pytest.mark.parametrize(
    ("request_text", "wanted"),
    [
        (b"GET /dicom-web/studies/%00/series HTTP/1.1", 400),
        (b"GET /dicom-web/studies?limit=%ff HTTP/1.1", 400),
        (b"GET /dicom-web/studies?PatientName=%00 HTTP/1.1", 400),
        (b"GET /dicom-web/instances?includefield=%ff%fe&%ff=1 HTTP/1.1", 200),
        (b"GET /dicom-web/studies/1/series/1/instances/1/frames/%d9%a1 HTTP/1.1", 400),
        (b"POST /dicom-web/studies HTTP/1.1\r\nContent-Length: 0", 415),
        (b"PUT /dicom-web/studies HTTP/1.1\r\nContent-Length: 0", 405),
    ],
)
def test_strange_requests_end_in_a_plain_answer(
    server: Server, request_text: bytes, wanted: int
) -> None:
    host, port = re.match(r"http://(.*):(\d+)", server.url).groups()  # type: ignore[union-attr]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request_text + b"\r\nHost: localhost\r\n\r\n")
        answer = connection.recv(65536)
    assert int(answer.split()[1]) == wanted
    assert b"Traceback" not in answer


def test_a_slide_added_while_it_runs_is_served_at_once(server: Server, tmp_path: Path) -> None:
    slide = tmp_path / "late.svs"
    make_svs(slide, seed=7)
    data = tmp_path / "data"
    with serving(data) as running:
        assert found(running, "/studies") == []
        record = json.loads(slidegate("add", slide, "--data", data, "--json").stdout)
        assert (record["state"], record["path"]) == ("linked", str(slide))
        (study,) = found(running, "/studies")
        assert study["0020000D"]["Value"] == [record["study"]]
        answer = running.get(f"{instance_path(running)}/frames/1", "image/jpeg")
        assert Image.open(BytesIO(answer.content)).size == (240, 240)
