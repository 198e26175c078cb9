"""WADO-URI, as it is asked for by what is older than DICOMweb."""

from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

import pydicom
import pytest
from PIL import Image
from werkzeug.test import TestResponse

from tests.dicomweb.test_instances import JPEG, NATIVE, Slide

pytestmark = pytest.mark.req("REQ-URI-01")


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    folder: Path = tmp_path_factory.mktemp("uri")
    return Slide(folder, "ycbcr")


def ask(slide: Slide, /, **changed: str | None) -> TestResponse:
    key = slide.base.key
    given: dict[str, str | None] = {
        "requestType": "WADO",
        "studyUID": key.study,
        "seriesUID": key.series,
        "objectUID": key.instance,
    }
    told = {name: value for name, value in (given | changed).items() if value is not None}
    return slide.client.get(f"/wado?{urlencode(told)}")


def test_an_object_of_many_frames_comes_as_dicom(slide: Slide) -> None:
    for content_type in (None, "application/dicom"):
        answer = ask(slide, contentType=content_type)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("application/dicom")
        assert answer.data == slide.get().data


def test_a_transfer_syntax_can_be_asked_for(slide: Slide) -> None:
    for syntax in (JPEG, NATIVE):
        answer = ask(slide, transferSyntax=syntax)
        assert pydicom.dcmread(BytesIO(answer.data)).file_meta.TransferSyntaxUID == syntax
    assert ask(slide, transferSyntax="1.2.840.10008.1.2").status_code == 406


def test_a_frame_comes_as_a_picture(slide: Slide) -> None:
    for kind in ("JPEG", "PNG"):
        content_type = f"image/{kind.lower()}"
        answer = ask(slide, contentType=content_type, frameNumber="2", rows="64", imageQuality="80")
        assert answer.headers["Content-Type"] == content_type
        with Image.open(BytesIO(answer.data)) as picture:
            assert (picture.format, max(picture.size)) == (kind, 64)
    assert ask(slide, contentType="image/jpeg").status_code == 200
    assert ask(slide, contentType="image/jpeg", frameNumber="99").status_code == 404
    assert ask(slide, contentType="image/jpeg", frameNumber="1,2").status_code == 400


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"requestType": None}, 400),
        ({"requestType": "other"}, 400),
        ({"studyUID": None}, 400),
        ({"seriesUID": None}, 400),
        ({"objectUID": None}, 400),
        ({"objectUID": "x"}, 400),
        ({"objectUID": "1.2.3"}, 404),
        ({"anonymize": "yes"}, 406),
        ({"contentType": "text/html"}, 406),
        ({"frameNumber": "1"}, 400),
        ({"contentType": "image/png", "windowCenter": "1"}, 406),
    ],
)
def test_what_cannot_be_given_is_told(
    slide: Slide, changed: dict[str, str | None], status: int
) -> None:
    answer = ask(slide, **changed)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
