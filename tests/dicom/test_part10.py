"""The one writer of Part 10 streams."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames, parse_basic_offsets

from gateway.core.errors import GatewayError, Unavailable
from gateway.core.frames import FrameTable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE
from gateway.dicom.streams.part10 import Part10, decode_beginning, decode_header, encode_header
from tests.core.test_frames import expected, reader, tables
from tests.streams import header_of, small_dataset


def header(frames: int, transfer_syntax: str = JPEG_BASELINE) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    dataset.SOPInstanceUID = "2.25.1"
    dataset.PatientName = "山田^太郎"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.NumberOfFrames = frames
    dataset.Rows = dataset.Columns = dataset.SamplesPerPixel = 1
    dataset.BitsAllocated = 8
    return encode_header(dataset, transfer_syntax)


def written(layout: Part10, source: bytes) -> bytes:
    chunks = layout.chunks(lambda offset, length: source[offset : offset + length])
    return b"".join(part for chunk in chunks for part in chunk)


@pytest.mark.req("REQ-WSI-25", "REQ-WSI-34")
@given(
    st.binary(max_size=9),
    st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=20),
    st.integers(0, 5),
)
def test_frames_come_back_whole_from_a_stream(prefix: bytes, frames: list[bytes], gap: int) -> None:
    source = b"".join(bytes(gap) + frame for frame in frames)
    lengths = np.array([len(frame) for frame in frames], np.int64)
    offsets = np.cumsum(lengths + gap) - lengths
    layout = Part10(header(len(frames)), FrameTable(prefix, offsets, lengths), JPEG_BASELINE)
    stream = written(layout, source)
    assert len(stream) == layout.size

    dataset = dcmread(BytesIO(stream))
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert dataset.file_meta.TransferSyntaxUID == JPEG_BASELINE
    assert len(parse_basic_offsets(dataset.PixelData)) == len(frames)
    stored = list(generate_frames(dataset.PixelData, number_of_frames=len(frames)))
    wanted = [prefix + frame for frame in frames]
    assert stored == [one + bytes(len(one) % 2) for one in wanted]

    table = layout.frame_table
    places = zip(table.offsets.tolist(), table.lengths.tolist(), strict=True)
    assert [stream[offset : offset + length] for offset, length in places] == wanted


@given(tables(), st.sampled_from([JPEG_BASELINE, EXPLICIT_VR_LITTLE_ENDIAN]))
def test_frames_of_several_pieces_come_back_whole(
    drawn: tuple[FrameTable, bytes], transfer_syntax: str
) -> None:
    frames, source = drawn
    layout = Part10(header(len(frames), transfer_syntax), frames, transfer_syntax)
    stream = written(layout, source)
    assert len(stream) == layout.size
    numbers = range(1, len(frames) + 1)
    stored = [layout.frame_table.bitstream(number, reader(stream)) for number in numbers]
    assert stored == expected(frames, source)


def test_frames_that_are_too_short_are_never_a_whole_stream() -> None:
    frames = FrameTable(b"", np.array([0, 4]), np.array([4, 4]))
    layout = Part10(header(2), frames, JPEG_BASELINE)
    with pytest.raises(Unavailable):
        written(layout, b"1234567")
    for lengths in ([4, -1], []):
        with pytest.raises(GatewayError):
            FrameTable(b"", np.zeros(len(lengths), np.int64), np.array(lengths, np.int64))


def test_native_pixels_are_padded_to_even_length() -> None:
    layout = Part10(
        header(1, EXPLICIT_VR_LITTLE_ENDIAN), FrameTable.single(3), EXPLICIT_VR_LITTLE_ENDIAN
    )
    dataset = dcmread(BytesIO(written(layout, b"abc")))
    assert dataset.PixelData == b"abc\0"


@pytest.mark.req("REQ-WSI-25")
def test_the_extended_offset_table_takes_over_at_4_gib() -> None:
    lengths = np.full(5, 1 << 30, np.int64)
    table = FrameTable(b"", np.cumsum(lengths) - lengths, lengths)
    layout = Part10(header(5), table, JPEG_BASELINE)
    head = bytes(next(layout.chunks(lambda offset, length: b""))[0])
    dataset = dcmread(BytesIO(head + b"\xfe\xff\xdd\xe0" + bytes(4)))
    starts = np.frombuffer(dataset.ExtendedOffsetTable, "<u8")
    assert starts.tolist() == [number * ((1 << 30) + 8) for number in range(5)]
    assert np.frombuffer(dataset.ExtendedOffsetTableLengths, "<u8").tolist() == lengths.tolist()
    assert head.endswith(b"\xfe\xff\x00\xe0" + bytes(4))  # the basic table is empty
    assert layout.frame_table.offsets[0] == len(head) + 8
    assert layout.frame_table.offsets[4] == len(head) + 8 + int(starts[4])


@pytest.mark.req("REQ-WSI-35")
def test_a_header_keeps_names_in_any_script() -> None:
    assert decode_header(header(1)).PatientName == "山田^太郎"


def test_what_all_frames_share_is_read_without_what_each_says() -> None:
    dataset = small_dataset(3)
    before = header_of(dataset)
    dataset.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(3)]
    found, per_frame = decode_beginning(header_of(dataset))
    assert found == decode_header(before)
    assert per_frame == len(before)
