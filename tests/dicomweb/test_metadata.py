"""Metadata and bulk data over HTTP: what is sent, when, and in which form."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import requests
from pydicom.filewriter import dcmwrite

from conformance.bench.objects import annotations_of
from gateway.bootstrap import open_services
from gateway.settings import Settings
from tests.conftest import Server, serving
from tests.factories import make_svs

Json = dict[str, Any]
COORDINATES = np.arange(1 << 19, dtype="<f4")
"""More than is inline."""


@dataclass(frozen=True)
class Slide:
    """A slide with annotations, served."""

    server: Server
    study: str
    series: str
    annotations: str

    def get(self, path: str, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"Accept-Encoding": "identity"} | named
        return requests.get(f"{self.server.root}{path}", headers=named, timeout=20)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("metadata")
    make_svs(folder / "slide.svs", seed=5)
    services = open_services(Settings(folder / "data"))
    study = services.ingest.add(str(folder / "slide.svs")).study
    base = services.retrieve.instances(study)[0]
    annotations = annotations_of(services.retrieve.header(base))
    group = annotations.AnnotationGroupSequence[1]
    group.GraphicType = "POINT"
    group.PointCoordinatesData = COORDINATES.tobytes()
    group.NumberOfAnnotations = len(COORDINATES) // 2
    buffer = BytesIO()
    dcmwrite(buffer, annotations, enforce_file_format=True)
    key = services.receive.receive([[buffer.getvalue()]]).key
    with serving(folder / "data") as server:
        path = f"/studies/{key.study}/series/{key.series}/instances/{key.instance}"
        yield Slide(server, f"/studies/{study}", f"/studies/{study}/series/{base.key.series}", path)


@pytest.mark.req("REQ-META-01", "REQ-META-08", "REQ-HTTP-23")
@pytest.mark.parametrize("level", ["study", "series", "annotations"])
def test_metadata_are_the_same_compressed_or_not(slide: Slide, level: str) -> None:
    path = f"{getattr(slide, level)}/metadata"
    plain = slide.get(path)
    assert "Content-Encoding" not in plain.headers
    assert int(plain.headers["Content-Length"]) == len(plain.content)
    packed = requests.get(
        slide.server.root + path, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=20
    )
    assert packed.headers["Content-Encoding"] == "gzip"
    raw = packed.raw.read()
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)  # one member, as browsers read it
    assert inflate.decompress(raw) == gzip.decompress(raw) == plain.content
    assert inflate.eof
    if level == "series":
        assert int(packed.headers["Content-Length"]) == len(raw)
    for answer in (plain, packed):
        assert {"Accept", "Accept-Encoding"} <= set(answer.headers["Vary"].split(", "))
        assert answer.headers["Content-Type"] == "application/dicom+json"


@pytest.mark.req("REQ-HTTP-17")
def test_metadata_are_sent_again_only_if_they_changed(slide: Slide) -> None:
    path = f"{slide.series}/metadata"
    tags = set()
    for headers in ({}, {"Accept": "application/json"}, {"Accept_Encoding": "gzip"}):
        first = slide.get(path, **headers)
        tag = first.headers["ETag"]
        tags.add(tag)
        assert first.headers["Cache-Control"] == "private, no-cache"
        again = slide.get(path, If_None_Match=tag, **headers)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == tag
        assert again.headers["Cache-Control"] == "private, no-cache"
        assert {"Accept", "Accept-Encoding"} <= set(again.headers["Vary"].split(", "))
        assert slide.get(path, If_None_Match='"other"', **headers).status_code == 200
    assert len(tags) == 3


@pytest.mark.req("REQ-META-03", "REQ-META-06", "REQ-META-04")
def test_a_client_chooses_the_form_of_binary_values(slide: Slide) -> None:
    def groups(form: str) -> list[Json]:
        (document,) = slide.get(f"{slide.annotations}/metadata{form}").json()
        found: list[Json] = document["006A0002"]["Value"]
        return found

    small, large = groups("")
    assert "InlineBinary" in small["00660016"]
    assert large["00660016"]["BulkDataURI"].startswith(slide.server.root + slide.annotations)
    small, large = groups("?bulkdata=uri")
    assert small["00660016"]["BulkDataURI"] != large["00660016"]["BulkDataURI"]
    assert all("InlineBinary" in one["00660016"] for one in groups("?bulkdata=inline"))
    assert slide.get(f"{slide.annotations}/metadata?bulkdata=some").status_code == 400
    profile = slide.get(f"{slide.series}/metadata?bulkdata=uri").json()[0]["00480105"]["Value"][0]
    assert "BulkDataURI" in profile["00282000"]


@pytest.mark.req("REQ-META-06", "REQ-HTTP-18", "REQ-HTTP-17")
def test_bulk_data_come_whole_and_in_ranges(slide: Slide) -> None:
    path = f"{slide.annotations}/bulkdata/006A0002/1/00660016"
    octets = {"Accept": "application/octet-stream"}
    whole = slide.get(path, **octets)
    assert np.array_equal(np.frombuffer(whole.content, "<f4"), COORDINATES)
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert int(whole.headers["Content-Length"]) == len(whole.content)
    tag = whole.headers["ETag"]
    part = slide.get(path, Range="bytes=1000-1999", If_Range=tag, **octets)
    assert (part.status_code, part.content) == (206, whole.content[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(whole.content)}"
    assert slide.get(path, Range="bytes=-8", **octets).content == whole.content[-8:]
    outside = slide.get(path, Range=f"bytes={len(whole.content)}-", **octets)
    assert outside.status_code == 416
    assert outside.headers["Content-Range"] == f"bytes */{len(whole.content)}"
    assert slide.get(path, If_None_Match=tag, **octets).status_code == 304
    head = requests.head(slide.server.root + path, headers=octets, timeout=20)
    assert (head.headers["ETag"], head.content) == (tag, b"")
    assert head.headers["Content-Length"] == whole.headers["Content-Length"]


@pytest.mark.req("REQ-META-06")
def test_bulk_data_in_parts_are_the_same_each_time(slide: Slide) -> None:
    path = f"{slide.annotations}/bulkdata/006A0002/1/00660016"
    accept = 'multipart/related; type="application/octet-stream"'
    first, again = (slide.get(path, Accept=accept) for _ in range(2))
    assert first.content == again.content
    assert COORDINATES.tobytes() in first.content
    assert (
        first.headers["ETag"] != slide.get(path, Accept="application/octet-stream").headers["ETag"]
    )
    assert slide.get(path, Accept=accept, If_None_Match=first.headers["ETag"]).status_code == 304
    assert slide.get(path, Accept=accept, Range="bytes=0-1").status_code == 200


@pytest.mark.req("REQ-HTTP-19", "REQ-HTTP-23")
def test_head_tells_what_metadata_would_be(slide: Slide) -> None:
    for encoding in ("identity", "gzip"):
        headers = {"Accept-Encoding": encoding}
        url = f"{slide.server.root}{slide.series}/metadata"
        head = requests.head(url, headers=headers, timeout=20)
        get = requests.get(url, headers=headers, timeout=20)
        for name in ("Content-Type", "Content-Length", "ETag", "Vary"):
            assert head.headers[name] == get.headers[name]
        assert head.content == b""
