"""DICOM objects come in as others made them, and leave as they came."""

import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, generate_uid

from conformance.bench.objects import annotations_of, report_of
from gateway.bootstrap import Services, open_services
from gateway.core.errors import (
    BlobMissing,
    Conflict,
    DuplicateInstance,
    GatewayError,
    InvalidDataset,
    NotFound,
    Unavailable,
    UnsupportedSopClass,
    UnsupportedTransferSyntax,
)
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE, Instance
from gateway.core.queries import Key, Query, QueryLevel, Wildcard
from gateway.dicom.gate import Outcome
from gateway.dicom.json.model import dataset_json
from gateway.services.receive import Received
from gateway.settings import Settings
from tests.conftest import SHARED
from tests.factories import SvsTruth
from tests.streams import IMPLICIT, encapsulated, extended, offsets_of, words

Send = Callable[[bytes], Received]


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return open_services(Settings(tmp_path / "data"))


def changed(stream: bytes, transfer_syntax: str | None = None, /, **values: object) -> bytes:
    """Return an object with some values changed, and written in another syntax of its header."""
    dataset = dcmread(BytesIO(stream))
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID or "1")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    if transfer_syntax:
        dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    return written(dataset)


def written(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def frames_of(stream: bytes) -> list[bytes]:
    dataset = dcmread(BytesIO(stream))
    count = int(dataset.NumberOfFrames)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return list(generate_frames(dataset.PixelData, number_of_frames=count))
    size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
    return [dataset.PixelData[place * size : (place + 1) * size] for place in range(count)]


def received(services: Services, stream: bytes) -> Instance:
    """Send an object in small pieces and return what is served."""
    pieces: list[list[bytes | memoryview]] = [
        [stream[:100], stream[100:1000]],
        [],
        [memoryview(stream)[1000:]],
    ]
    return services.retrieve.instance(services.receive.receive(pieces).key)


def leaving(services: Services, instance: Instance) -> bytes:
    part10 = services.retrieve.part10(instance)
    whole = b"".join(part10.pieces)
    assert len(whole) == part10.size
    return whole


def served(services: Services, instance: Instance) -> list[bytes]:
    numbers = range(1, instance.number_of_frames + 1)
    frames = [services.retrieve.frame(instance, number) for number in numbers]
    assert frames == list(services.retrieve.frames(instance, numbers).bitstreams)
    return frames


def blobs(services: Services, tmp_path: Path) -> set[str]:
    """Return the names of all files of the store."""
    return {str(path) for path in (tmp_path / "data/blobs").rglob("*") if path.is_file()}


# -- as it came


@pytest.mark.req("REQ-WSI-34")
@pytest.mark.parametrize("flavour", ["VOLUME/NONE", "VOLUME/RESAMPLED", "LABEL/NONE"])
def test_what_came_leaves_byte_for_byte(
    flavour: str, objects: dict[str, bytes], services: Services
) -> None:
    stream = b"MM\0*".ljust(128, b"\1") + objects[flavour][128:]  # a TIFF as well
    instance = received(services, stream)
    assert leaving(services, instance) == stream
    for mine, theirs in zip(served(services, instance), frames_of(stream), strict=True):
        assert mine + bytes(len(mine) % 2) == theirs + bytes(len(theirs) % 2)
    header = services.retrieve.header(instance)
    assert header == dcmread(BytesIO(stream), stop_before_pixels=True)


@pytest.mark.req("REQ-WSI-03", "REQ-WSI-19", "REQ-WSI-27")
@pytest.mark.parametrize(
    "values",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]},
        {"ImageOrientationSlide": [1, 0, 0, 0, 1, 0]},
        {
            "ConcatenationUID": "2.25.10",
            "InConcatenationNumber": 1,
            "InConcatenationTotalNumber": 2,
            "ConcatenationFrameOffsetNumber": 0,
            "SOPInstanceUIDOfConcatenationSource": "2.25.11",
        },
    ],
    ids=["LOCALIZER", "orientation", "concatenation"],
)
def test_what_we_would_not_write_is_kept(
    values: dict[str, object], volume: bytes, services: Services
) -> None:
    stream = changed(volume, **values)
    instance = received(services, stream)
    assert leaving(services, instance) == stream
    header = services.retrieve.header(instance)
    for keyword, value in values.items():
        assert header[keyword].value == value


