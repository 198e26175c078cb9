"""dicomweb-client for Python: all of it that is meant for slides."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import requests
from dicomweb_client import DICOMwebClient
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGBaseline8Bit, generate_uid

from conformance.bench.objects import annotations_of
from tests.clients.conftest import POLYGONS, Archive, swapped_profile
from tests.conftest import slidegate
from tests.factories import make_svs

Json = dict[str, Any]


@pytest.fixture
def client(archive: Archive) -> DICOMwebClient:
    return DICOMwebClient(archive.server.root)


def refusal(ask: Callable[[], object]) -> requests.Response:
    """Return the answer that the client takes for an error."""
    with pytest.raises(requests.HTTPError) as caught:
        ask()
    assert caught.value.response is not None
    return caught.value.response


# -- search


@pytest.mark.req("REQ-QIDO-02", "REQ-QIDO-03", "REQ-QIDO-04", "REQ-HTTP-05")
def test_searches_in_pages_find_everything_once(archive: Archive, client: DICOMwebClient) -> None:
    of_study = {"StudyInstanceUID": archive.study}
    [study] = client.search_for_studies(search_filters=of_study, get_remaining=True, limit=1)
    assert study["00201208"]["Value"] == [len(archive.images) + 2]
    series = client.search_for_series(archive.study, get_remaining=True, limit=2)
    uids = [one["0020000E"]["Value"][0] for one in series]
    assert sorted(uids) == sorted([archive.series, archive.few, archive.many])
    for limit in (1, 4, 8, 100):
        found = client.search_for_instances(archive.study, get_remaining=True, limit=limit)
        assert len({one["00080018"]["Value"][0] for one in found}) == len(found) == 8
    assert client.search_for_instances(archive.study, archive.few, limit=1, offset=1) == []
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


@pytest.mark.req("REQ-QIDO-05", "REQ-QIDO-06")
def test_searches_take_fields_filters_and_fuzzy_names(
    archive: Archive, client: DICOMwebClient
) -> None:
    filters = {"Modality": "SM", "00080008": "VOLUME"}
    fields = ["TotalPixelMatrixColumns", "00480007", "SpecimenDescriptionSequence"]
    found = client.search_for_instances(archive.study, search_filters=filters, fields=fields)
    columns = [one["00480006"]["Value"][0] for one in found]
    assert columns == [level.columns for level in archive.slide.levels]
    assert all(one["00400560"]["Value"][0]["00400551"]["Value"] for one in found)
    [study] = client.search_for_studies(
        fuzzymatching=True, search_filters={"StudyInstanceUID": archive.study, "PatientName": "*"}
    )
    assert study["0020000D"]["Value"] == [archive.study]


# -- retrieval


@pytest.mark.req("REQ-META-01", "REQ-META-09", "REQ-HTTP-08")
def test_metadata_are_the_same_at_all_levels(archive: Archive, client: DICOMwebClient) -> None:
    def by_uid(documents: list[Json]) -> dict[str, Json]:
        return {one["00080018"]["Value"][0]: one for one in documents}

    study = by_uid(client.retrieve_study_metadata(archive.study))
    series = by_uid(client.retrieve_series_metadata(archive.study, archive.series))
    assert (len(study), len(series)) == (8, 6)
    for uid, document in series.items():
        alone = client.retrieve_instance_metadata(archive.study, archive.series, uid)
        assert alone == document == study[uid]
    for document in study.values():
        Dataset.from_json(json.dumps(document), lambda tag, vr, uri: b"")


@pytest.mark.req("REQ-FRM-01", "REQ-FRM-02", "REQ-FRM-06", "REQ-HTTP-09")
def test_frames_are_the_tiles_of_the_scanner(archive: Archive, client: DICOMwebClient) -> None:
    level = archive.slide.levels[0]
    for media_types in (
        None,
        ("image/jpeg",),
        (("image/jpeg", JPEGBaseline8Bit),),
        (("application/octet-stream", "*"),),
        ("image/jp2", "image/jpeg"),
    ):
        frames = client.retrieve_instance_frames(*archive.base, [2, 130, 1, 2], media_types)
        assert [frame[-60:] for frame in frames] == [
            level.tiles[number - 1][-60:] for number in (2, 130, 1, 2)
        ]
    everything = client.iter_instance_frames(*archive.base, list(range(1, 131)))
    for frame, tile in zip(everything, level.tiles, strict=True):
        assert frame[-60:] == tile[-60:]


@pytest.mark.req("REQ-FRM-04")
def test_octets_without_a_transfer_syntax_are_pixels(
    archive: Archive, client: DICOMwebClient
) -> None:
    octets = ("application/octet-stream",)
    [pixels] = client.retrieve_instance_frames(*archive.base, [7], media_types=octets)
    seen = np.frombuffer(pixels, np.uint8).reshape(240, 240, 3)
    assert np.array_equal(seen, archive.slide.levels[0].decoded[6])


@pytest.mark.req("REQ-INS-01", "REQ-HTTP-07")
def test_instances_series_and_studies_are_the_same_objects(
    archive: Archive, client: DICOMwebClient
) -> None:
    study = {one.SOPInstanceUID: one for one in client.retrieve_study(archive.study)}
    streamed = {one.SOPInstanceUID: one for one in client.iter_study(archive.study)}
    assert study == streamed
    assert len(study) == 8
    for one in client.iter_series(archive.study, archive.series):
        assert one == study[one.SOPInstanceUID]
        alone = client.retrieve_instance(archive.study, archive.series, one.SOPInstanceUID)
        assert alone == one
        assert alone.file_meta.TransferSyntaxUID == one.file_meta.TransferSyntaxUID
    base = study[archive.images[0].SOPInstanceUID]
    assert base.OpticalPathSequence[0].ICCProfile == swapped_profile()
    frames = generate_frames(base.PixelData, number_of_frames=base.NumberOfFrames)
    for frame, tile in zip(frames, archive.slide.levels[0].tiles, strict=True):
        assert frame.rstrip(b"\0")[-60:] == tile[-60:]


@pytest.mark.req("REQ-INS-01")
def test_openslide_opens_what_was_downloaded(
    archive: Archive, client: DICOMwebClient, tmp_path: Path
) -> None:
    for one in client.iter_series(archive.study, archive.series):
        one.save_as(tmp_path / f"{one.SOPInstanceUID}.dcm", enforce_file_format=True)
    with (
        openslide.OpenSlide(next(tmp_path.iterdir())) as there,
        openslide.OpenSlide(archive.slide.path) as here,
    ):
        assert there.level_dimensions == here.level_dimensions
        for number, (columns, rows) in enumerate(here.level_dimensions):
            whole = ((0, 0), number, (columns, rows))
            pictures = (slide.read_region(*whole).tobytes() for slide in (there, here))
            assert len(set(pictures)) == 1
        assert {"label", "macro", "thumbnail"} == set(there.associated_images)


@pytest.mark.req("REQ-META-02", "REQ-META-04", "REQ-META-06", "REQ-HTTP-02")
def test_bulk_data_are_fetched_from_their_uri(archive: Archive, client: DICOMwebClient) -> None:
    [metadata] = client.retrieve_series_metadata(archive.study, archive.many)
    group = metadata["006A0002"]["Value"][0]
    points = group["00660016"]
    assert points["vr"] == "OF"
    uri = points["BulkDataURI"]
    [whole] = client.retrieve_bulkdata(uri)
    coordinates = np.frombuffer(whole, "<f4").reshape(-1, 2)
    assert np.array_equal(coordinates[0], POLYGONS[0][0])
    assert np.array_equal(coordinates[70_000], POLYGONS[1][0])
    assert list(client.iter_bulkdata(uri)) == [whole]
    octets = (("application/octet-stream", "*"),)
    assert client.retrieve_bulkdata(uri, media_types=octets) == [whole]
    whole_again = Dataset.from_json(
        json.dumps(metadata), lambda tag, vr, uri: bytes(client.retrieve_bulkdata(uri)[0])
    )
    [stored] = client.retrieve_series(archive.study, archive.many)
    theirs = stored.AnnotationGroupSequence[0].PointCoordinatesData
    assert whole_again.AnnotationGroupSequence[0].PointCoordinatesData == theirs


@pytest.mark.req("REQ-REN-01", "REQ-REN-02")
def test_rendered_slides_fit_their_viewport(archive: Archive, client: DICOMwebClient) -> None:
    colours = {"iccprofile": "srgb"}
    fitted = {"viewport": "290,231"} | colours
    png = ("image/png",)
    pictures = [
        client.retrieve_instance_rendered(*archive.base, png, fitted),
        client.retrieve_series_rendered(archive.study, archive.series, png, fitted),
        client.retrieve_instance_rendered(*archive.base, ("image/jpeg",), fitted),
        client.retrieve_instance_rendered(*archive.base, params=fitted),
    ]
    truth = Image.fromarray(archive.slide.levels[0].pixels[..., ::-1])  # as its profile says
    for picture in map(Image.open, map(BytesIO, pictures)):
        assert picture.width == 290 or picture.height == 231
        wanted = truth.resize(picture.size, Image.Resampling.BOX)
        difference = np.asarray(picture.convert("RGB")).astype(int) - np.asarray(wanted)
        assert np.abs(difference).mean() < 4
    frame = client.retrieve_instance_frames_rendered(*archive.base, [8], png, colours)
    seen = np.asarray(Image.open(BytesIO(frame)))
    tile = archive.slide.levels[0].decoded[7][..., ::-1]
    assert np.abs(seen.astype(int) - tile).max() <= 2


# -- storage


def another_slide(folder: Path, columns: int, rows: int, seed: int) -> list[Dataset]:
    """Return a slide as others would have made it, the base level first."""
    make_svs(folder / "other.svs", columns=columns, rows=rows, seed=seed)
    slidegate("convert", folder / "other.svs", folder / "dicom")
    files = sorted((folder / "dicom").iterdir(), key=lambda file: -file.stat().st_size)
    return [dcmread(file) for file in files]


@pytest.mark.req("REQ-HTTP-01", "REQ-STOW-01", "REQ-STOW-03", "REQ-STOW-04")
def test_a_slide_is_stored_and_comes_back(
    archive: Archive, client: DICOMwebClient, tmp_path: Path
) -> None:
    objects = another_slide(tmp_path, columns=1700, rows=1500, seed=11)
    study = str(objects[0].StudyInstanceUID)
    assert len(objects[0].PixelData) > 1_000_000  # comes in chunks, without a length
    asked: list[requests.PreparedRequest] = []
    client._session.hooks["response"].append(lambda answer, **_: asked.append(answer.request))
    chunked = client.store_instances(objects[:1])
    small = client.store_instances([objects[-1]], study)
    assert [one.headers.get("Transfer-Encoding") for one in asked] == ["chunked", None]
    for answer, one in ((chunked, objects[0]), (small, objects[-1])):
        [stored] = answer.ReferencedSOPSequence
        assert stored.ReferencedSOPInstanceUID == one.SOPInstanceUID
        assert stored.RetrieveURL.startswith(f"{archive.server.root}/studies/{study}/series/")
        assert "FailedSOPSequence" not in answer
    again = client.store_instances(objects)  # those that are there are no failure
    assert len(again.ReferencedSOPSequence) == len(objects)
    for one in objects:
        back = client.retrieve_instance(study, str(one.SeriesInstanceUID), str(one.SOPInstanceUID))
        assert back.PixelData == one.PixelData
    [found] = client.search_for_studies(search_filters={"StudyInstanceUID": study})
    assert found["00201208"]["Value"] == [len(objects)]


def test_what_is_refused_is_an_error_with_its_reason(
    archive: Archive, client: DICOMwebClient
) -> None:
    base = client.retrieve_instance(*archive.base)
    annotations = annotations_of(base, POLYGONS, name=str(generate_uid()))
    answer = refusal(lambda: client.store_instances([annotations], str(generate_uid())))
    assert answer.status_code == 409
    [failed] = Dataset.from_json(answer.json()).FailedSOPSequence
    assert failed.ReferencedSOPInstanceUID == annotations.SOPInstanceUID
    assert failed.FailureReason


# -- errors


@pytest.mark.req("REQ-HTTP-20", "REQ-HTTP-21")
def test_errors_are_those_of_the_standard(archive: Archive, client: DICOMwebClient) -> None:
    unknown = str(generate_uid())
    study, series, _ = archive.base
    for status, ask in (
        (404, lambda: client.retrieve_study(unknown)),
        (404, lambda: client.retrieve_series_metadata(study, unknown)),
        (404, lambda: client.retrieve_instance(study, series, unknown)),
        (404, lambda: client.retrieve_instance_frames(*archive.base, [131])),
        (406, lambda: client.retrieve_instance_frames(*archive.base, [1], ("image/jp2",))),
        (405, lambda: client.delete_study(study)),
        (405, lambda: client.delete_series(study, series)),
        (405, lambda: client.delete_instance(*archive.base)),
    ):
        answer = refusal(ask)
        assert answer.status_code == answer.json()["status"] == status
    assert len(client.search_for_instances(study)) == 8
