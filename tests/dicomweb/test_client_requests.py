"""Requests as known clients send them, header for header, and what each of them needs back.

The shapes were captured on the wire or read in the clients' sources. Names, order and case of the
headers, escapes of the address and the bytes around the parts are theirs.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from conformance.bench.objects import report_of
from conformance.suite import objects
from conformance.suite.client import Answer, Headers, Json
from conformance.suite.site import ANNOTATIONS, REPORTS, WSI, Found, Site, read, uris, value, values
from conformance.suite.uploads import body_of

JSC = "dicomweb-client (JavaScript)"
PYC = "dicomweb-client (Python)"
DMV = "dicom-microscopy-viewer"
EZ = "EZ-WSI-DICOMweb"
OHIF_JSON = (
    "application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*"
)
OCTETS = 'multipart/related; type="application/octet-stream"'
STORED = f"{OCTETS}; transfer-syntax=*"
FILES = 'multipart/related; type="application/dicom"'
JSON = "application/dicom+json"
PYTHON_JSON = "application/dicom+json, application/json"
BROWSER = (
    ("Connection", "keep-alive"),
    ("sec-ch-ua-mobile", "?0"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/139.0.0.0"),
)
"""What Chromium sends before the headers of the page."""
AFTER = (
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "cors"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
)
"""What it sends after them."""
REQUESTS = (("User-Agent", "python-requests/2.32.4"), ("Accept-Encoding", "gzip, deflate"))
"""What the Python library requests sends before the headers of its caller."""


@dataclass(frozen=True)
class Places:
    """What the requests are about."""

    site: Site

    @property
    def slide(self) -> Found:
        return self.site.image

    @property
    def label(self) -> Found:
        (found,) = [one for one in self.site.instances if one.flavour == "LABEL"]
        return found

    @property
    def annotations(self) -> Found:
        return self.site.of_class(ANNOTATIONS, "annotations")

    @property
    def report(self) -> Found:
        return self.site.of_class(REPORTS, "report")

    def address(self, shape: str) -> str:
        """Put the UIDs into the shape of an address: S, E, I of the slide, A and R of findings."""
        return shape.format(
            S=self.slide.study,
            E=self.slide.series,
            I=self.slide.instance,
            small=self.site.small.path,
            label=self.label.path,
            ann=self.annotations.path,
            annseries=self.annotations.series,
            report=self.report.path,
            classes=WSI,
            annotations=ANNOTATIONS,
        )

    def as_browser(self, shape: str, accept: str | None, *more: tuple[str, str]) -> Answer:
        asked = (*more, ("Accept", accept if accept is not None else "*/*"))
        return self.ask("GET", shape, (*BROWSER, *asked, *AFTER))

    def as_python(self, shape: str, accept: str, *more: tuple[str, str]) -> Answer:
        """Ask as dicomweb-client does: its Host has no port."""
        headers = (*REQUESTS, ("Accept", accept), ("Connection", "keep-alive"), *more)
        return self.ask("GET", shape, headers, host=self.host)

    def as_ez(self, shape: str, accept: str = "*/*") -> Answer:
        headers = (*REQUESTS, ("Accept", accept), ("Connection", "keep-alive"))
        return self.ask("GET", shape, headers)

    @property
    def host(self) -> str:
        return urlsplit(self.site.client.root).hostname or ""

    def ask(self, method: str, shape: str, headers: Headers, host: str | None = None) -> Answer:
        return self.site.client.request(method, self.address(shape), headers, host=host)


@pytest.fixture(scope="module")
def at(archive: Site) -> Places:
    assert archive.study
    return Places(archive)


def plain(answer: Answer) -> list[Json]:
    """Return what a browser or requests hands on: the body without its Content-Encoding."""
    if answer.header("Content-Encoding") == "gzip":
        answer = Answer(answer.status, answer.headers, gzip.decompress(answer.body))
    return answer.documents()


# -- searches

Need = Callable[[Places, list[Json]], object]


def the_study(at: Places, found: list[Json]) -> None:
    (one,) = [match for match in found if value(match, "0020000D") == at.slide.study]
    assert set(one["00100010"]["Value"][0]) <= {"Alphabetic", "Ideographic", "Phonetic"}
    assert {"SM", "ANN", "SR"} <= set(values(one, "00080061"))


def the_slide(at: Places, found: list[Json]) -> None:
    assert [value(match, "0020000E") for match in found] == [at.slide.series]
    assert value(found[0], "00080060") == "SM"


def all_series(at: Places, found: list[Json]) -> None:
    assert {value(one, "0020000E") for one in found} == {one.series for one in at.site.instances}


def all_instances(at: Places, found: list[Json]) -> None:
    assert {value(one, "00080018") for one in found} == {one.instance for one in at.site.instances}


def the_annotations(at: Places, found: list[Json]) -> None:
    assert [value(match, "0020000E") for match in found] == [at.annotations.series]


def the_report(at: Places, found: list[Json]) -> None:
    assert [value(match, "00080018") for match in found] == [at.report.instance]
    assert str(value(found[0], "00080016")).startswith(REPORTS)


def nothing(_: Places, found: list[Json]) -> None:
    assert found == []


def one_instance(at: Places, found: list[Json]) -> None:
    assert len(found) == 1
    assert value(found[0], "00080018") in {one.instance for one in at.site.instances}


OHIF_LIST = (
    "limit=101&offset=0&fuzzymatching=false&includefield=00081030,00080060,00080090,00100030"
)
BROWSER_SEARCHES: dict[str, tuple[str, Need]] = {
    f"{JSC}: studies": ("/studies", the_study),
    f"{JSC}: series": ("/studies/{S}/series", all_series),
    f"{JSC}: series of all": ("/series?StudyInstanceUID={S}", all_series),
    f"{JSC}: instances": ("/studies/{S}/instances", all_instances),
    f"{JSC}: instances of all": ("/instances?StudyInstanceUID={S}", all_instances),
    "Slim: worklist": ("/studies?ModalitiesInStudy=SM", the_study),
    "Slim: filter by name": (
        "/studies?ModalitiesInStudy=SM&PatientName=Muster&fuzzymatching=true",
        the_study,
    ),
    "Slim: filter by number": (
        "/studies?ModalitiesInStudy=SM&AccessionNumber=S26-1&PatientID=SUITE-26&fuzzymatching=true",
        the_study,
    ),
    "Slim: open": ("/series?Modality=SM&StudyInstanceUID={S}", the_slide),
    "Slim: presentation states": ("/studies/{S}/instances?Modality=PR", nothing),
    "Slim: reports": ("/studies/{S}/instances?Modality=SR", the_report),
    "Slim: annotations": ("/studies/{S}/series?Modality=ANN", the_annotations),
    "Slim: segmentations": ("/studies/{S}/series?Modality=SEG", nothing),
    "Slim: maps": ("/studies/{S}/series?Modality=OT", nothing),
    "OHIF: study list": (
        "/studies?PatientName=*uster*&00100020=*SUITE*&AccessionNumber=*S26*&StudyDescription=*xcis*"
        f"&ModalitiesInStudy=SM&StudyDate=20260101-20260131&{OHIF_LIST}",
        the_study,
    ),
    "OHIF: modalities": (f"/studies?ModalitiesInStudy=SM%5CCT&{OHIF_LIST}", the_study),
    "OHIF: studies by UID": ("/studies?StudyInstanceUID=2.25.1%5C{S}", the_study),
    "OHIF: series": ("/studies/{S}/series?includefield=0008103E,00080021", all_series),
    "OHIF: probe": ("/studies/{S}/instances?limit=1&includefield=00080018", one_instance),
}


@pytest.mark.req("REQ-QIDO-01", "REQ-QIDO-05", "REQ-QIDO-07", "REQ-QIDO-09", "REQ-QIDO-14")
@pytest.mark.req("REQ-HTTP-05", "REQ-HTTP-08")
@pytest.mark.parametrize("name", BROWSER_SEARCHES)
def test_searches_from_browsers(at: Places, name: str) -> None:
    shape, need = BROWSER_SEARCHES[name]
    answer = at.as_browser(shape, JSON)
    assert answer.content_type == JSON
    need(at, plain(answer))


def test_slim_may_say_more_than_it_needs_to(at: Places) -> None:
    more = (
        ("Authorization", "Bearer x.y.z"),
        ("Content-Security-Policy", "upgrade-insecure-requests"),
    )
    the_slide(at, plain(at.as_browser("/series?Modality=SM&StudyInstanceUID={S}", JSON, *more)))


@pytest.mark.req("REQ-QIDO-04", "REQ-QIDO-06", "REQ-QIDO-09", "REQ-HTTP-01")
def test_the_python_client_asks_for_all_pages(at: Places) -> None:
    shape = (
        "/studies?PatientName=%2AM%2A&includefield=00080018&includefield=00081030"
        "&limit=1&offset={{}}&fuzzymatching=true"
    )
    found: list[Json] = []
    for _ in range(20):
        page = plain(at.as_python(shape.replace("{{}}", str(len(found))), PYTHON_JSON))
        if not page:
            break
        found += page
    else:
        pytest.fail("the pages have no end")
    the_study(at, found)
    root = at.site.client.root
    assert all(str(value(one, "00081190")).startswith(f"{root}/studies/") for one in found)


@pytest.mark.req("REQ-QIDO-07", "REQ-QIDO-11")
def test_wsidicom_finds_levels_and_annotations(at: Places) -> None:
    shape = (
        "/studies/{S}/instances?00080016={classes}&0020000E={E}&0020000E={annseries}"
        "&00080060=SM&includefield=AvailableTransferSyntaxUID"
    )
    levels = plain(at.as_python(shape, PYTHON_JSON))
    assert len(levels) == len([one for one in at.site.instances if one.sop_class == WSI])
    assert all(str(value(one, "00083002")).startswith("1.2.840.10008.1.2") for one in levels)
    shape = shape.replace("{classes}", "{annotations}").replace("=SM", "=ANN")
    (found,) = plain(at.as_python(shape, PYTHON_JSON))
    assert value(found, "00080018") == at.annotations.instance


EZ_FIELDS = (
    "00080008 00080016 00080018 0020000D 0020000E 00200013 00280002 00280004 00280008 00280010 "
    "00280011 00280100 00280101 00280102 00281101 00480001 00480002 00480006 00480007 00480008 "
    "00480105 52009229 52009230 00020010 00083002 00209311 00209164 00209222 00081140 00400512 "
    "00400560 00281351 00080060 00080020 00200010"
)


@pytest.mark.req("REQ-QIDO-06", "REQ-HTTP-05", "REQ-META-06")
def test_ez_wsi_reads_levels_and_colours_from_a_search(at: Places) -> None:
    fields = "&".join(f"includefield={tag}" for tag in EZ_FIELDS.split())
    answer = at.as_ez("/studies/{S}/series/{E}/instances?" + fields)
    assert answer.content_type == JSON
    (level,) = [one for one in plain(answer) if value(one, "00080018") == at.slide.instance]
    for tag in ("00209311", "00480001", "00480006", "00480007", "52009229", "00083002"):
        assert values(level, tag), tag
    uri = level["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
    profile = at.as_ez(uri, "application/octet-stream; transfer-syntax=*").ok()
    assert profile.content_type.startswith("application/octet-stream")
    dataset = at.site.file(at.site.small)
    assert profile.body == dataset.OpticalPathSequence[0].ICCProfile


@pytest.mark.req("REQ-QIDO-10", "REQ-QIDO-13", "REQ-HTTP-22")
def test_the_connectathon_verifies_what_it_sent(at: Places) -> None:
    fields = "&".join(
        f"includefield={one}" for one in ("00100010", "00100020", "00201206", "00201208")
    )
    headers = (
        ("Accept-Encoding", "identity"),
        ("User-Agent", "WG26-IDC-verify/1.0"),
        ("Accept", JSON),
        ("Connection", "close"),
    )
    (study,) = at.ask("GET", "/studies?StudyInstanceUID={S}&" + fields, headers).documents()
    assert value(study, "00201208") == len(at.site.instances)
    shape = "/studies/{S}/series?includefield=00080060&includefield=00201209"
    series = at.ask("GET", shape, headers).documents()
    assert value(study, "00201206") == len(series)
    for one in series:
        uid = value(one, "0020000E")
        listed = at.ask("GET", f"/studies/{{S}}/series/{uid}/instances", headers).documents()
        assert value(one, "00201209") == len(listed)


# -- metadata


@pytest.mark.req("REQ-META-01", "REQ-META-09", "REQ-HTTP-03", "REQ-HTTP-05")
@pytest.mark.parametrize(
    "accept", [JSON, OHIF_JSON, "application/json", f"{JSON}; q=0.9, application/json; q=0.1"]
)
def test_viewers_open_a_series_by_its_metadata(at: Places, accept: str) -> None:
    answer = at.as_browser("/studies/{S}/series/{E}/metadata", accept)
    assert answer.content_type in (JSON, "application/json")
    for one in plain(answer):
        assert value(one, "00080016") == WSI
        assert value(one, "00400512")  # Slim: Container Identifier
        assert value(one, "00200052") or values(one, "00080008")[2] in ("LABEL", "OVERVIEW")
        specimen = values(one, "00400560")[0]
        assert value(specimen, "00400551")
        assert value(specimen, "00400554")
        assert len(values(one, "00080008")) == 4


@pytest.mark.req("REQ-META-02", "REQ-META-03", "REQ-META-05", "REQ-HTTP-01")
def test_wsidicom_reads_metadata_without_following_uris(at: Places) -> None:
    for place in ("/studies/{S}/series/{E}/instances/{I}/metadata", "{ann}/metadata"):
        (document,) = plain(at.as_python(place, PYTHON_JSON))
        assert "7FE00010" not in document
        dataset = Dataset.from_json(document)  # it has no handler of bulk data
        for group in dataset.get("AnnotationGroupSequence", []):
            assert len(group.PointCoordinatesData) > 0
        for path in dataset.get("OpticalPathSequence", []):
            assert len(path.ICCProfile) > 128


# -- bulk data


@pytest.mark.req("REQ-META-04", "REQ-META-06", "REQ-HTTP-02")
def test_viewers_follow_bulk_data_uris_verbatim(at: Places) -> None:
    shape = "/studies/{S}/instances?includefield=00480105&includefield=006A0002"
    found = list(dict.fromkeys(uris(plain(at.as_browser(shape, JSON)))))
    assert found
    for uri in found:
        assert uri.startswith(at.site.client.root)
        parts = at.as_browser(uri, OCTETS).ok().parts()
        alone = at.ask("GET", uri, (*BROWSER, *AFTER)).ok()  # singlepart: it sends no Accept
        assert len(parts) == 1
        assert parts[0].body in alone.body
        named = at.as_python(uri, OCTETS).ok().only_part()
        assert named.body == parts[0].body


@pytest.mark.req("REQ-HTTP-18")
def test_the_javascript_client_reads_a_range_of_bulk_data(at: Places) -> None:
    uri = at.site.bulk_data_uri()
    whole = at.as_browser(uri, "application/octet-stream").ok().body
    range_ = ("Range", "bytes=4-11")
    answer = at.as_browser(uri, "application/octet-stream", range_).ok(200, 206)
    assert answer.status == 206
    assert answer.body == whole[4:12]


# -- frames


@pytest.mark.req("REQ-FRM-01", "REQ-FRM-02", "REQ-HTTP-09")
def test_the_viewer_fetches_tile_after_tile(at: Places) -> None:
    for number in (1, 2, at.slide.frames):
        shape = f"/studies/{{S}}/series/{{E}}/instances/{{I}}/frames/{number}"
        part = at.as_browser(shape, STORED).ok().only_part()
        assert part.body.startswith(b"\xff\xd8\xff")
        assert "Content-Encoding" not in part.headers
        head = at.as_browser(shape, STORED).body.index(b"\r\n\r\n")
        assert head < 1000


@pytest.mark.req("REQ-FRM-04", "REQ-FRM-06")
def test_the_javascript_client_gets_native_pixels_by_default(at: Places) -> None:
    shape = "/studies/{S}/series/{E}/instances/{I}/frames/1,2"
    parts = at.as_browser(shape, OCTETS).ok().parts()
    assert [len(part.body) for part in parts] == [at.slide.frame_bytes] * 2


@pytest.mark.req("REQ-HTTP-05", "REQ-FRM-03", "REQ-FRM-07", "REQ-HTTP-01")
@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="*/*"',
        'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50',
        'multipart/related; type="image/jpeg"; transfer-syntax=*',
        'multipart/related; type="image/jpeg"',
        'multipart/related; type="image/jls", multipart/related; type="image/jpeg"',
    ],
)
def test_the_python_client_fetches_frames(at: Places, accept: str) -> None:
    shape = "/studies/{S}/series/{E}/instances/{I}/frames/2,1"
    parts = at.as_python(shape, accept).ok().parts()
    assert all(part.body.startswith(b"\xff\xd8\xff") for part in parts)
    assert len({part.body for part in parts}) == len(parts) == 2


@pytest.mark.req("REQ-FRM-01", "REQ-FRM-03")
def test_wsidicom_fetches_frames_in_batches(at: Places) -> None:
    shape = "/studies/{S}/series/{E}/instances/{I}/frames/1,2,3,5,6,7,9,10,11"
    accept = 'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50'
    assert len(at.as_python(shape, accept).ok().parts()) == 9


@pytest.mark.req("REQ-HTTP-04", "REQ-FRM-03", "REQ-FRM-05")
@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        ("image/jp2", "1.2.840.10008.1.2.4.90"),
        ("image/jp2", "1.2.840.10008.1.2.4.91"),
        ("image/jls", "1.2.840.10008.1.2.4.80"),
        ("image/x-jls", "1.2.840.10008.1.2.4.80"),
        ("image/x-dicom-rle", "1.2.840.10008.1.2.5"),
        ("image/jhc", "1.2.840.10008.1.2.4.201"),
    ],
)
def test_wsidicom_tries_syntaxes_until_one_is_not_406(at: Places, kind: str, syntax: str) -> None:
    accept = f'multipart/related; type="{kind}"; transfer-syntax={syntax}'
    shape = "/studies/{S}/series/{E}/instances/{I}/frames/1"
    assert at.as_python(shape, accept).status == 406


@pytest.mark.req("REQ-FRM-01", "REQ-HTTP-21", "REQ-FRM-07")
def test_ez_wsi_counts_the_parts_of_four_hundred_frames(at: Places) -> None:
    numbers = [1 + number % at.slide.frames for number in range(400)]
    shape = "/studies/{S}/series/{E}/instances/{I}/frames/" + ",".join(map(str, numbers))
    answer = at.as_ez(shape, STORED).ok()
    parts = answer.parts()
    assert len(parts) == len(numbers)
    first = {number: part.body for number, part in zip(numbers, parts, strict=True)}
    assert all(first[number] == part.body for number, part in zip(numbers, parts, strict=True))
    assert len(set(first.values())) > at.slide.frames // 2
    for syntax in ("*", "1.2.840.10008.1.2.4.50"):
        single = f'multipart/related; type="application/octet-stream"; transfer-syntax={syntax}'
        shape = "/studies/{S}/series/{E}/instances/{I}/frames/1"
        assert at.as_ez(shape, single).ok().only_part().body == first[1]


# -- instances, series, studies


@pytest.mark.req("REQ-INS-01", "REQ-OBJ-01")
def test_browsers_fetch_reports_and_annotations_whole(at: Places) -> None:
    for place, uid in (("{report}", at.report.instance), ("{ann}", at.annotations.instance)):
        part = at.as_browser(place, FILES).ok().only_part()
        assert read(part.body).SOPInstanceUID == uid
    report = read(at.as_browser("{report}", FILES).only_part().body)
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    annotations = read(at.as_browser("{ann}", FILES).only_part().body)
    points = np.frombuffer(annotations.AnnotationGroupSequence[0].PointCoordinatesData, "<f4")
    assert points[:4].tolist() == [1, 1, 9, 1]


@pytest.mark.req("REQ-INS-01", "REQ-HTTP-05", "REQ-HTTP-07", "REQ-HTTP-01")
@pytest.mark.parametrize(
    ("place", "accept"),
    [
        ("{small}", f"{FILES}; transfer-syntax=*"),
        ("/studies/{S}/series/{E}", FILES),
        ("/studies/{S}", FILES),
    ],
)
def test_the_python_client_retrieves_files(at: Places, place: str, accept: str) -> None:
    parts = at.as_python(place, accept).ok().parts()
    files = [pydicom.dcmread(BytesIO(part.body)) for part in parts]
    wanted = {
        "{small}": [at.site.small],
        "/studies/{S}": at.site.instances,
    }.get(place, [one for one in at.site.instances if one.series == at.slide.series])
    assert {str(one.SOPInstanceUID) for one in files} == {one.instance for one in wanted}
    assert all(one.file_meta.TransferSyntaxUID != "1.2.840.10008.1.2" for one in files)


@pytest.mark.req("REQ-INS-01", "REQ-HTTP-05")
def test_ez_wsi_downloads_instance_and_series(at: Places) -> None:
    whole = at.as_ez("{small}", "application/dicom; transfer-syntax=*").ok()
    assert whole.content_type.startswith("application/dicom")
    assert read(whole.body).SOPInstanceUID == at.site.small.instance
    accept = 'multipart/related; transfer-syntax=*; type="application/dicom"'
    answer = at.as_ez("/studies/{S}/series/{E}", accept).ok()
    parts = answer.parts()
    assert len(parts) == len([one for one in at.site.instances if one.series == at.slide.series])


# -- rendered


def picture(answer: Answer, kind: str) -> Image.Image:
    assert answer.ok().content_type == kind
    return Image.open(BytesIO(answer.body))


@pytest.mark.req("REQ-REN-01")
@pytest.mark.parametrize(
    ("query", "bound"),
    [
        ("?viewport=74%2C74", 74),
        ("?viewport=74.25%2C74.25", 75),
        ("?viewport=74%2C74&iccprofile=yes", 74),
        ("", 0),
    ],
)
def test_the_viewer_shows_the_label(at: Places, query: str, bound: int) -> None:
    shown = picture(at.as_browser("{label}/rendered" + query, "image/png"), "image/png")
    rows, columns = (int(value(at.label.document, tag)) for tag in ("00280010", "00280011"))
    assert max(shown.size) in ((bound, bound - 1) if bound else (max(rows, columns),))
    assert abs(shown.width / shown.height - columns / rows) < 0.1


@pytest.mark.req("REQ-REN-02", "REQ-HTTP-05")
@pytest.mark.parametrize("accept", ["image/jpeg", "image/png, image/jpeg", None, "image/jpeg,*/*"])
def test_a_level_is_rendered_for_whatever_is_accepted(at: Places, accept: str | None) -> None:
    shape = "/studies/{S}/series/{E}/instances/{I}/rendered?viewport=100%2C100"
    kind = "image/png" if accept and accept.startswith("image/png") else "image/jpeg"
    headers = (*BROWSER, *((("Accept", accept),) if accept else ()), *AFTER)
    assert max(picture(at.ask("GET", shape, headers), kind).size) <= 100
    assert max(picture(at.as_python(shape, accept or "*/*"), kind).size) <= 100


@pytest.mark.req("REQ-REN-03")
@pytest.mark.parametrize(
    "place", ["/studies/{S}", "/studies/{S}/series/{E}", "/studies/{S}/series/{E}/instances/{I}"]
)
def test_ohif_lists_slides_by_their_thumbnails(at: Places, place: str) -> None:
    for tail in ("thumbnail", "rendered"):
        if tail == "thumbnail" or "series" in place:
            shown = picture(at.as_browser(f"{place}/{tail}", "image/jpeg"), "image/jpeg")
            width, height = (value(at.slide.document, tag) for tag in ("00480006", "00480007"))
            assert abs(shown.width / shown.height - width / height) < 0.1  # no label


# -- other origins


@pytest.mark.req("REQ-HTTP-11", "REQ-HTTP-13")
@pytest.mark.parametrize("names", ["accept", "accept,authorization", "content-security-policy"])
def test_the_viewer_asks_before_each_tile_from_another_origin(at: Places, names: str) -> None:
    origin = at.site.origin or ""
    shape = "/studies/{S}/series/{E}/instances/{I}/frames/1"
    asked = (
        ("Accept", "*/*"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", names),
        ("Origin", origin),
    )
    preflight = at.ask("OPTIONS", shape, (*BROWSER, *asked, *AFTER)).ok(200, 204)
    assert preflight.header("Access-Control-Allow-Origin") == origin
    assert names.split(",")[-1] in preflight.header("Access-Control-Allow-Headers").lower()
    answer = at.as_browser(shape, STORED, ("Origin", origin)).ok()
    assert answer.header("Access-Control-Allow-Origin") == origin


# -- storing

GUID = "1a6e4f5c-93a1-4f4e-b0d5-3a1c7f0f2b60"
PYTHON_BOUNDARY = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
WG26_BOUNDARY = "5f0c4be1b04e4bd2a6a3f1f0c1d5b3aa"


def stored(answer: Answer) -> Dataset:
    """Read the response as the Python client does: Content-Type must be exactly this."""
    assert answer.status in (200, 202), answer.body
    assert answer.content_type in ("application/dicom+json", "application/json")
    dataset = Dataset.from_json(answer.json())
    assert "FailedSOPSequence" not in dataset
    return dataset


@pytest.fixture(scope="module")
def file() -> bytes:
    return objects.encoded("base")


@pytest.mark.req("REQ-STOW-01", "REQ-STOW-03", "REQ-STOW-04")
@pytest.mark.parametrize("path", ["/studies", f"/studies/{objects.STUDY}"])
def test_the_javascript_client_stores(at: Places, file: bytes, path: str) -> None:
    body = body_of([file], GUID, start="\r\n")
    kind = f'multipart/related; type="application/dicom"; boundary="{GUID}"'
    headers = (*BROWSER, ("Content-Type", kind), ("Accept", "*/*"), *AFTER)
    response = stored(at.site.client.request("POST", path, headers, body))
    reference = response.ReferencedSOPSequence[0]
    assert reference.RetrieveURL.startswith(at.site.client.root)
    assert value(
        at.site.search(f"/instances?SOPInstanceUID={reference.ReferencedSOPInstanceUID}")[0],
        "00080018",
    )


@pytest.mark.req("REQ-STOW-01", "REQ-STOW-02", "REQ-STOW-04", "REQ-HTTP-01", "REQ-HTTP-08")
@pytest.mark.parametrize("chunked", [False, True])
def test_the_python_client_stores(at: Places, file: bytes, chunked: bool) -> None:
    body = body_of([file], PYTHON_BOUNDARY, start="\r\n")
    kind = f'multipart/related; type="application/dicom"; boundary="{PYTHON_BOUNDARY}"'
    headers = (*REQUESTS, ("Accept", "*/*"), ("Connection", "keep-alive"), ("Content-Type", kind))
    client = at.site.client
    if chunked:  # more than 10^6 bytes go like this, then with the whole host
        pieces = (body[place : place + 1000] for place in range(0, len(body), 1000))
        more = (*headers, ("Cache-Control", "no-cache"))
        answer = client.request("POST", "/studies", more, pieces)
    else:
        answer = client.request("POST", "/studies", headers, body, host=at.host)
    assert len(stored(answer).ReferencedSOPSequence) == 1


@pytest.mark.req("REQ-STOW-01")
@pytest.mark.parametrize("quote", ["", '"'])
def test_connectathon_scripts_and_orthanc_store(at: Places, file: bytes, quote: str) -> None:
    kind = (
        f"multipart/related; type={quote}application/dicom{quote}; "
        f"boundary={quote}{WG26_BOUNDARY}{quote}"
    )
    headers = (
        ("Accept-Encoding", "identity"),
        ("Content-Type", kind),
        ("Accept", JSON),
        ("User-Agent", "WG26-IDC-verify/1.0"),
        ("Connection", "close"),
    )
    body = body_of([file], WG26_BOUNDARY, end="\r\n")
    stored(at.site.client.request("POST", "/studies", headers, body))


@pytest.mark.req("REQ-STOW-01", "REQ-OBJ-01")
def test_slim_saves_a_report_of_the_slide(at: Places) -> None:
    saved = report_of(objects.level())
    saved.SeriesInstanceUID = objects.uid("slim", "series")
    saved.SOPInstanceUID = objects.uid("slim", "report")
    saved.SeriesDescription = "Annotation"
    saved.CompletionFlag, saved.VerificationFlag = "PARTIAL", "UNVERIFIED"
    del saved.VerifyingObserverSequence
    body = body_of([objects.encoded("base"), objects.part10(saved)], GUID, start="\r\n")
    kind = f'multipart/related; type="application/dicom"; boundary="{GUID}"'
    headers = (*BROWSER, ("Content-Type", kind), ("Accept", "*/*"), *AFTER)
    stored(at.site.client.request("POST", "/studies", headers, body))
    found = at.site.search(f"/studies/{objects.STUDY}/instances?Modality=SR")
    assert saved.SOPInstanceUID in {value(one, "00080018") for one in found}


@pytest.mark.req("REQ-DEL-01", "REQ-HTTP-01")
def test_the_python_client_may_not_delete(at: Places) -> None:
    headers = (*REQUESTS, ("Accept", "*/*"), ("Connection", "keep-alive"), ("Content-Length", "0"))
    for shape in ("/studies/{S}", "/studies/{S}/series/{E}", "{small}"):
        assert at.ask("DELETE", shape, headers, host=at.host).status == 405
    all_series(at, at.site.search(f"/studies/{at.slide.study}/series"))
