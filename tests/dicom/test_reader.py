"""The reader of Part 10 streams: any layout is found, anything else is one of our errors."""

import os
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames

from gateway.core.errors import GatewayError, InvalidDataset, UnsupportedTransferSyntax
from gateway.core.frames import FrameTable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE
from gateway.dicom.gate.items import Item
from gateway.dicom.streams.part10 import Part10
from gateway.dicom.streams.reader import ReadPart10, read_part10
from tests.conftest import SHARED
from tests.streams import (
    IMPLICIT,
    ITEM,
    SEQUENCE_END,
    bitstream,
    element,
    encapsulated,
    extended,
    header_of,
    item,
    native,
    offsets_of,
    small_dataset,
    words,
)

RLE = "1.2.840.10008.1.2.5"
FRAMES = [[bitstream(number, 40 + number)] for number in range(5)]
BASIC = words(offsets_of(FRAMES), 4)


def read(stream: bytes) -> ReadPart10:
    scratch = bytearray(len(stream))

    def view(offset: int, length: int) -> memoryview:
        scratch[:length] = stream[offset : offset + length]  # as a blob's view, overwritten
        return memoryview(scratch)[: min(length, len(stream) - offset)]

    return read_part10(view, len(stream))


def frames_in(stream: bytes, table: FrameTable | None) -> list[bytes]:
    assert table is not None
    offsets, lengths = (
        part.reshape(len(table), -1).tolist() for part in (table.offsets, table.lengths)
    )
    return [
        b"".join(stream[place : place + size] for place, size in zip(*frame, strict=True))
        for frame in zip(offsets, lengths, strict=True)
    ]


def joined(frames: Sequence[Sequence[bytes]]) -> list[bytes]:
    return [b"".join(frame) for frame in frames]


@pytest.mark.parametrize(
    "pixel_data",
    [
        encapsulated(FRAMES),
        encapsulated(FRAMES, BASIC),
        extended(FRAMES) + encapsulated(FRAMES),
        extended(FRAMES, [40, 42, 42, 44, 44]) + encapsulated(FRAMES),  # lengths with padding
        encapsulated(FRAMES, BASIC) + element(0xFFFCFFFC, b"OB", bytes(100)),
        encapsulated(FRAMES, BASIC) + element(0xFFFAFFFA, b"SQ", item(b"")),
    ],
    ids=["no table", "basic", "extended", "padded lengths", "trailing padding", "signatures"],
)
@pytest.mark.req("REQ-WSI-25", "REQ-WSI-26")
def test_frames_are_found_without_their_padding(pixel_data: bytes) -> None:
    header = header_of(small_dataset(5))
    found = read(header + pixel_data)
    assert found.header == header
    assert found.transfer_syntax == JPEG_BASELINE
    assert found.dataset.PatientName == "山田^太郎"
    assert found.dataset.file_meta.MediaStorageSOPInstanceUID == "2.25.1"
    assert frames_in(header + pixel_data, found.frames) == joined(FRAMES)
    assert not found.wrong_offsets


@pytest.mark.parametrize(
    "tables",
    [
        (b"", BASIC[:-4] + words([7], 4)),
        (b"", BASIC[4:]),
        (b"", b"\1"),
        (extended([*FRAMES[1:], FRAMES[0]]), b""),
        (extended(FRAMES, [1, 2, 3, 4, 5]), b""),
        (extended(FRAMES[1:]), b""),
    ],
    ids=["no item", "too short", "a byte", "another order", "lengths", "extended too short"],
)
@pytest.mark.req("REQ-WSI-25")
def test_wrong_offset_tables_are_noticed_and_not_believed(tables: tuple[bytes, bytes]) -> None:
    before, basic = tables
    stream = header_of(small_dataset(5)) + before + encapsulated(FRAMES, basic)
    found = read(stream)
    assert found.wrong_offsets
    assert frames_in(stream, found.frames) == joined(FRAMES)


def test_values_beside_a_bit_stream_are_part_of_it() -> None:
    frames = [[b"\1\2\3\4\xff\xd9\0\0"], [b"\1\2\xff\xd9\0\0"]]
    stream = header_of(small_dataset(2), RLE) + encapsulated(frames)
    assert frames_in(stream, read(stream).frames) == joined(frames)
    frames = [[b"\1\2\3\4\xff\xd9\0\0"], [b"\1\2\3\xff\xd9\0"]]
    stream = header_of(small_dataset(2), RLE) + encapsulated(frames)
    assert frames_in(stream, read(stream).frames) == joined(frames)


SEVERAL = [[b"\xff\xd8one, ", b"two, ", b"three\xff\xd9"], [b"\xff\xd8four\xff\xd9"]]


