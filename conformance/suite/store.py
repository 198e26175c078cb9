"""Storing (checklist, section 8). All of it needs ``--write``."""

from __future__ import annotations

import socket
from contextlib import suppress
from urllib.parse import urlsplit

from pydicom.dataset import Dataset

from conformance.suite import objects
from conformance.suite.checks import NotApplicable, check, equal, expect
from conformance.suite.client import Answer, Json
from conformance.suite.objects import STUDY, encoded, part10, uid
from conformance.suite.site import ANY_FILE, ANY_STORED, JSON, WSI, Site, value, values
from conformance.suite.uploads import (
    ANNOTATIONS,
    BASE,
    GUID,
    MULTIPART,
    SMALL,
    base,
    body_of,
    path_of,
    post,
)

_PYTHON = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
"""The boundary that dicomweb-client (Python) always uses."""
_DUPLICATE = 0x0111


def _sops(document: Json, tag: str) -> list[str]:
    return [str(value(item, "00081155")) for item in values(document, tag)]


def _stored(site: Site, answer: Answer, *instances: str) -> Json:
    """Check an answer that says that all is stored; return it."""
    answer.ok(*((200,) if instances == (BASE,) else (200, 202)))  # RLE deserves a warning
    equal(answer.content_type, JSON, "Content-Type")
    document = answer.json()
    expect(isinstance(document, dict), "the response is no JSON object")
    equal(sorted(_sops(document, "00081199")), sorted(instances), "what is said to be stored")
    equal(_sops(document, "00081198"), [], "what is said to have failed")
    for instance in instances:
        found = site.search(f"/instances?SOPInstanceUID={instance}")
        equal(len(found), 1, "the number of such instances a moment later")
    return dict(document)


@check("REQ-STOW-01", "REQ-STOW-03", writes=True)
def stored_as_by_javascript(site: Site) -> None:
    """The body of dicomweb-client (JavaScript) is taken: CRLF first, quoted boundary, no Accept."""
    body = body_of([base()], start="\r\n")
    headers = (("Content-Type", MULTIPART.format(GUID)),)
    _stored(site, site.client.request("POST", "/studies", headers, body), BASE)


@check("REQ-STOW-01", "REQ-HTTP-01", writes=True)
def stored_as_by_python(site: Site) -> None:
    """The body of dicomweb-client (Python) is taken, its Host without a port."""
    host = urlsplit(site.client.root).hostname
    body = body_of([encoded("small")], _PYTHON, start="\r\n")
    headers = (("Accept", "*/*"), ("Content-Type", MULTIPART.format(_PYTHON)))
    answer = site.client.request("POST", "/studies", headers, body, host=host)
    document = _stored(site, answer, SMALL)
    url = str(value(document["00081199"]["Value"][0], "00081190"))
    expect(url.startswith(site.client.origin), f"Retrieve URL is {url}")


@check("REQ-STOW-02", writes=True)
def chunked_without_length(site: Site) -> None:
    """A body in chunks without Content-Length is taken, as Python sends more than 1 MB."""
    body = body_of([base(), encoded("annotations")], _PYTHON, start="\r\n")
    headers = (("Content-Type", MULTIPART.format(_PYTHON)), ("Cache-Control", "no-cache"))
    pieces = (body[place : place + 997] for place in range(0, len(body), 997))
    answer = site.client.request("POST", "/studies", headers, pieces)
    _stored(site, answer, BASE, ANNOTATIONS)


@check("REQ-STOW-01", writes=True)
def other_framings(site: Site) -> None:
    """Types and boundaries unquoted, parts with more or no parameters, trailing CRLF: all taken."""
    files = [base()]
    plain = "Content-Type: application/dicom\r\n"
    for kind, body in (
        (
            f"multipart/related; type=application/dicom; boundary={GUID}",
            body_of(files, end="\r\n"),
        ),
        (f'multipart/related; boundary={GUID}; type="application/dicom"', body_of(files)),
        (f"Multipart/Related;boundary={GUID};Type=application/dicom", body_of(files)),
        (f"multipart/related; boundary={GUID}", body_of(files)),
        (
            MULTIPART.format(GUID) + "; transfer-syntax=1.2.840.10008.1.2.1",
            body_of(files, part="Content-Type: application/dicom; transfer-syntax=*\r\n"),
        ),
        (
            MULTIPART.format(GUID),
            body_of(
                files, part=f"content-type:application/dicom\r\nContent-Length: {len(files[0])}\r\n"
            ),
        ),
        (
            MULTIPART.format(GUID),
            body_of(files, part=f"{plain}MIME-Version: 1.0\r\n", start="x\r\n"),
        ),
    ):
        answer = site.client.request("POST", "/studies", (("Content-Type", kind),), body)
        _stored(site, answer, BASE)


