"""Storing (checklist, section 8). All of it needs ``--write``."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from pydicom.dataset import Dataset

from conformance.suite import objects
from conformance.suite.checks import NotApplicable, check, equal, expect
from conformance.suite.client import Answer, Headers, Json
from conformance.suite.objects import STUDY, encoded, part10, uid
from conformance.suite.site import ANY_FILE, ANY_STORED, JSON, WSI, Site, read, value, values

_GUID = "39a0f8c3-9a52-4e4f-8d1e-7f0d6c2f5b11"
_PYTHON = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
"""The boundary that dicomweb-client (Python) always uses."""
_TYPE = 'multipart/related; type="application/dicom"; boundary="{}"'
_DUPLICATE = 0x0111


def body_of(
    files: Sequence[bytes],
    boundary: str = _GUID,
    *,
    start: str = "",
    part: str = "Content-Type: application/dicom\r\n",
    end: str = "",
) -> bytes:
    """Return a multipart body.

    Parameters
    ----------
    start, end
        What stands before the first delimiter and after the last.
    part
        Headers of each part, each with its CRLF.
    """
    head = f"--{boundary}\r\n{part}\r\n".encode()
    joined = b"\r\n".join(head + file for file in files)
    return start.encode() + joined + f"\r\n--{boundary}--{end}".encode()


def _post(
    site: Site,
    files: Sequence[bytes],
    path: str = "/studies",
    *,
    kind: str = _TYPE.format(_GUID),
    accept: str = JSON,
) -> Answer:
    headers = (("Content-Type", kind), ("Accept", accept))
    return site.client.request("POST", path, headers, body_of(files))


def _base() -> bytes:
    return encoded("base")


def _sops(document: Json, tag: str) -> list[str]:
    return [str(value(item, "00081155")) for item in values(document, tag)]


def _stored(site: Site, answer: Answer, *instances: str) -> Json:
    """Check an answer that says that all is stored; return it."""
    answer.ok(*((200,) if instances == (_BASE,) else (200, 202)))  # RLE deserves a warning
    equal(answer.content_type, JSON, "Content-Type")
    document = answer.json()
    expect(isinstance(document, dict), "the response is no JSON object")
    equal(sorted(_sops(document, "00081199")), sorted(instances), "what is said to be stored")
    equal(_sops(document, "00081198"), [], "what is said to have failed")
    for instance in instances:
        found = site.search(f"/instances?SOPInstanceUID={instance}")
        equal(len(found), 1, "the number of such instances a moment later")
    return dict(document)


_BASE = uid(STUDY, "slide", "base")
_SMALL = uid(STUDY, "slide", "small")
_ANNOTATIONS = uid(STUDY, "annotations", "annotations")


@check("REQ-STOW-01", "REQ-STOW-03", writes=True)
def stored_as_by_javascript(site: Site) -> None:
    """The body of dicomweb-client (JavaScript) is taken: CRLF first, quoted boundary, no Accept."""
    body = body_of([_base()], start="\r\n")
    headers = (("Content-Type", _TYPE.format(_GUID)),)
    _stored(site, site.client.request("POST", "/studies", headers, body), _BASE)


@check("REQ-STOW-01", "REQ-HTTP-01", writes=True)
def stored_as_by_python(site: Site) -> None:
    """The body of dicomweb-client (Python) is taken, its Host without a port."""
    host = urlsplit(site.client.root).hostname
    body = body_of([encoded("small")], _PYTHON, start="\r\n")
    headers = (("Accept", "*/*"), ("Content-Type", _TYPE.format(_PYTHON)))
    answer = site.client.request("POST", "/studies", headers, body, host=host)
    document = _stored(site, answer, _SMALL)
    url = str(value(document["00081199"]["Value"][0], "00081190"))
    expect(url.startswith(site.client.origin), f"Retrieve URL is {url}")


@check("REQ-STOW-02", writes=True)
def chunked_without_length(site: Site) -> None:
    """A body in chunks without Content-Length is taken, as Python sends more than 1 MB."""
    body = body_of([_base(), encoded("annotations")], _PYTHON, start="\r\n")
    headers = (("Content-Type", _TYPE.format(_PYTHON)), ("Cache-Control", "no-cache"))
    pieces = (body[place : place + 997] for place in range(0, len(body), 997))
    answer = site.client.request("POST", "/studies", headers, pieces)
    _stored(site, answer, _BASE, _ANNOTATIONS)


@check("REQ-STOW-01", writes=True)
def other_framings(site: Site) -> None:
    """Types and boundaries unquoted, parts with more or no parameters, trailing CRLF: all taken."""
    files = [_base()]
    plain = "Content-Type: application/dicom\r\n"
    for kind, body in (
        (
            f"multipart/related; type=application/dicom; boundary={_GUID}",
            body_of(files, end="\r\n"),
        ),
        (f'multipart/related; boundary={_GUID}; type="application/dicom"', body_of(files)),
        (f"Multipart/Related;boundary={_GUID};Type=application/dicom", body_of(files)),
        (f"multipart/related; boundary={_GUID}", body_of(files)),
        (
            _TYPE.format(_GUID) + "; transfer-syntax=1.2.840.10008.1.2.1",
            body_of(files, part="Content-Type: application/dicom; transfer-syntax=*\r\n"),
        ),
        (
            _TYPE.format(_GUID),
            body_of(
                files, part=f"content-type:application/dicom\r\nContent-Length: {len(files[0])}\r\n"
            ),
        ),
        (_TYPE.format(_GUID), body_of(files, part=f"{plain}MIME-Version: 1.0\r\n", start="x\r\n")),
    ):
        answer = site.client.request("POST", "/studies", (("Content-Type", kind),), body)
        _stored(site, answer, _BASE)


@check("REQ-STOW-01", writes=True)
def expecting_to_continue(site: Site) -> None:
    """A client that waits for 100 Continue, as curl does with long bodies, is answered."""
    split = urlsplit(site.client.root)
    if split.scheme != "http":  # over TLS this is the proxy's part
        _stored(site, _post(site, [_base()]), _BASE)
        return
    body = body_of([_base()])
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
        f"Content-Type: {_TYPE.format(_GUID)}\r\n{more}\r\n"
    ).encode("latin-1")


@check("REQ-STOW-01", writes=True)
def study_in_the_address(site: Site) -> None:
    """Instances of a study can be stored below its address."""
    files = [_base(), encoded("small"), encoded("annotations")]
    answer = _post(site, files, f"/studies/{STUDY}")
    _stored(site, answer, _BASE, _SMALL, _ANNOTATIONS)


@check("REQ-STOW-04", writes=True)
def response_is_an_object(site: Site) -> None:
    """The response is one object of references with their URLs; no sequence in it is empty."""
    for accept in (JSON, "application/json", "*/*", "application/dicom+json, application/json"):
        answer = _post(site, [_base()], accept=accept).ok()
        expect(answer.content_type in (JSON, "application/json"), answer.content_type)
        document = answer.json()
        expect(isinstance(document, dict), "the response is no object")
        dataset = Dataset.from_json(document)
        reference = dataset.ReferencedSOPSequence[0]
        equal(str(reference.ReferencedSOPInstanceUID), _BASE, "the instance")
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
        _stored(site, _post(site, [_base()]), _BASE)
    frames = site.get(_path("slide", "base") + "/frames/2", ANY_STORED).ok().only_part().body
    equal(frames, bytes(objects.level().PixelData[3072:6144]), "the second frame")


def _path(series: str, name: str, study: str = STUDY) -> str:
    return f"/studies/{study}/series/{uid(study, series)}/instances/{uid(study, series, name)}"


@check("REQ-STOW-07", "REQ-STOW-05", writes=True)
def other_bytes_under_a_uid(site: Site) -> None:
    """Another object under a UID that is taken is refused with 0111, and the first one stays."""
    _post(site, [encoded("annotations")]).ok()
    before = site.get(_path("annotations", "annotations"), ANY_FILE).ok().only_part().body
    answer = _post(site, [part10(objects.nuclei(shift=1))]).ok(409)
    _failed(answer, {_ANNOTATIONS: _DUPLICATE})
    after = site.get(_path("annotations", "annotations"), ANY_FILE).ok().only_part().body
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
    answer = _post(site, [_base()], f"/studies/{other}").ok(409)
    equal(answer.content_type, JSON, "Content-Type")
    (item,) = values(answer.json(), "00081198")
    equal(value(item, "00081155"), _BASE, "the instance that failed")
    reason = int(value(item, "00081197"))
    expect(reason >= 0xA900, f"the reason is {reason:04X}")
    equal(site.search(f"/studies?StudyInstanceUID={other}"), [], "the study of the address")


@check("REQ-STOW-06", "REQ-STOW-03", writes=True)
def some_fail_and_others_do_not(site: Site) -> None:
    """If some fail and others do not it is 202, with both in the response."""
    other = uid("second study")
    stranger = part10(objects.level(study=other))
    answer = _post(site, [_base(), stranger], f"/studies/{STUDY}").ok(202)
    document = answer.json()
    equal(_sops(document, "00081199"), [_BASE], "what is stored")
    equal(_sops(document, "00081198"), [uid(other, "slide", "base")], "what failed")
    equal(site.search(f"/studies?StudyInstanceUID={other}"), [], "the study that failed")


@check("REQ-STOW-04", "REQ-STOW-03", writes=True)
def parts_that_are_no_dicom(site: Site) -> None:
    """A part that is no DICOM fails by itself; alone it is 409 or 400, with others 202."""
    _post(site, [b"this is no DICOM file at all" * 20]).ok(400, 409)
    answer = _post(site, [b"this is no DICOM file at all" * 20, _base()]).ok(202)
    document = answer.json()
    equal(_sops(document, "00081199"), [_BASE], "what is stored")
    failed = values(document, "00081198") + values(document, "0008119A")
    equal(len(failed), 1, "the number of failures")
    expect(value(failed[0], "00081197"), "the failure has no reason")


@check("REQ-STOW-05", writes=True)
def classes_that_nobody_knows(site: Site) -> None:
    """An unknown SOP Class is refused with 0122, or stored so that it can be found."""
    dataset = objects.nuclei(name="unknown class")
    dataset.SOPClassUID = "2.25.987654321"
    answer = _post(site, [part10(dataset)]).ok(200, 202, 409)
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
    answer = _post(site, [part10(dataset)]).ok(200, 202, 409)
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
        ('multipart/related; type="image/gif"; boundary=' + _GUID, body_of([b"GIF89a"])),
        ("multipart/form-data; boundary=" + _GUID, body_of([_base()])),
    ):
        headers = (("Content-Type", kind),)
        site.client.request("POST", "/studies", headers, body).ok(415)


@check("REQ-STOW-03", writes=True)
def malformed_bodies(site: Site) -> None:
    """A multipart body without a boundary, a delimiter, a part or an end is 400."""
    kind = _TYPE.format(_GUID)
    for told, body in (
        ('multipart/related; type="application/dicom"', body_of([_base()])),
        (kind, b""),
        (kind, b"no delimiter at all"),
        (kind, body_of([_base()], "another")),
        (kind, f"--{_GUID}--\r\n".encode()),
        (kind, body_of([part10(objects.nuclei(name="cut off"))])[:-200]),
    ):
        headers = (("Content-Type", told),)
        site.client.request("POST", "/studies", headers, body).ok(400)
    lost = uid(STUDY, "annotations", "cut off")
    equal(site.search(f"/instances?SOPInstanceUID={lost}"), [], "the instance that was cut off")


@check("REQ-STOW-03", writes=True)
def malformed_study(site: Site) -> None:
    """A malformed UID in the address of storage is 400."""
    _post(site, [_base()], "/studies/1.2.x").ok(400)


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
    site.get(_path("annotations", name), ANY_FILE).ok(404)


@check("REQ-STOW-11", "REQ-QIDO-13", writes=True)
def visible_at_once(site: Site) -> None:
    """What is stored is found, counted and served in the moment it is acknowledged."""
    study = uid("visible at once")
    for count, dataset in enumerate((objects.level(study=study), objects.nuclei(study=study)), 1):
        _post(site, [part10(dataset)]).ok()
        (found,) = site.search(f"/studies?StudyInstanceUID={study}&includefield=00201208,00080061")
        listed = site.search(f"/studies/{study}/instances")
        expect(len(listed) >= count, f"{len(listed)} instances are found after {count}")
        equal(value(found, "00201208"), len(listed), "Number of Study Related Instances")
        expect(dataset.Modality in values(found, "00080061"), "its modality is not in the study")
        documents = site.get(f"/studies/{study}/metadata", JSON).documents()
        equal(len(documents), len(listed), "the number of data sets in metadata")


@check("REQ-STOW-08", "REQ-INS-01", "REQ-META-10", writes=True)
def nothing_is_changed(site: Site) -> None:
    """What was stored comes back as it was: pixels, names in any script, private values."""
    _post(site, [_base(), encoded("small"), encoded("annotations")]).ok(200, 202)
    for series, name, sent in (
        ("slide", "base", _base()),
        ("slide", "small", encoded("small")),
        ("annotations", "annotations", encoded("annotations")),
    ):
        back = read(site.get(_path(series, name), ANY_FILE).ok().only_part().body)
        wanted = read(sent)
        for element in wanted:
            expect(element.tag in back, f"{element.tag} of {name} is lost")
            if element.VR == "UN" or back[element.tag].VR != "UN":
                expect(back[element.tag].value == element.value, f"{element.tag} of {name} changed")
        more = [element.tag for element in back if element.tag not in wanted]
        recorded = "OriginalAttributesSequence" in back or "InstanceCoercionDateTime" in back
        expect(not more or recorded, f"{name} has {more} more, and no record of it")


@check("REQ-QIDO-08", "REQ-QIDO-12", writes=True)
def names_in_any_script(site: Site) -> None:
    """Names in other scripts are found and come back as objects."""
    _post(site, [_base()]).ok()
    for written in ("S%C3%BChte%5EConformance", "s%C3%BChte*", "S%C3%BChte*"):
        matches = site.search(f"/studies?PatientName={written}&StudyInstanceUID={STUDY}")
        equal(len(matches), 1, f"the number of matches of {written}")
        equal(
            matches[0]["00100010"]["Value"],
            [{"Alphabetic": "Sühte^Conformance", "Ideographic": "試験^適合"}],
            "the name",
        )


@check("REQ-FRM-01", "REQ-FRM-02", "REQ-STOW-08", writes=True)
def every_stored_frame(site: Site) -> None:
    """Each frame of a stored slide is the one that was sent, natively and in RLE."""
    _post(site, [_base(), encoded("small")]).ok(200, 202)
    for name, sent in (("base", objects.level()), ("small", objects.level(40, 45, name="small"))):
        count, size = int(sent.NumberOfFrames), objects.TILE**2 * 3
        listed = ",".join(map(str, range(1, count + 1)))
        accept = 'multipart/related; type="application/octet-stream"'
        parts = site.get(f"{_path('slide', name)}/frames/{listed}", accept).ok().parts()
        equal(len(parts), count, "the number of frames")
        for number, part in enumerate(parts):
            wanted = sent.PixelData[number * size : (number + 1) * size]
            expect(part.body == wanted, f"frame {number + 1} of {name} has other pixels")


@check("REQ-FRM-05", writes=True)
def both_names_of_rle(site: Site) -> None:
    """RLE frames are known as image/dicom-rle and, to older clients, as image/x-dicom-rle."""
    _post(site, [encoded("small")]).ok(200, 202)
    for kind in ("image/dicom-rle", "image/x-dicom-rle"):
        accept = f'multipart/related; type="{kind}"; transfer-syntax=1.2.840.10008.1.2.5'
        part = site.get(f"{_path('slide', 'small')}/frames/1", accept).ok().only_part()
        equal(part.content_type.partition(";")[0], kind, "the type of the part")
        equal(part.body[:4], b"\x03\0\0\0", "the number of its segments")


@check("REQ-META-04", "REQ-META-02", writes=True)
def groups_of_annotations(site: Site) -> None:
    """The coordinates of three stored groups are three values, each with its own bytes."""
    _post(site, [_base(), encoded("annotations")]).ok()
    (match,) = site.search(
        f"/studies/{STUDY}/instances?SOPInstanceUID={_ANNOTATIONS}&includefield=006A0002"
    )
    sent = [bytes(one.PointCoordinatesData) for one in objects.nuclei().AnnotationGroupSequence]
    got = [one["00660016"] for one in values(match, "006A0002")]
    equal(len(got), len(sent), "the number of groups")
    found = [_fetched(site, one) for one in got]
    equal([bytes(one) for one in found], sent, "the coordinates")


def _fetched(site: Site, attribute: Json) -> bytes:
    if "InlineBinary" in attribute:
        return base64.b64decode(attribute["InlineBinary"])
    accept = 'multipart/related; type="application/octet-stream"'
    return site.get(attribute["BulkDataURI"], accept).ok().only_part().body


@check("REQ-META-10", writes=True)
def private_values_of_a_stored_object(site: Site) -> None:
    """A private value of unknown VR stays UN in metadata, inline or as URI, byte for byte."""
    _post(site, [_base()]).ok()
    (document,) = site.get(f"{_path('slide', 'base')}/metadata", JSON).documents()
    equal(values(document, "00990010"), ["SLIDEGATE SUITE"], "the private creator")
    attribute = document["00991001"]
    equal(attribute["vr"], "UN", "the VR")
    expect(_fetched(site, attribute) == objects.PRIVATE, "the value is another")


@check("REQ-DEL-01", writes=True)
def nothing_is_deleted(site: Site) -> None:
    """DELETE of what is there is 405, and it stays."""
    _post(site, [_base()]).ok()
    path = _path("slide", "base")
    for one in (path, path.partition("/instances")[0], f"/studies/{STUDY}"):
        answer = site.client.request("DELETE", one).ok(405)
        expect("GET" in answer.header("Allow"), f"Allow is {answer.header('Allow')!r}")
    equal(len(site.search(f"/instances?SOPInstanceUID={_BASE}")), 1, "what is left")


def seeds() -> Iterator[bytes]:
    """Yield what an empty archive needs, so that there is something to look at."""
    yield from (encoded("base"), encoded("small"), encoded("annotations"))


def seed(site: Site) -> None:
    """Store the suite's own objects; checks tell what is wrong with that."""
    headers: Headers = (("Content-Type", _TYPE.format(_GUID)), ("Accept", JSON))
    with suppress(OSError):
        site.client.request("POST", "/studies", headers, body_of(list(seeds())))