@pytest.mark.parametrize(
    ("frames", "tables", "transfer_syntax"),
    [
        (SEVERAL, (b"", words(offsets_of(SEVERAL), 4)), JPEG_BASELINE),
        (SEVERAL, (b"", words(offsets_of(SEVERAL), 4)), RLE),
        (SEVERAL, (extended(SEVERAL), b""), RLE),
        (SEVERAL, (b"", b""), JPEG_BASELINE),
        (SEVERAL, (b"", words([0, 7], 4)), JPEG_BASELINE),
        (SEVERAL[:1], (b"", b""), RLE),
    ],
    ids=["basic", "basic, RLE", "extended", "no table", "wrong table", "one frame"],
)
def test_a_frame_may_be_several_fragments(
    frames: list[list[bytes]], tables: tuple[bytes, bytes], transfer_syntax: str
) -> None:
    frames = [[part + bytes(len(part) % 2) for part in frame] for frame in frames]
    before, basic = tables
    header = header_of(small_dataset(len(frames)), transfer_syntax)
    stream = header + before + encapsulated(frames, basic)
    found = read(stream)
    assert frames_in(stream, found.frames) == [
        frame.removesuffix(b"\0") if transfer_syntax != RLE else frame for frame in joined(frames)
    ]
    assert found.wrong_offsets is (basic == words([0, 7], 4))


def test_fragments_that_nobody_can_tell_apart_are_refused() -> None:
    stream = header_of(small_dataset(2), RLE) + encapsulated(SEVERAL)
    with pytest.raises(InvalidDataset, match="4 fragments for 2 frames"):
        read(stream)


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT])
@pytest.mark.parametrize("samples", [1, 3])
def test_native_frames_lie_one_after_the_other(transfer_syntax: str, samples: int) -> None:
    size = 2 * 3 * samples
    pixels = bytes(range(3 * size))
    header = header_of(small_dataset(3, SamplesPerPixel=samples), transfer_syntax)
    stream = header + native(pixels + bytes(len(pixels) % 2), transfer_syntax)
    found = read(stream)
    assert found.header == header
    assert found.dataset.PatientName == "山田^太郎"
    wanted = [pixels[:size], pixels[size : 2 * size], pixels[2 * size :]]
    assert frames_in(stream, found.frames) == wanted


def test_shared_colour_samples_make_smaller_frames() -> None:
    dataset = small_dataset(2, Columns=4, PhotometricInterpretation="YBR_FULL_422")
    stream = header_of(dataset, EXPLICIT_VR_LITTLE_ENDIAN) + native(bytes(32))
    table = read(stream).frames
    assert table is not None
    assert table.lengths.tolist() == [16, 16]


def test_objects_without_pixels_are_all_header() -> None:
    stream = header_of(small_dataset(), EXPLICIT_VR_LITTLE_ENDIAN)
    found = read(stream)
    assert (found.header, found.frames) == (stream, None)


def test_pixels_of_an_icon_are_not_those_of_the_image() -> None:
    icon = element(
        0x7FE00010, b"OB", item(b"") + item(b"\xfe\xff\xdd\xe0") + SEQUENCE_END, 2**32 - 1
    )
    before = element(0x00880200, b"SQ", item(icon) + item(native(b"ab")))
    header = header_of(small_dataset(5)) + before
    found = read(header + encapsulated(FRAMES))
    assert found.header == header
    assert len(found.dataset.IconImageSequence) == 2


def test_unknown_elements_may_hold_implicit_items() -> None:
    inner = ITEM + b"\xff" * 4 + element(0x00100020, b"", b"ID") + b"\xfe\xff\x0d\xe0" + bytes(4)
    private = element(0x00990010, b"UN", b"SLIDEGATE ") + element(
        0x00991001, b"UN", inner + SEQUENCE_END, 2**32 - 1
    )
    header = header_of(small_dataset(5)) + private
    found = read(header + encapsulated(FRAMES))
    assert found.header == header
    assert found.dataset[0x00991001].value[0].PatientID == "ID"