@check("REQ-STOW-01", writes=True)
def expecting_to_continue(site: Site) -> None:
    """A client that waits for 100 Continue, as curl does with long bodies, is answered."""
    split = urlsplit(site.client.root)
    if split.scheme != "http":  # over TLS this is the proxy's part
        _stored(site, post(site, [base()]), BASE)
        return
    body = body_of([base()])
    head = _head(
        site, f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n"
    )
    site.client.last = "POST /studies, Expect: 100-continue"
    with socket.create_connection((split.hostname or "", split.port or 80), timeout=5) as line:
        line.sendall(head)
        with suppress(TimeoutError):
            line.settimeout(3)
            expect(line.recv(1024).startswith(b"HTTP/1.1 100"), "the answer is not 100 Continue")
        line.settimeout(5)
        line.sendall(body)
        received = b""
        while more := line.recv(4096):
            received += more
    expect(received.startswith(b"HTTP/1.1 200"), f"the answer is {received[:60]!r}")
    expect(b"00081199" in received, "the answer does not tell what is stored")


def _head(site: Site, more: str) -> bytes:
    split = urlsplit(site.client.root)
    always = "".join(f"{name}: {text}\r\n" for name, text in site.client.always)
    return (
        f"POST {split.path}/studies HTTP/1.1\r\nHost: {split.netloc}\r\n{always}"
        f"Content-Type: {MULTIPART.format(GUID)}\r\n{more}\r\n"
    ).encode("latin-1")


@check("REQ-STOW-01", writes=True)
def study_in_the_address(site: Site) -> None:
    """Instances of a study can be stored below its address."""
    files = [base(), encoded("small"), encoded("annotations")]
    answer = post(site, files, f"/studies/{STUDY}")
    _stored(site, answer, BASE, SMALL, ANNOTATIONS)


@check("REQ-STOW-04", writes=True)
def response_is_an_object(site: Site) -> None:
    """The response is one object of references with their URLs; no sequence in it is empty."""
    for accept in (JSON, "application/json", "*/*", "application/dicom+json, application/json"):
        answer = post(site, [base()], accept=accept).ok()
        expect(answer.content_type in (JSON, "application/json"), answer.content_type)
        document = answer.json()
        expect(isinstance(document, dict), "the response is no object")
        dataset = Dataset.from_json(document)
        reference = dataset.ReferencedSOPSequence[0]
        equal(str(reference.ReferencedSOPInstanceUID), BASE, "the instance")
        equal(str(reference.ReferencedSOPClassUID), WSI, "the SOP Class")
        empty = [
            tag for tag, one in document.items() if one.get("vr") == "SQ" and not one.get("Value")
        ]
        equal(empty, [], "sequences without items")
        for url in (str(dataset.get("RetrieveURL", "")), str(reference.RetrieveURL)):
            expect(url.startswith(site.client.origin), f"Retrieve URL is {url!r}")
            site.get(f"{url}/metadata", JSON).ok()


@check("REQ-STOW-07", "REQ-HTTP-16", writes=True)
def stored_again(site: Site) -> None:
    """The same bytes again are stored already: 200, and there is still one instance."""
    for _ in range(2):
        _stored(site, post(site, [base()]), BASE)
    frames = site.get(path_of("slide", "base") + "/frames/2", ANY_STORED).ok().only_part().body
    equal(frames, bytes(objects.level().PixelData[3072:6144]), "the second frame")


@check("REQ-STOW-07", "REQ-STOW-05", writes=True)
def other_bytes_under_a_uid(site: Site) -> None:
    """Another object under a UID that is taken is refused with 0111, and the first one stays."""
    post(site, [encoded("annotations")]).ok()
    before = site.get(path_of("annotations", "annotations"), ANY_FILE).ok().only_part().body
    answer = post(site, [part10(objects.nuclei(shift=1))]).ok(409)
    _failed(answer, {ANNOTATIONS: _DUPLICATE})
    after = site.get(path_of("annotations", "annotations"), ANY_FILE).ok().only_part().body
    expect(before == after, "the stored object was changed")


def _failed(answer: Answer, reasons: dict[str, int]) -> Json:
    equal(answer.content_type, JSON, "Content-Type")
    document = answer.json()
    expect(isinstance(document, dict), "the response is no object")
    found = {
        str(value(item, "00081155")): value(item, "00081197")
        for item in values(document, "00081198")
    }
    equal(found, reasons, "the failures")
    for item in values(document, "00081198"):
        expect(value(item, "00081150"), "a failure does not name the SOP Class")
    return dict(document)


@check("REQ-STOW-06", "REQ-STOW-03", writes=True)
def another_study_than_the_address(site: Site) -> None:
    """What belongs to another study than the address fails with a reason of its own: 409."""
    other = uid("study of nobody")
    answer = post(site, [base()], f"/studies/{other}").ok(409)
    equal(answer.content_type, JSON, "Content-Type")
    (item,) = values(answer.json(), "00081198")
    equal(value(item, "00081155"), BASE, "the instance that failed")
    reason = int(value(item, "00081197"))
    expect(reason >= 0xA900, f"the reason is {reason:04X}")
    equal(site.search(f"/studies?StudyInstanceUID={other}"), [], "the study of the address")


