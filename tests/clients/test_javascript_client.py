"""dicomweb-client for JavaScript, in a real browser, on another origin than the slides."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import generate_uid

from conformance.bench.objects import report_of
from tests.clients.conftest import Archive
from tests.web.browser import Page

OCTETS = [{"mediaType": "application/octet-stream"}]


def _named(uids: tuple[str, ...]) -> dict[str, object]:
    names = ("studyInstanceUID", "seriesInstanceUID", "sopInstanceUID")
    return dict(zip(names, uids, strict=False))


class Client:
    """Methods of the client, with its names for UIDs.

    Parameters
    ----------
    options
        Of its constructor.
    """

    def __init__(self, page: Page, **options: object) -> None:
        page.ask(f"connect({json.dumps(options)})")
        self._page = page

    def __call__(self, method: str, *uids: str, **options: object) -> Any:
        arguments = _named(uids) | options
        return self._page.ask(f"call({json.dumps(method)}, {json.dumps(arguments)})")

    def binary(self, method: str, *uids: str, **options: object) -> list[bytes]:
        """Return what is an array of buffers there, or one."""
        result = self(method, *uids, **options)
        assert isinstance(result, str | list), result
        return [b64decode(one) for one in ([result] if isinstance(result, str) else result)]

    def by_uri(self, *uids: str) -> list[bytes]:
        """Return what is there when it is fetched as a plain object."""
        status, content_type, data = self._page.ask(f"fetchByUri({json.dumps(_named(uids))})")
        assert (status, content_type.split(";")[0]) == (200, "application/dicom")
        return [b64decode(data)]


@pytest.fixture
def client(archive: Archive, site: str, page: Page) -> Client:
    page.open(f"{site}/pages/client.html")
    return Client(page, url=archive.server.root)


@pytest.mark.req("REQ-QIDO-01", "REQ-QIDO-12", "REQ-META-01")
def test_it_finds_studies_series_instances_and_reads_metadata(
    archive: Archive, client: Client
) -> None:
    uids = {"StudyInstanceUID": archive.study, "ModalitiesInStudy": "SM"}
    [study] = client("searchForStudies", queryParams=uids)
    assert study["0020000D"]["Value"] == [archive.study]
    series = client("searchForSeries", queryParams={"StudyInstanceUID": archive.study})
    assert len(series) == 3
    found = client("searchForInstances", archive.study, archive.series)
    assert len(found) == len(archive.images)
    assert client("searchForStudies", queryParams={"PatientName": "No^body"}) == []
    metadata = client("retrieveStudyMetadata", archive.study)
    assert len(metadata) == len(archive.images) + 2
    assert metadata == json.loads(archive.server.get(f"/studies/{archive.study}/metadata").content)


@pytest.mark.req("REQ-FRM-01", "REQ-FRM-02", "REQ-FRM-03", "REQ-FRM-05", "REQ-HTTP-09")
@pytest.mark.parametrize(
    "media_types",
    [
        [{"mediaType": "application/octet-stream", "transferSyntaxUID": "*"}],
        [{"mediaType": "image/jpeg"}],
        [{"mediaType": "image/jpeg", "transferSyntaxUID": "1.2.840.10008.1.2.4.50"}],
        [
            {"mediaType": "image/jls", "transferSyntaxUID": "1.2.840.10008.1.2.4.80"},
            {"mediaType": "image/jhc", "transferSyntaxUID": "1.2.840.10008.1.2.4.201"},
            {"mediaType": "image/jpeg", "transferSyntaxUID": "1.2.840.10008.1.2.4.50"},
        ],
    ],
)
def test_frames_are_the_tiles(
    archive: Archive, client: Client, media_types: list[dict[str, str]]
) -> None:
    tiles = archive.slide.levels[0].tiles
    for numbers in ([5], [3, 130, 3]):
        frames = client.binary(
            "retrieveInstanceFrames", *archive.base, frameNumbers=numbers, mediaTypes=media_types
        )
        for frame, number in zip(frames, numbers, strict=True):
            assert frame[:2] == b"\xff\xd8"
            assert frame.endswith(tiles[number - 1][2:])


@pytest.mark.req("REQ-FRM-04")
def test_without_media_types_frames_are_pixels(archive: Archive, client: Client) -> None:
    frames = client.binary("retrieveInstanceFrames", *archive.base, frameNumbers=[1, 9])
    for frame, number in zip(frames, (1, 9), strict=True):
        pixels = np.frombuffer(frame, np.uint8).reshape(240, 240, 3)
        assert np.array_equal(pixels, archive.slide.levels[0].decoded[number - 1])


@pytest.mark.req("REQ-INS-01", "REQ-HTTP-07")
def test_instances_come_alone_and_in_series(archive: Archive, client: Client) -> None:
    series = client.binary("retrieveSeries", archive.study, archive.series)
    assert len(series) == len(archive.images)
    [alone] = client.binary("retrieveInstance", *archive.base)
    assert alone in series
    answer = archive.server.get(
        "/studies/{}/series/{}/instances/{}".format(*archive.base), "application/dicom"
    )
    assert alone == answer.content


@pytest.mark.req("REQ-META-06", "REQ-HTTP-18")
def test_bulk_data_come_whole_and_in_ranges(archive: Archive, client: Client, page: Page) -> None:
    [metadata] = client("retrieveSeriesMetadata", archive.study, archive.many)
    uri = metadata["006A0002"]["Value"][0]["00660016"]["BulkDataURI"]
    [whole] = client.binary("retrieveBulkData", BulkDataURI=uri)
    assert len(whole) == 2 * 70_000 * 8
    octets = {"Accept": "application/octet-stream"}
    assert requests.get(uri, headers=octets, timeout=10).content == whole
    # Parts have no ranges, and the browser's cache must not make any.
    assert client.binary("retrieveBulkData", BulkDataURI=uri, byteRange=[16, 63]) == [whole]
    client = Client(page, url=archive.server.root, singlepart="bulkdata")
    headers = octets | {"Range": "bytes=16-63"}
    assert client.binary("retrieveBulkData", BulkDataURI=uri, headers=headers) == [whole[16:64]]


@pytest.mark.req("REQ-REN-01", "REQ-REN-03")
def test_rendered_pictures_and_thumbnails_are_pictures(archive: Archive, client: Client) -> None:
    label = archive.flavour("LABEL")
    for media_type, kind in (("image/png", "PNG"), ("image/jpeg", "JPEG")):
        wanted = {"mediaTypes": [{"mediaType": media_type}], "queryParams": {"viewport": "60,80"}}
        for method, uids in (
            ("retrieveInstanceRendered", label),
            ("retrieveInstanceRendered", archive.base),
            ("retrieveInstanceThumbnail", archive.base),
        ):
            [data] = client.binary(method, *uids, **wanted)
            picture = Image.open(BytesIO(data))
            assert picture.format == kind
            assert picture.width == 60 or picture.height == 80
    [frame] = client.binary(
        "retrieveInstanceFramesRendered",
        *archive.base,
        frameNumbers=[4],
        mediaTypes=[{"mediaType": "image/png"}],
    )
    seen = np.asarray(Image.open(BytesIO(frame)))
    assert seen.shape == (240, 240, 3)
    [whatever] = client.binary("retrieveInstanceRendered", *label)
    assert archive.slide.label is not None
    assert Image.open(BytesIO(whatever)).size == archive.slide.label.shape[1::-1]


@pytest.mark.req("REQ-URI-01")
def test_objects_are_fetched_the_old_way(archive: Archive, client: Client, page: Page) -> None:
    new_way = client.binary("retrieveInstance", *archive.base)
    client = Client(page, url=archive.server.url, wadoURLPrefix="wado")
    assert client.by_uri(*archive.base) == new_way


def written(dataset: Dataset) -> str:
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return b64encode(buffer.getvalue()).decode()


@pytest.mark.req("REQ-STOW-01", "REQ-STOW-04")
def test_a_report_is_stored_and_comes_back(archive: Archive, client: Client) -> None:
    [base] = client.binary("retrieveInstance", *archive.base)
    image = dcmread(BytesIO(base))
    image.StudyInstanceUID = generate_uid()  # a study of its own: others count this one's
    report = report_of(image)
    told = client("storeInstances", datasets=[written(report)])
    [stored] = Dataset.from_json(told).ReferencedSOPSequence
    assert stored.ReferencedSOPInstanceUID == report.SOPInstanceUID
    uids = (str(report.StudyInstanceUID), str(report.SeriesInstanceUID))
    [back] = client.binary("retrieveInstance", *uids, str(report.SOPInstanceUID))
    assert dcmread(BytesIO(back)).ContentSequence == report.ContentSequence
    assert client("storeInstances", datasets=[written(report)])  # again: no failure
    refused = client("storeInstances", str(generate_uid()), datasets=[written(report)])
    assert refused["status"] == 409
    [failed] = Dataset.from_json(refused["body"]).FailedSOPSequence
    assert failed.ReferencedSOPInstanceUID == report.SOPInstanceUID


@pytest.mark.req("REQ-HTTP-12", "REQ-HTTP-20")
def test_refusals_can_be_read_by_pages(archive: Archive, client: Client) -> None:
    for status, uids in (
        (404, (archive.study, archive.series, str(generate_uid()))),
        (400, (archive.study, archive.series, "1.x")),
    ):
        refused = client("retrieveInstanceFrames", *uids, frameNumbers=[1])
        assert refused["status"] == json.loads(refused["body"])["status"] == status
