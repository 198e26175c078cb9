"""Whole instances: in which transfer syntax, whole or in part."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from werkzeug.test import Client, TestResponse

from gateway.bootstrap import load_application, open_services
from gateway.core.instances import Instance
from gateway.dicomweb import instances
from gateway.services.retrieve import Retrieve
from gateway.settings import Settings
from tests.codings import Components
from tests.factories import SvsTruth, make_svs

NATIVE, JPEG, LOSSLESS = (f"1.2.840.10008.1.2.{end}" for end in ("1", "4.50", "4.90"))
STORED = "application/dicom; transfer-syntax=*"


class Slide:
    """A slide behind the application, without a server."""

    def __init__(self, folder: Path, components: Components) -> None:
        path = folder / "slide.svs"
        self.truth: SvsTruth = make_svs(
            path, columns=700, rows=500, downsamples=(4,), components=components
        )
        settings = Settings(folder / "data")
        self.services = open_services(settings)
        self.study = self.services.ingest.add(str(path)).study
        self.client = Client(load_application(settings, "http://localhost:8080"))

    @property
    def retrieve(self) -> Retrieve:
        return self.services.retrieve

    @property
    def base(self) -> Instance:
        return max(self.retrieve.instances(self.study), key=lambda one: one.number_of_frames)

    def get(self, accept: str = STORED, /, method: str = "GET", **headers: str) -> TestResponse:
        key = self.base.key
        path = f"/dicom-web/studies/{key.study}/series/{key.series}/instances/{key.instance}"
        told = {"Accept": accept} | {name.replace("_", "-"): one for name, one in headers.items()}
        return self.client.open(path, method=method, headers=told)


@pytest.fixture(scope="module")
def lossless(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    return Slide(tmp_path_factory.mktemp("lossless"), "j2k-rct")


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    return Slide(tmp_path_factory.mktemp("lossy"), "ycbcr")


def read(answer: TestResponse) -> pydicom.Dataset:
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    return pydicom.dcmread(BytesIO(answer.data))


@pytest.mark.req("REQ-INS-02", "REQ-HTTP-07")
@pytest.mark.parametrize(
    "accept", ["application/dicom", f"application/dicom;transfer-syntax={NATIVE}"]
)
def test_what_is_compressed_without_loss_comes_native(lossless: Slide, accept: str) -> None:
    stored, native = read(lossless.get()), read(lossless.get(accept))
    assert stored.file_meta.TransferSyntaxUID == LOSSLESS
    assert native.file_meta.TransferSyntaxUID == NATIVE
    assert (native.PhotometricInterpretation, native.PlanarConfiguration) == ("RGB", 0)
    level = lossless.truth.levels[0]
    assert np.array_equal(native.pixel_array, np.stack(level.decoded))
    for one in (stored, native):
        del one.PixelData, one.PhotometricInterpretation
    assert native == stored  # the UIDs among them


@pytest.mark.req("REQ-HTTP-07")
def test_what_has_lost_something_comes_as_stored(lossy: Slide) -> None:
    for accept in ("application/dicom", "application/dicom; transfer-syntax=*", STORED):
        assert read(lossy.get(accept)).file_meta.TransferSyntaxUID == JPEG


@pytest.mark.req("REQ-INS-02")
def test_a_lossy_instance_is_decoded_only_if_that_is_asked_for(
    lossy: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = f"application/dicom; transfer-syntax={NATIVE}"
    native = read(lossy.get(accept))
    assert native.LossyImageCompression == "01"
    assert native.PhotometricInterpretation == "RGB"
    assert np.array_equal(native.pixel_array, np.stack(lossy.truth.levels[0].decoded))
    monkeypatch.setattr(instances, "MOST_NATIVE_BYTES", 1000)
    assert lossy.get(accept).status_code == 406
    assert lossy.get(f"application/dicom; transfer-syntax={LOSSLESS}").status_code == 406


@pytest.mark.req("REQ-HTTP-07")
def test_what_is_too_large_to_be_native_comes_as_stored(
    lossless: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "MOST_NATIVE_BYTES", 1000)
    assert read(lossless.get("application/dicom")).file_meta.TransferSyntaxUID == LOSSLESS


def _materialised(slide: Slide) -> str:
    for one in slide.services.ingest.slides():
        slide.services.ingest.materialise(one)
    return STORED


@pytest.mark.req("REQ-HTTP-18")
@pytest.mark.parametrize("form", [lambda _: STORED, lambda _: "application/dicom", _materialised])
def test_any_part_of_an_instance_is_the_same_part_of_the_whole(
    lossless: Slide, form: Callable[[Slide], str]
) -> None:
    accept = form(lossless)
    whole = lossless.get(accept).data
    size = len(whole)
    places = [*range(0, size, size // 13), 1, 131, size - 9, size - 1]
    for start in places:
        for stop in (start + 1, start + 3000, size):
            part = lossless.get(accept, Range=f"bytes={start}-{stop - 1}")
            assert part.status_code == 206
            assert part.data == whole[start:stop]
            last = min(stop, size) - 1
            assert part.headers["Content-Range"] == f"bytes {start}-{last}/{size}"
            assert int(part.headers["Content-Length"]) == len(part.data)
    assert lossless.get(accept, Range="bytes=-77").data == whole[-77:]
    beyond = lossless.get(accept, Range=f"bytes={size}-")
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{size}"


@pytest.mark.req("REQ-HTTP-17", "REQ-HTTP-18", "REQ-HTTP-19")
def test_an_instance_is_known_again(lossless: Slide) -> None:
    first, native = lossless.get(), lossless.get("application/dicom")
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    assert tag != native.headers["ETag"]
    assert first.headers["Accept-Ranges"] == "bytes"
    assert first.headers["Cache-Control"] == "private, no-cache"  # it may be corrected
    assert {"Accept", "Authorization"} <= set(first.headers["Vary"].split(", "))
    again = lossless.get(If_None_Match=tag)
    assert (again.status_code, again.data) == (304, b"")
    assert lossless.get(Range="bytes=0-9", If_Range=tag).status_code == 206
    assert lossless.get(Range="bytes=0-9", If_Range='"other"').status_code == 200
    head = lossless.get(method="HEAD")
    assert head.data == b""
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges"):
        assert head.headers[name] == first.headers[name]