@check("REQ-STOW-06", "REQ-STOW-03", writes=True)
def some_fail_and_others_do_not(site: Site) -> None:
    """If some fail and others do not it is 202, with both in the response."""
    other = uid("second study")
    stranger = part10(objects.level(study=other))
    answer = post(site, [base(), stranger], f"/studies/{STUDY}").ok(202)
    document = answer.json()
    equal(_sops(document, "00081199"), [BASE], "what is stored")
    equal(_sops(document, "00081198"), [uid(other, "slide", "base")], "what failed")
    equal(site.search(f"/studies?StudyInstanceUID={other}"), [], "the study that failed")


@check("REQ-STOW-04", "REQ-STOW-03", writes=True)
def parts_that_are_no_dicom(site: Site) -> None:
    """A part that is no DICOM fails by itself; alone it is 409 or 400, with others 202."""
    post(site, [b"this is no DICOM file at all" * 20]).ok(400, 409)
    answer = post(site, [b"this is no DICOM file at all" * 20, base()]).ok(202)
    document = answer.json()
    equal(_sops(document, "00081199"), [BASE], "what is stored")
    failed = values(document, "00081198") + values(document, "0008119A")
    equal(len(failed), 1, "the number of failures")
    expect(value(failed[0], "00081197"), "the failure has no reason")


@check("REQ-STOW-05", writes=True)
def classes_that_nobody_knows(site: Site) -> None:
    """An unknown SOP Class is refused with 0122, or stored so that it can be found."""
    dataset = objects.nuclei(name="unknown class")
    dataset.SOPClassUID = "2.25.987654321"
    answer = post(site, [part10(dataset)]).ok(200, 202, 409)
    if answer.status == 409:
        _failed(answer, {str(dataset.SOPInstanceUID): 0x0122})
    else:
        found = site.search(f"/instances?SOPInstanceUID={dataset.SOPInstanceUID}")
        equal([value(one, "00080016") for one in found], ["2.25.987654321"], "its SOP Class")


@check("REQ-STOW-09", writes=True)
def references_to_nothing(site: Site) -> None:
    """Annotations of an image that is nowhere are refused, or taken with a warning."""
    dataset = objects.nuclei(name="of nothing")
    for reference in (
        dataset.ReferencedImageSequence[0],
        dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0],
    ):
        reference.ReferencedSOPInstanceUID = uid("image of nobody")
    if site.search(f"/instances?SOPInstanceUID={dataset.SOPInstanceUID}"):
        raise NotApplicable("they were stored by an earlier run")
    answer = post(site, [part10(dataset)]).ok(200, 202, 409)
    tag = "00081198" if answer.status == 409 else "00081199"
    (item,) = values(answer.json(), tag)
    told = value(item, "00081197") or value(item, "00081196") or value(item, "00081199")
    expect(told, "neither a warning nor a failure is told")


@check("REQ-STOW-03", "REQ-STOW-10", writes=True)
def other_media_types(site: Site) -> None:
    """Bodies of other types are 415."""
    for kind, body in (
        ("application/json", b"{}"),
        ("application/zip", b"PK\x03\x04"),
        ("text/plain", b"text"),
        ('multipart/related; type="image/gif"; boundary=' + GUID, body_of([b"GIF89a"])),
        ("multipart/form-data; boundary=" + GUID, body_of([base()])),
    ):
        headers = (("Content-Type", kind),)
        site.client.request("POST", "/studies", headers, body).ok(415)


@check("REQ-STOW-03", writes=True)
def malformed_bodies(site: Site) -> None:
    """A multipart body without a boundary, a delimiter, a part or an end is 400."""
    kind = MULTIPART.format(GUID)
    for told, body in (
        ('multipart/related; type="application/dicom"', body_of([base()])),
        (kind, b""),
        (kind, b"no delimiter at all"),
        (kind, body_of([base()], "another")),
        (kind, f"--{GUID}--\r\n".encode()),
        (kind, body_of([part10(objects.nuclei(name="cut off"))])[:-200]),
    ):
        headers = (("Content-Type", told),)
        site.client.request("POST", "/studies", headers, body).ok(400)
    lost = uid(STUDY, "annotations", "cut off")
    equal(site.search(f"/instances?SOPInstanceUID={lost}"), [], "the instance that was cut off")


@check("REQ-STOW-03", writes=True)
def malformed_study(site: Site) -> None:
    """A malformed UID in the address of storage is 400."""
    post(site, [base()], "/studies/1.2.x").ok(400)


@check("REQ-STOW-11", writes=True)
def broken_off(site: Site) -> None:
    """An upload that breaks off leaves nothing that can be found."""
    name = "broken off"
    body = body_of([part10(objects.nuclei(name=name)), part10(objects.nuclei(name=name))])
    split = urlsplit(site.client.root)
    if split.scheme == "http":
        with socket.create_connection((split.hostname or "", split.port or 80), timeout=5) as line:
            line.sendall(_head(site, f"Content-Length: {len(body)}\r\n") + body[: len(body) // 3])
    lost = uid(STUDY, "annotations", name)
    equal(site.search(f"/instances?SOPInstanceUID={lost}"), [], "the instance")
    site.get(path_of("annotations", name), ANY_FILE).ok(404)