@pytest.mark.parametrize("number", range(5))
def test_real_objects_are_taken(number: int, services: Services) -> None:
    path = SHARED / "dicom_wsi" / f"cytomine_wsi_{number}.dcm"
    if number == 4:
        path = path.with_name("highdicom_sm_image.dcm")
    if not path.exists():
        pytest.skip("the folder with real slides is not beside the project")
    instance = received(services, path.read_bytes())
    assert leaving(services, instance) == path.read_bytes()
    for mine, theirs in zip(served(services, instance), frames_of(path.read_bytes()), strict=True):
        assert mine.rstrip(b"\0") == theirs.rstrip(b"\0")


# -- as it may not leave


def test_what_was_repaired_leaves_with_another_header(volume: bytes, services: Services) -> None:
    dataset = dcmread(BytesIO(volume))
    del dataset.PatientSex
    dataset.preamble = b"II*\0".ljust(128, b"\1")
    stream = written(dataset)
    result = services.receive.receive([[stream]])
    assert result.verdict is not None
    assert result.verdict.outcome is Outcome.REPAIRED
    instance = services.retrieve.instance(result.key)
    left = dcmread(BytesIO(leaving(services, instance)))
    assert left.PatientSex is None or left.PatientSex == ""
    assert left.preamble == bytes(128)  # the stream is no TIFF any more
    assert left.ContributingEquipmentSequence[-1].Manufacturer == "Slidegate"
    assert left.PixelData == dcmread(BytesIO(stream)).PixelData
    assert services.retrieve.header(instance).OriginalAttributesSequence
    assert leaving(services, instance) == leaving(services, instance)
    assert services.receive.receive([[stream]]).verdict is None  # compared with what came


def test_what_the_gate_holds_is_not_stored(
    volume: bytes, services: Services, tmp_path: Path
) -> None:
    dataset = dcmread(BytesIO(volume))
    del dataset.ImageType
    with pytest.raises(InvalidDataset, match="ImageType is missing") as refusal:
        services.receive.receive([[written(dataset)]])
    assert "Have the sender" in refusal.value.detail
    assert blobs(services, tmp_path) == set()


def test_implicit_headers_leave_explicit(objects: dict[str, bytes], services: Services) -> None:
    stream = changed(objects["LABEL/NONE"], IMPLICIT)
    instance = received(services, stream)
    assert instance.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN
    left, before = dcmread(BytesIO(leaving(services, instance))), dcmread(BytesIO(stream))
    assert left.file_meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN
    assert left.PixelData == before.PixelData
    assert left["PixelData"].VR == "OW"
    del left.PixelData, before.PixelData
    assert dataset_json(left, str, inline_limit=10**9) == dataset_json(
        before, str, inline_limit=10**9
    )
    assert services.receive.receive([[stream]]).verdict is None


def test_samples_of_two_bytes_leave_as_words(objects: dict[str, bytes], services: Services) -> None:
    dataset = dcmread(BytesIO(objects["LABEL/NONE"]))
    size = dataset.Rows * dataset.Columns
    deep = np.random.default_rng(1).integers(0, 1 << 16, size, np.uint16)
    dataset.PixelData = deep.astype("<u2").tobytes()
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
    dataset.PresentationLUTShape = "IDENTITY"
    del dataset.PlanarConfiguration, dataset.OpticalPathSequence[0].ICCProfile
    dataset.file_meta.TransferSyntaxUID = UID(IMPLICIT)
    instance = received(services, written(dataset))
    left = dcmread(BytesIO(leaving(services, instance)))
    assert left["PixelData"].VR == "OW"
    assert left.pixel_array.ravel().tolist() == deep.tolist()
    assert served(services, instance) == [dataset.PixelData]


def test_wrong_offset_tables_do_not_leave(volume: bytes, services: Services) -> None:
    dataset = dcmread(BytesIO(volume))
    frames = [[frame] for frame in frames_of(volume)]
    del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = UID(JPEG_BASELINE)
    wrong = words([0] * len(frames), 4)
    stream = written(dataset) + encapsulated(frames, wrong)
    instance = received(services, stream)
    assert frames_of(leaving(services, instance)) == frames_of(volume)
    assert leaving(services, instance).endswith(volume[-1000:])
    assert leaving(services, instance) != stream
    assert services.receive.receive([[stream]]).verdict is None  # compared with what came


@pytest.mark.parametrize("tables", ["none", "basic", "extended"])
def test_frames_of_several_fragments_are_served_whole(
    tables: str, volume: bytes, services: Services
) -> None:
    whole = frames_of(volume)
    cut = [
        [frame[:200], frame[200:]] if number % 2 else [frame] for number, frame in enumerate(whole)
    ]
    dataset = dcmread(BytesIO(volume))
    del dataset.PixelData
    basic = words(offsets_of(cut), 4) if tables == "basic" else b""
    before = extended(cut) if tables == "extended" else b""
    stream = written(dataset) + before + encapsulated(cut, basic)
    instance = received(services, stream)
    assert [frame + bytes(len(frame) % 2) for frame in served(services, instance)] == whole
    assert leaving(services, instance) == stream