def jpeg_like(numbers: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return numbers.map(lambda inside: b"\xff\xd8" + inside + b"\xff\xd9")


@pytest.mark.req("REQ-WSI-25")
@given(st.lists(jpeg_like(st.binary(max_size=30)), min_size=1, max_size=20))
def test_what_the_writer_wrote_the_reader_finds(frames: list[bytes]) -> None:
    lengths = np.array([len(frame) for frame in frames], np.int64)
    header = header_of(small_dataset(len(frames)))
    layout = Part10(header, FrameTable(b"", np.cumsum(lengths) - lengths, lengths), JPEG_BASELINE)
    source = b"".join(frames)
    chunks = layout.chunks(lambda offset, length: source[offset : offset + length])
    stream = b"".join(part for chunk in chunks for part in chunk)
    found = read(stream)
    assert found.header == header
    assert found.frames is not None
    assert not found.wrong_offsets
    assert found.frames.offsets.tolist() == layout.frame_table.offsets.tolist()
    assert found.frames.lengths.tolist() == layout.frame_table.lengths.tolist()


WHOLE = header_of(small_dataset(5)) + extended(FRAMES) + encapsulated(FRAMES)


def stating(transfer_syntax: str) -> bytes:
    stated = transfer_syntax.encode().ljust(len(JPEG_BASELINE), b"\0")
    return WHOLE.replace(JPEG_BASELINE.encode(), stated)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_stream_that_was_cut_off_is_refused(place: int) -> None:
    try:
        found = read(WHOLE[:place])
    except GatewayError:
        return
    assert found.frames is None  # cut between two elements of the header: nothing can tell
    assert place <= len(header_of(small_dataset(5)))


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=20))
def test_damaged_streams_raise_our_errors_only(changes: list[tuple[int, int]]) -> None:
    stream = bytearray(WHOLE)
    for place, value in changes:
        stream[place] = value
    try:
        found = read(bytes(stream))
    except GatewayError:
        return
    if found.frames is not None:
        reaches = found.frames.offsets + found.frames.lengths
        assert int(reaches.max()) <= len(stream)


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"", InvalidDataset),
        (WHOLE[128:], InvalidDataset),
        (bytes(200), InvalidDataset),
        (bytes(128) + b"DICM", InvalidDataset),
        (stating("1.2.840.10008.1.2.1.99"), UnsupportedTransferSyntax),
        (stating("1.2.840.10008.1.2.4.95"), UnsupportedTransferSyntax),
        (stating("1.2.840.10008.1.2.2"), UnsupportedTransferSyntax),
        (stating("1.2.840.10008.1.1"), UnsupportedTransferSyntax),
        (stating("1.2.3.4"), UnsupportedTransferSyntax),
        (stating(""), InvalidDataset),
        (header_of(small_dataset(5), IMPLICIT) + encapsulated(FRAMES), InvalidDataset),
        (header_of(small_dataset(5)) + native(bytes(90)), InvalidDataset),
        (header_of(small_dataset(6)) + encapsulated(FRAMES), InvalidDataset),
        (header_of(small_dataset(4)) + encapsulated([[b"xy"]] * 5), InvalidDataset),
        (header_of(small_dataset(5)) + encapsulated([*FRAMES[1:], [b""]]), InvalidDataset),
        (header_of(small_dataset(5)) + extended(FRAMES), InvalidDataset),
        (header_of(small_dataset(5)) + encapsulated(FRAMES)[:-8], InvalidDataset),
        (
            header_of(small_dataset(5)) + encapsulated(FRAMES) + element(0x00100020, b"UN", b"ID"),
            InvalidDataset,
        ),
        (
            header_of(small_dataset(5)) + element(0x00100010, b"UN", b"me") + encapsulated(FRAMES),
            InvalidDataset,
        ),
        (header_of(small_dataset(2**22 + 1)) + encapsulated(FRAMES), InvalidDataset),
        (header_of(small_dataset(0)) + encapsulated(FRAMES), InvalidDataset),
        (header_of(small_dataset(-5)) + encapsulated(FRAMES), InvalidDataset),
        (header_of(small_dataset(5, Rows=0)) + encapsulated(FRAMES), InvalidDataset),
        (header_of(small_dataset(5, Columns=None)) + encapsulated(FRAMES), InvalidDataset),
        (header_of(small_dataset(5, Rows=[2, 2])) + encapsulated(FRAMES), InvalidDataset),
        (
            header_of(small_dataset(5), EXPLICIT_VR_LITTLE_ENDIAN) + native(bytes(88)),
            InvalidDataset,
        ),
        (
            header_of(small_dataset(5), EXPLICIT_VR_LITTLE_ENDIAN) + native(bytes(92)),
            InvalidDataset,
        ),
        (header_of(small_dataset(1)) + element(0x00091010, b"OB", b"", 2**32 - 2), InvalidDataset),
        (header_of(small_dataset(1)) + element(0x00091010, b"UT", b"", 2**32 - 1), InvalidDataset),
        (header_of(small_dataset(1)) + element(0x00091010, b"?!", b"value"), InvalidDataset),
    ],
)
def test_what_cannot_be_right_is_refused(stream: bytes, error: type[GatewayError]) -> None:
    with pytest.raises(error) as refusal:
        read(stream)
    assert refusal.value.detail.endswith(".")


def nested(depth: int, *, defined: bool) -> bytes:
    value = b""
    for _ in range(depth):
        if defined:
            value = element(0x00082112, b"SQ", item(value))
        else:
            value = element(0x00082112, b"SQ", ITEM + b"\xff" * 4 + value, 2**32 - 1)
    return value


