"""What clients accept, as they really say it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import NotAcceptable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE
from gateway.dicom.images.pixels import MEDIA_TYPES
from gateway.dicomweb.http.media import (
    DICOM,
    Multipart,
    Offer,
    Part,
    frame_offer,
    frame_offers,
    negotiate,
    parse_accept,
)

ONE = frame_offers(JPEG_BASELINE, "image/jpeg", single=True)
MANY = frame_offers(JPEG_BASELINE, "image/jpeg", single=False)
NATIVE = frame_offers(EXPLICIT_VR_LITTLE_ENDIAN, "application/octet-stream", single=True)
STORED, RAW = JPEG_BASELINE, EXPLICIT_VR_LITTLE_ENDIAN


@pytest.mark.req(
    "REQ-HTTP-03", "REQ-HTTP-04", "REQ-HTTP-05", "REQ-FRM-02", "REQ-FRM-03", "REQ-FRM-06"
)
@pytest.mark.parametrize(
    ("accept", "media_type", "multipart", "syntax"),
    [
        # dicom-microscopy-viewer, OHIF, EZ-WSI
        (
            'multipart/related; type="application/octet-stream"; transfer-syntax=*',
            "application/octet-stream",
            True,
            STORED,
        ),
        # unquoted, and in another order
        (
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            "application/octet-stream",
            True,
            STORED,
        ),
        (
            'multipart/related; transfer-syntax=*; type="application/octet-stream"',
            "application/octet-stream",
            True,
            STORED,
        ),
        # wsidicom
        (
            'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50',
            "image/jpeg",
            True,
            STORED,
        ),
        # python dicomweb-client
        ('multipart/related; type="*/*"', "image/jpeg", True, STORED),
        ("multipart/related", "image/jpeg", True, STORED),
        ("multipart/*", "image/jpeg", True, STORED),
        ('multipart/related; type="image/jpeg"', "image/jpeg", True, STORED),
        ("*/*", "image/jpeg", True, STORED),
        ("", "image/jpeg", True, STORED),
        # single part
        ("image/jpeg", "image/jpeg", False, STORED),
        ("image/*", "image/jpeg", False, STORED),
        ("image/jpeg; transfer-syntax=*", "image/jpeg", False, STORED),
        (
            "application/octet-stream; transfer-syntax=*",
            "application/octet-stream",
            False,
            STORED,
        ),
        # without a transfer syntax octets are native pixels
        ("application/octet-stream", "application/octet-stream", False, RAW),
        (
            'multipart/related; type="application/octet-stream"',
            "application/octet-stream",
            True,
            RAW,
        ),
        # quality, then exactness, decides
        ("text/html, image/jpeg;q=0.5, */*;q=0.1", "image/jpeg", False, STORED),
        (
            'application/octet-stream;q=0.2, multipart/related; type="image/jpeg";q=0.7',
            "image/jpeg",
            True,
            STORED,
        ),
        ("image/jp2, image/jpeg", "image/jpeg", False, STORED),
        ("IMAGE/JPEG", "image/jpeg", False, STORED),
    ],
)
def test_the_right_representation_is_chosen(
    accept: str, media_type: str, multipart: bool, syntax: str
) -> None:
    chosen = negotiate(accept, ONE)
    assert (chosen.media_type, chosen.multipart, chosen.transfer_syntax) == (
        media_type,
        multipart,
        syntax,
    )


@pytest.mark.req("REQ-HTTP-04")
@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90',
        'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.70',
        "image/jpeg;q=0",
        "image/jpeg;q=0, */*;q=0",
        "nonsense",
        'multipart/related; type="unended',
    ],
)
def test_what_cannot_be_given_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="available as"):
        negotiate(accept, ONE)


def test_several_frames_come_in_parts_only() -> None:
    with pytest.raises(NotAcceptable):
        negotiate("image/jpeg", MANY)


def test_native_frames_are_octets() -> None:
    for accept in ("application/octet-stream", "*/*", "application/octet-stream;transfer-syntax=*"):
        assert negotiate(accept, NATIVE).media_type == "application/octet-stream"
    with pytest.raises(NotAcceptable):
        negotiate("image/jpeg", NATIVE)


@pytest.mark.req("REQ-HTTP-06")
def test_a_long_list_of_refusals_costs_little() -> None:
    accept = ",".join(["a/b;q=0"] * 400 + ["*/*"] * 1000 + ["*/*;q=0"])
    begin = time.process_time()
    with pytest.raises(NotAcceptable):
        negotiate(accept, ONE)
    assert time.process_time() - begin < 0.5


def test_a_plus_that_became_a_blank_is_read_as_plus() -> None:
    offer = Offer("application/dicom+json")
    assert negotiate("application/dicom json", (offer,)) is offer


def test_a_refused_type_is_not_given_by_a_wildcard() -> None:
    offers = (Offer(DICOM), Offer("application/json"))
    assert negotiate("*/*, application/dicom;q=0", offers) is offers[1]


@given(st.text(alphabet='abc/*;,="\\ q0.1+', max_size=80))
def test_any_accept_ends_in_an_answer(header: str) -> None:
    assert all(0 <= one.quality <= 1 for one in parse_accept(header))


@pytest.mark.req("REQ-HTTP-09", "REQ-FRM-07")
def test_a_multipart_body_is_framed_to_the_byte() -> None:
    multipart = Multipart(Offer("image/jpeg", True, JPEG_BASELINE))
    boundary = multipart.content_type.split("boundary=")[1]
    assert multipart.content_type == f'multipart/related; type="image/jpeg"; boundary={boundary}'
    parts = [Part("http://x/1", (b"ab", b"c")), Part("http://x/2", (b"\r\n--",))]
    body = b"".join(multipart.stream(parts))
    head = f"Content-Type: image/jpeg; transfer-syntax={JPEG_BASELINE}\r\nContent-Location: "
    assert (
        body
        == (
            f"--{boundary}\r\n{head}http://x/1\r\n\r\nabc\r\n"
            f"--{boundary}\r\n{head}http://x/2\r\n\r\n\r\n--\r\n--{boundary}--\r\n"
        ).encode()
    )
    assert multipart.size(["http://x/1", "http://x/2"], [3, 4]) == len(body)
    assert Multipart(Offer(DICOM)).content_type != Multipart(Offer(DICOM)).content_type


@pytest.mark.req("REQ-FRM-05")
@pytest.mark.parametrize(
    ("syntax", "names"),
    [
        ("1.2.840.10008.1.2.5", ("image/dicom-rle", "image/x-dicom-rle")),
        ("1.2.840.10008.1.2.4.80", ("image/jls", "image/x-jls")),
        ("1.2.840.10008.1.2.4.201", ("image/jphc", "image/jhc")),
    ],
)
def test_a_type_is_answered_under_the_name_that_it_was_asked_for(
    syntax: str, names: tuple[str, ...]
) -> None:
    stored = MEDIA_TYPES[syntax]
    assert frame_offer("*/*", syntax, stored, True).media_type == names[0]
    for name in names:
        for accept in (name, f"{name}; transfer-syntax={syntax}", f"{name}; transfer-syntax=*"):
            assert frame_offer(accept, syntax, stored, True) == Offer(name, False, syntax)
        parts = f'multipart/related; type="{name}"; transfer-syntax={syntax}'
        assert frame_offer(parts, syntax, stored, False) == Offer(name, True, syntax)