# -- again, and other bytes


def test_the_same_bytes_may_come_again(volume: bytes, services: Services, tmp_path: Path) -> None:
    first = services.receive.receive([[volume]])
    before = blobs(services, tmp_path)
    again = services.receive.receive([[volume]])
    assert first.verdict is not None
    assert again.verdict is None
    assert first.key == again.key
    assert blobs(services, tmp_path) == before


def test_what_was_lost_comes_back_with_the_same_bytes(
    volume: bytes, services: Services, tmp_path: Path
) -> None:
    instance = received(services, volume)
    before = blobs(services, tmp_path)
    for name in before:
        Path(name).unlink()
    with pytest.raises(BlobMissing):
        leaving(services, instance)
    assert received(services, volume) == instance
    assert leaving(services, instance) == volume
    services.retrieve.document(instance)  # which is made again when it is asked for
    assert blobs(services, tmp_path) == before


def test_other_bytes_under_a_uid_are_refused(
    volume: bytes, services: Services, tmp_path: Path
) -> None:
    instance = received(services, volume)
    before = blobs(services, tmp_path)
    with pytest.raises(DuplicateInstance) as refusal:
        services.receive.receive([[changed(volume, ContentTime="120000")]])
    assert refusal.value.http_status == 409
    assert leaving(services, instance) == volume
    services.retrieve.document(instance)  # which is made again when it is asked for
    assert blobs(services, tmp_path) == before


def test_of_two_under_a_uid_at_once_one_is_kept_whole(volume: bytes, services: Services) -> None:
    streams = [changed(volume, ContentTime=f"{number:02}0000") for number in range(4)]
    outcomes: list[bool] = []

    def send(stream: bytes) -> None:
        try:
            outcomes.append(services.receive.receive([[stream]]).verdict is not None)
        except DuplicateInstance:
            outcomes.append(False)

    threads = [threading.Thread(target=send, args=[stream]) for stream in streams * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert outcomes.count(True) == 1
    dataset = dcmread(BytesIO(volume))
    (instance,) = services.retrieve.instances(dataset.StudyInstanceUID)
    assert leaving(services, instance) in streams


def test_what_a_slide_became_may_come_back(
    svs: tuple[Path, SvsTruth], objects: dict[str, bytes], services: Services
) -> None:
    slide = services.ingest.add(str(svs[0]))
    for stream in objects.values():
        assert services.receive.receive([[stream]]).verdict is None
    with pytest.raises(DuplicateInstance):
        services.receive.receive([[changed(objects["VOLUME/NONE"], ContentTime="120000")]])
    assert len(services.retrieve.instances(slide.study)) == slide.instances


def test_a_slide_that_came_as_dicom_is_not_added_again(
    svs: tuple[Path, SvsTruth], objects: dict[str, bytes], services: Services
) -> None:
    for stream in objects.values():
        services.receive.receive([[stream]])
    with pytest.raises(Conflict):
        services.ingest.add(str(svs[0]))


# -- one series in one study, one study of one patient


def test_a_study_has_one_patient(volume: bytes, services: Services, tmp_path: Path) -> None:
    services.receive.receive([[changed(volume, PatientID="1")]])
    before = blobs(services, tmp_path)
    other = changed(volume, PatientID="2", SOPInstanceUID=generate_uid())
    with pytest.raises(Conflict, match="another patient's"):
        services.receive.receive([[other]])
    nobody = changed(volume, PatientID="", SOPInstanceUID=generate_uid())
    with pytest.raises(Conflict, match="another patient's"):
        services.receive.receive([[nobody]])
    assert blobs(services, tmp_path) == before


def test_a_series_is_in_one_study(volume: bytes, services: Services) -> None:
    services.receive.receive([[volume]])
    stream = changed(volume, StudyInstanceUID=generate_uid(), SOPInstanceUID=generate_uid())
    with pytest.raises(Conflict, match="another study"):
        services.receive.receive([[stream]])


# -- refused


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda stream: stream[:-1000], InvalidDataset),
        (lambda stream: b"no DICOM", InvalidDataset),
        (lambda stream: b"", InvalidDataset),
        (
            lambda stream: changed(stream, SOPClassUID="1.2.840.10008.5.1.4.1.1.2"),
            UnsupportedSopClass,
        ),
        (
            lambda stream: stream.replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.51"),
            UnsupportedTransferSyntax,
        ),
        (
            lambda stream: stream.replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.1.99"),
            UnsupportedTransferSyntax,
        ),
        (lambda stream: changed(stream, StudyInstanceUID=".."), InvalidDataset),
        (lambda stream: changed(stream, StudyInstanceUID="1.."), InvalidDataset),
        (lambda stream: changed(stream, SOPInstanceUID=""), InvalidDataset),
    ],
)
def test_what_is_refused_leaves_nothing(
    spoil: Callable[[bytes], bytes],
    error: type[GatewayError],
    volume: bytes,
    services: Services,
    tmp_path: Path,
) -> None:
    with pytest.raises(error):
        services.receive.receive([[spoil(volume)]])
    assert blobs(services, tmp_path) == set()
    assert list(services.search.find(Query(QueryLevel.STUDY))) == []