@pytest.mark.parametrize("defined", [True, False])
def test_bottomless_sequences_are_refused(defined: bool) -> None:
    with pytest.raises(InvalidDataset, match="nested"):
        read(header_of(small_dataset()) + nested(5000, defined=defined))
    deep = read(header_of(small_dataset(), EXPLICIT_VR_LITTLE_ENDIAN) + nested(20, defined=True))
    assert deep.frames is None


def test_text_in_an_unknown_character_set_is_refused() -> None:
    stream = header_of(small_dataset()).replace(b"ISO_IR 192", b"ISO_IR 999")
    with pytest.raises(InvalidDataset, match="Character Set"):
        read(stream)


@pytest.mark.parametrize("tag", [0x00091010, 0x7FE00001])
def test_lengths_that_lie_cost_neither_time_nor_memory(tag: int) -> None:
    start = header_of(small_dataset(5)) + element(tag, b"OB", b"", 3 << 30)
    size = 1 << 40

    def claimed(offset: int, length: int) -> bytes:
        return (
            (start + bytes(max(0, offset + length - len(start))))[offset : offset + length]
            if (offset < len(start))
            else bytes(length)
        )

    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises(InvalidDataset):
        read_part10(claimed, size)
    assert time.monotonic() - began < 5
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


@pytest.mark.req("REQ-WSI-25", "REQ-WSI-26")
def test_an_instance_over_4_gib_is_found_through_its_fragments(tmp_path: Path) -> None:
    """A sparse file of six frames of 1 GiB with an Extended Offset Table."""
    length, count = 1 << 30, 6
    header = header_of(small_dataset(count))
    starts = [number * (length + 8) for number in range(count)]
    tables = element(0x7FE00001, b"OV", words(starts, 8)) + element(
        0x7FE00002, b"OV", words([length] * count, 8)
    )
    head = header + tables + element(0x7FE00010, b"OB", item(b""), 2**32 - 1)
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.write(head)
        for start in starts:
            file.seek(len(head) + start)
            file.write(ITEM + length.to_bytes(4, "little") + b"\xff\xd8")
        file.seek(len(head) + starts[-1] + 8 + length)
        file.write(SEQUENCE_END)
    with path.open("rb") as file:
        descriptor = file.fileno()
        found = read_part10(
            lambda offset, length: os.pread(descriptor, length, offset), path.stat().st_size
        )
    assert found.frames is not None
    assert not found.wrong_offsets
    assert found.frames.offsets.tolist() == [len(head) + start + 8 for start in starts]
    assert found.frames.lengths.tolist() == [length] * count


@pytest.mark.parametrize("number", range(4))
def test_real_files_are_read_as_others_read_them(number: int) -> None:
    path = SHARED / "dicom_wsi" / f"cytomine_wsi_{number}.dcm"
    if not path.exists():
        pytest.skip("the folder with real slides is not beside the project")
    stream, dataset = path.read_bytes(), dcmread(path)
    found = read(stream)
    assert not found.wrong_offsets
    wanted = generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames))
    for mine, others in zip(frames_in(stream, found.frames), wanted, strict=True):
        assert mine + bytes(len(mine) % 2) == others
        assert mine.endswith(b"\xff\xd9")


def test_a_real_native_file_is_read_as_others_read_it() -> None:
    path = SHARED / "dicom_wsi" / "highdicom_sm_image.dcm"
    if not path.exists():
        pytest.skip("the folder with real slides is not beside the project")
    found = read(path.read_bytes())
    assert b"".join(frames_in(path.read_bytes(), found.frames)) == dcmread(path).PixelData


@pytest.mark.req("REQ-META-08")
@pytest.mark.parametrize("undefined", [False, True])
def test_an_item_for_each_of_many_frames_is_not_read_at_once(undefined: bool) -> None:
    count = 20_000
    dataset, position, group = small_dataset(count), Dataset(), Dataset()
    position.RowPositionInTotalImagePixelMatrix = 7
    group.PlanePositionSlideSequence = [position]
    group.is_undefined_length_sequence_item = undefined
    dataset.PerFrameFunctionalGroupsSequence = [group] * count
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined
    stream = header_of(dataset, EXPLICIT_VR_LITTLE_ENDIAN) + native(bytes(18 * count))
    tracemalloc.start()
    found = read(stream)
    item = Item(found.dataset)
    assert item.length("PerFrameFunctionalGroupsSequence") == count
    assert len(item.items("PerFrameFunctionalGroupsSequence")) == 1000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * len(stream) + (8 << 20)
    groups = found.dataset.PerFrameFunctionalGroupsSequence
    assert len(groups) == count
    assert groups[-1].PlanePositionSlideSequence == [position]
