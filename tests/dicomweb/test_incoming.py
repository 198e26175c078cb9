"""Bodies in parts are read as they come, whatever pieces they come in."""

import time
from collections.abc import Iterator
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BrokenOff, InvalidInput
from gateway.dicomweb.http.incoming import IncomingParts, content_type
from gateway.dicomweb.http.limits import MOST_PART_HEADER_BYTES

B = "0f3cf5c0-70e0-41ef"
Parts = list[tuple[dict[str, str], bytes]]


def pieces(body: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Cut a body into pieces of these sizes, again and again."""
    place, turn = 0, 0
    while place < len(body):
        size = sizes[turn % len(sizes)] if sizes else len(body)
        yield body[place : place + size]
        place, turn = place + size, turn + 1


def parts_of(body: bytes, sizes: list[int] | None = None, boundary: str = B) -> Parts:
    waiting = pieces(body, sizes or [])
    return [
        (dict(part.headers), b"".join(bytes(buffer) for chunk in part.chunks for buffer in chunk))
        for part in IncomingParts(lambda _: next(waiting, b""), boundary)
    ]


def framed(contents: list[bytes], newline: bytes = b"\r\n", boundary: str = B) -> bytes:
    dashed = b"--" + boundary.encode()
    head = newline.join([dashed, b"Content-Type: application/dicom", b"", b""])
    return b"".join(head + content + newline for content in contents) + dashed + b"--"


# What parts of a delimiter look like, so that they come often.
SPLINTERS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"--",
    b"\r\n--",
    f"\r\n--{B}"[:-1].encode(),
    b"\r\n\r\n",
    b"\0",
]
CONTENT = st.lists(st.one_of(st.sampled_from(SPLINTERS), st.binary(max_size=40)), max_size=20).map(
    b"".join
)


@pytest.mark.req("REQ-STOW-01", "REQ-STOW-02")
@given(
    contents=st.lists(CONTENT, max_size=4),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=8),
    newline=st.sampled_from([b"\r\n", b"\n"]),
    before=st.sampled_from([b"", b"\r\n", b"\n", b"preamble\r\n", b"--not it\r\n\r\n"]),
    after=st.sampled_from([b"", b"\r\n", b"\r\nepilogue\r\n--" + B.encode()]),
)
def test_any_pieces_give_the_same_parts(
    contents: list[bytes], sizes: list[int], newline: bytes, before: bytes, after: bytes
) -> None:
    delimiter = newline + b"--" + B.encode()
    contents = [one for one in contents if delimiter not in newline + one]
    body = before + framed(contents, newline) + after
    wanted = [({"content-type": "application/dicom"}, content) for content in contents]
    assert parts_of(body) == wanted
    assert parts_of(body, sizes) == wanted


@given(
    contents=st.lists(CONTENT, min_size=1, max_size=3),
    lost=st.integers(1, 200),
    size=st.integers(1),
)
def test_a_body_cut_off_gives_no_part_that_is_cut_off(
    contents: list[bytes], lost: int, size: int
) -> None:
    whole = framed(contents)
    body, found = whole[: max(0, len(whole) - lost)], []
    waiting = pieces(body, [size])
    with pytest.raises(InvalidInput):
        for part in IncomingParts(lambda _: next(waiting, b""), B):
            found.append(b"".join(bytes(buffer) for chunk in part.chunks for buffer in chunk))
    assert found == contents[: len(found)]
    assert len(found) < len(contents) or lost <= 2  # of the last delimiter


@given(st.binary(max_size=300), st.integers(1, 40))
def test_whatever_comes_ends_in_parts_or_in_a_refusal(tail: bytes, size: int) -> None:
    for body in (tail, f"--{B}".encode() + tail, f"--{B}\r\n".encode() + tail):
        try:
            found = parts_of(body, [size])
        except InvalidInput:
            continue
        assert sum(len(content) for _, content in found) <= len(body)


@pytest.mark.req("REQ-STOW-01")
@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary="a b"', "a b"),
        ("Multipart/Related;boundary=abc;type=application/dicom", "abc"),
        ('multipart/related; type="application/dicom"; boundary=----=_Part_0,1', "----=_Part_0,1"),
        ('multipart/related; boundary="a\\"b;c" ; TYPE="application/dicom"', 'a"b;c'),
        (
            'multipart/related; start=y; type="application/dicom"; transfer-syntax=1; boundary=x',
            "x",
        ),
    ],
)
def test_content_types_are_read_in_any_order_and_quoting(header: str, boundary: str) -> None:
    media_type, parameters = content_type(header)
    assert media_type == "multipart/related"
    assert parameters["boundary"] == boundary
    assert parameters.get("type", "application/dicom") == "application/dicom"


@pytest.mark.req("REQ-STOW-01")
@pytest.mark.parametrize(
    ("lines", "headers"),
    [
        ("", {}),
        ("content-TYPE:application/dicom\r\n", {"content-type": "application/dicom"}),
        (
            "Content-Location: x\r\nContent-ID: <1>\r\n",
            {"content-location": "x", "content-id": "<1>"},
        ),
        (
            "Content-Type: application/dicom;\r\n transfer-syntax=1.2\r\nMIME-Version: 1.0\r\n",
            {"content-type": "application/dicom; transfer-syntax=1.2", "mime-version": "1.0"},
        ),
        ("no colon\r\nX: y:z\r\n", {"no colon": "", "x": "y:z"}),
    ],
)
def test_headers_of_parts_are_read_in_any_form(lines: str, headers: dict[str, str]) -> None:
    body = f"--{B} \t\r\n{lines}\r\nDICM\r\n--{B}--\r\n".encode()
    for size in (1, 7, 1000):
        assert parts_of(body, [size]) == [(headers, b"DICM")]


def test_a_longer_boundary_that_begins_alike_is_content() -> None:
    inner = f"x\r\n--{B}0\r\ny\r\n--{B}--z\r\n--{B} not\r\n".encode()
    for size in (1, 50, 1000):
        assert [content for _, content in parts_of(framed([inner]), [size])] == [inner]


def test_content_of_almost_delimiters_is_read_as_fast_as_any() -> None:
    content = f"\r\n--{B}Q".encode() * 400_000
    begun = time.monotonic()
    part = next(IncomingParts(BytesIO(framed([content])).read, B))
    chunks = [sum(map(len, chunk)) for chunk in part.chunks]
    assert sum(chunks) == len(content)
    assert max(chunks) < 1 << 20
    assert time.monotonic() - begun < 5


def test_a_part_that_nobody_reads_is_skipped() -> None:
    waiting = pieces(framed([b"first", b"second"]), [10])
    parts = IncomingParts(lambda _: next(waiting, b""), B)
    next(parts)
    assert b"".join(bytes(buffer) for chunk in next(parts).chunks for buffer in chunk) == b"second"
    assert next(parts, None) is None


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (b"", B),
        (b"no boundary at all", B),
        (bytes(1 << 20), B),
        (framed([b"x"]), "another"),
        (framed([b"x"]), ""),
        (framed([b"x"]), "x" * 500),
        (framed([b"x"]), "\u00fc"),
        (f"--{B}\r\nX: ".encode() + b"x" * MOST_PART_HEADER_BYTES + b"\r\n\r\n", B),
        (f"--{B}\r\n".encode() + b"X: y\r\n" * MOST_PART_HEADER_BYTES, B),
    ],
)
def test_what_is_not_framed_is_refused(body: bytes, boundary: str) -> None:
    with pytest.raises(InvalidInput):
        parts_of(body, [1 << 16], boundary)


def test_a_connection_that_fails_is_a_sender_that_broke_off() -> None:
    def fail(_: int) -> bytes:
        raise OSError

    with pytest.raises(BrokenOff):
        list(IncomingParts(fail, B))