def test_objects_without_pixels_are_refused(volume: bytes, services: Services) -> None:
    dataset = dcmread(BytesIO(volume), stop_before_pixels=True)
    with pytest.raises(InvalidDataset, match="without pixel data"):
        services.receive.receive([[written(dataset)]])


def test_a_sender_that_breaks_off_leaves_nothing(
    volume: bytes, services: Services, tmp_path: Path
) -> None:
    def chunks() -> Iterator[list[bytes]]:
        yield [volume[:5000]]
        raise Unavailable("The sender is gone.")

    with pytest.raises(Unavailable, match="gone"):
        services.receive.receive(chunks())
    assert blobs(services, tmp_path) == set()


def test_values_that_cannot_be_answered_are_refused(volume: bytes, services: Services) -> None:
    width = b"\x48\0\x01\0"  # Imaged Volume Width: four bytes are no double
    spoilt = volume.replace(width + b"FL", width + b"FD", 1)
    assert spoilt != volume
    with pytest.raises(InvalidDataset):
        services.receive.receive([[spoilt]])


# -- names in any script


@pytest.mark.req("REQ-WSI-35")
@pytest.mark.parametrize(
    ("character_set", "name", "groups", "sought"),
    [
        ("ISO_IR 100", "Müller^Jürg", {"Alphabetic": "Müller^Jürg"}, "müller*"),
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            {
                "Alphabetic": "Yamada^Tarou",
                "Ideographic": "山田^太郎",
                "Phonetic": "やまだ^たろう",
            },
            "*山田*",
        ),
        ("ISO_IR 192", "山田^太郎", {"Alphabetic": "山田^太郎"}, "山田*"),
        (
            "GB18030",
            "Wang^XiaoDong=王^小东",
            {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"},
            "*王*",
        ),
        ("ISO_IR 144", "Люкс", {"Alphabetic": "Люкс"}, "люк*"),
    ],
)
def test_names_in_any_character_set_are_answered(
    character_set: str | list[str],
    name: str,
    groups: dict[str, str],
    sought: str,
    volume: bytes,
    services: Services,
) -> None:
    dataset = dcmread(BytesIO(volume))
    dataset.SpecificCharacterSet = character_set
    dataset.PatientName = name
    stream = written(dataset)
    instance = received(services, stream)
    assert leaving(services, instance) == stream
    document = dataset_json(services.retrieve.header(instance), str, inline_limit=0)
    assert document["00100010"] == {"vr": "PN", "Value": [groups]}
    assert document["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    key = Key("PatientName", Wildcard(sought))
    (found,) = services.search.find(Query(QueryLevel.STUDY, (key,)))
    assert found.match["PatientName"] == name


@pytest.mark.parametrize("make", [annotations_of, report_of])
def test_objects_without_pixels_are_kept_and_leave_as_they_came(
    make: Callable[[Dataset], Dataset], volume: bytes, services: Services, tmp_path: Path
) -> None:
    stream = written(make(dcmread(BytesIO(volume), stop_before_pixels=True)))
    key = services.receive.receive([[stream]]).key
    assert sorted(Path(name).suffix for name in blobs(services, tmp_path)) == [".dcm", ".document"]
    instance = services.retrieve.instance(key)
    assert b"".join(services.retrieve.part10(instance).pieces) == stream
    assert services.retrieve.header(instance) == dcmread(BytesIO(stream))
    with pytest.raises(NotFound):
        services.retrieve.frame(instance, 1)
    assert services.receive.receive([[stream]]).verdict is None
