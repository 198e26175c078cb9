"""Addresses, negotiation, multipart bodies, caching, CORS and errors (checklist, section 4)."""

from __future__ import annotations

import gzip

from conformance.suite.checks import NotApplicable, check, equal, expect
from conformance.suite.client import Answer, parameter
from conformance.suite.site import ANY_FILE, ANY_STORED, JSON, Site, read, uris, value

_OHIF = (
    "application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*"
)
_NOWHERE = "2.25.1"
"""A UID that no archive has."""
_EXPOSED = {"etag", "warning", "content-location", "content-range", "retry-after"}


# -- addresses


@check("REQ-HTTP-01")
def host_without_port(site: Site) -> None:
    """Absolute URLs stay the same when the Host header has no port."""
    path = f"{site.study_path}/series"
    name = site.client.origin.partition("://")[2].rsplit(":", 1)[0]
    full = site.get(path, JSON).documents()
    bare = site.client.request("GET", path, (("Accept", JSON),), host=name).documents()
    urls = [value(one, "00081190") for one in full]
    expect(urls and all(urls), "the matches have no Retrieve URL")
    equal([value(one, "00081190") for one in bare], urls, "Retrieve URL")


@check("REQ-HTTP-02")
def retrieve_urls_lead_back(site: Site) -> None:
    """Retrieve URLs of search results are absolute, on the same server, and can be fetched."""
    matches = site.search(f"{site.study_path}/instances?limit=3")
    expect(matches, "the study has no instances")
    for match in matches:
        url = str(value(match, "00081190"))
        expect(url.startswith(site.client.origin + "/"), f"Retrieve URL is {url}")
        (document,) = site.get(f"{url}/metadata", JSON).documents()
        equal(value(document, "00080018"), value(match, "00080018"), "SOP Instance UID")


@check("REQ-HTTP-02")
def bulk_data_uris_lead_back(site: Site) -> None:
    """Bulk data URIs are absolute, on the same server, and can be fetched without more ado."""
    documents = site.get(f"{site.study_path}/metadata", JSON).documents()
    documents += site.search(f"{site.study_path}/instances?includefield=all")
    found = list(dict.fromkeys(uris(documents)))
    if not found:
        raise NotApplicable("nothing in the study is bulk data")
    for uri in found:
        expect(uri.startswith(site.client.origin + "/"), f"a bulk data URI is {uri}")
    for uri in [one for one in found if "7FE00010" not in one][:8]:
        answer = site.get(uri, 'multipart/related; type="application/octet-stream"').ok()
        expect(answer.only_part().body, "the value is empty")


# -- negotiation


@check("REQ-HTTP-03")
def unquoted_types(site: Site) -> None:
    """Types in Accept need no quotes and keep their slash."""
    for accept in (
        "multipart/related; type=application/octet-stream; transfer-syntax=*",
        "multipart/related;type=application/octet-stream;transfer-syntax=*",
        'Multipart/Related; Type="Application/Octet-Stream"; Transfer-Syntax="*"',
    ):
        part = site.get(f"{site.image.path}/frames/1", accept).ok().only_part()
        expect(part.content_type.startswith("application/octet-stream"), part.content_type)
    for accept in (
        "multipart/related; type=application/dicom",
        "multipart/related;type=application/dicom;transfer-syntax=*",
    ):
        part = site.get(site.small.path, accept).ok().only_part()
        expect(part.content_type.startswith("application/dicom"), part.content_type)


@check("REQ-HTTP-04")
def nothing_acceptable_is_406(site: Site) -> None:
    """What is not available is 406 at every resource, never something else."""
    for path in (f"{site.image.path}/frames/1", site.small.path, f"{site.study_path}/series"):
        site.get(path, "text/html").ok(406)
    site.get(f"{site.small.path}/metadata", "image/jpeg").ok(406)


@check("REQ-HTTP-04")
def other_syntaxes_are_406(site: Site) -> None:
    """Another syntax than that of the frames is 406: wsidicom tries the next after it only."""
    there = site.syntax
    other = ("1.2.840.10008.1.2.4.91", "image/jp2", "1.2.840.10008.1.2.4.80", "image/jls")
    kind, syntax = other[1::-1] if there != other[0] else other[:1:-1]
    accept = f'multipart/related; type="{kind}"; transfer-syntax={syntax}'
    site.get(f"{site.image.path}/frames/1", accept).ok(406)
    accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.3.4'
    site.get(f"{site.image.path}/frames/1", accept).ok(406)


@check("REQ-HTTP-04")
def quality_decides(site: Site) -> None:
    """Quality decides between ranges, the more exact range goes first, and 0 refuses."""
    path = f"{site.study_path}/series"
    for accept, wanted in (
        ("application/json;q=0.9, application/dicom+json;q=0.2", "application/json"),
        ("*/*;q=0.1, application/json", "application/json"),
        ("text/html, application/dicom+json;q=0.5", JSON),
    ):
        equal(site.get(path, accept).ok().content_type, wanted, f"Content-Type for {accept}")
    site.get(path, "application/json;q=0, application/dicom+json;q=0").ok(406)


@check("REQ-HTTP-04", "REQ-HTTP-06")
def accept_in_the_url(site: Site) -> None:
    """The accept parameter goes before the header, its plus escaped or become a blank."""
    path = f"{site.study_path}/series?accept="
    for accept in ("application/dicom%2Bjson", "application/dicom+json"):
        answer = site.get(path + accept, "application/json").ok()
        equal(answer.content_type, JSON, "Content-Type")
    answer = site.get(f"{path}application/json", JSON).ok()
    equal(answer.content_type, "application/json", "Content-Type")


@check("REQ-HTTP-05")
def any_type_of_frame(site: Site) -> None:
    """multipart/related with type="*/*", what dicomweb-client sends for frames, gives one part."""
    answer = site.get(f"{site.image.path}/frames/1", 'multipart/related; type="*/*"').ok()
    expect(answer.only_part().body, "the frame is empty")


@check("REQ-HTTP-05")
def no_accept_at_all(site: Site) -> None:
    """Without Accept, and with */*, every resource answers in its default form."""
    for accept in (None, "*/*"):
        equal(site.get(f"{site.study_path}/series", accept).ok().content_type, JSON, "of searches")
        kind = site.get(f"{site.small.path}/metadata", accept).ok().content_type
        equal(kind, JSON, "of metadata")
        frame = site.get(f"{site.image.path}/frames/1", accept).ok()
        whole = site.get(site.small.path, accept).ok()
        for answer, kinds in (
            (frame, ("image/", "application/oct")),
            (whole, ("application/dicom",)),
        ):
            kind = answer.content_type
            allowed = ("multipart/related", *kinds)
            expect(kind.startswith(allowed) and "json" not in kind, f"Content-Type is {kind}")


@check("REQ-HTTP-05")
def parameters_in_any_order(site: Site) -> None:
    """EZ-WSI's order, the transfer syntax before the type, is understood."""
    syntax = site.file(site.small).file_meta.TransferSyntaxUID
    accept = f'multipart/related; transfer-syntax={syntax}; type="application/dicom"'
    part = site.get(site.small.path, accept).ok().only_part()
    equal(part.body[128:132], b"DICM", "what stands after the preamble")


@check("REQ-HTTP-05")
def ohif_gets_json(site: Site) -> None:
    """OHIF's Accept for metadata, JSON and unquoted octets joined, gives JSON."""
    answer = site.get(f"{site.small.series_path}/metadata", _OHIF).ok()
    equal(answer.content_type, JSON, "Content-Type")
    found = {value(one, "0020000E") for one in answer.documents()}
    equal(found, {site.small.series}, "the series")


@check("REQ-HTTP-05")
def ranges_that_come_joined(site: Site) -> None:
    """Several media types joined by commas, as the JavaScript client sends them, are understood."""
    accept = ", ".join(
        f'multipart/related; type="{kind}"'
        for kind in ("image/jls", "image/jp2", "image/jpeg", "application/octet-stream")
    )
    part = site.get(f"{site.image.path}/frames/1", accept).ok().only_part()
    expect(part.content_type.partition(";")[0] in accept, f"a part is {part.content_type}")


@check("REQ-HTTP-05", "REQ-HTTP-08")
def plain_json_is_json(site: Site) -> None:
    """application/json is answered under that name, with the same content."""
    for path in (f"{site.study_path}/instances", f"{site.small.path}/metadata"):
        plain = site.get(path, "application/json").ok()
        equal(plain.content_type, "application/json", "Content-Type")
        equal(plain.json(), site.get(path, JSON).ok().json(), "the content")


@check("REQ-HTTP-07")
def no_implicit_or_big_endian(site: Site) -> None:
    """Instances asked for without a transfer syntax never come as implicit or big endian."""
    accept = 'multipart/related; type="application/dicom"'
    parts = site.get(site.small.path, accept).ok().parts()
    for part in parts:
        stated = parameter(part.content_type, "transfer-syntax")
        syntaxes = {stated, str(read(part.body).file_meta.TransferSyntaxUID)}
        refused = syntaxes & {"1.2.840.10008.1.2", "1.2.840.10008.1.2.2"}
        expect(not refused, f"the instance comes as {refused}")
    equal(len(parts), 1, "the number of parts")
    for syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2"):
        site.get(site.small.path, f"{accept}; transfer-syntax={syntax}").ok(406)


@check("REQ-HTTP-08")
def json_without_character_set(site: Site) -> None:
    """Content-Type of JSON is exactly application/dicom+json."""
    for path in (
        "/studies?limit=1",
        f"{site.study_path}/series",
        f"{site.study_path}/instances",
        f"{site.small.path}/metadata",
    ):
        answer = site.get(path, JSON).ok()
        equal(answer.content_type, JSON, "Content-Type")
        expect(value(answer.documents()[0], "0020000D"), "there is no study")


# -- multipart bodies


def _multipart(site: Site) -> list[Answer]:
    numbers = ",".join(str(1 + number % site.image.frames) for number in range(3))
    return [
        site.get(f"{site.image.path}/frames/{numbers}", ANY_STORED).ok(),
        site.get(site.small.path, ANY_FILE).ok(),
    ]


@check("REQ-HTTP-09")
def multipart_bytes(site: Site) -> None:
    """Multipart bodies begin with a delimiter, have CRLF before each, and end with the last."""
    for answer in _multipart(site):
        boundary, body = answer.boundary, answer.body
        expect(body.startswith(b"--" + boundary + b"\r\n"), f"the body begins {body[:40]!r}")
        end = b"\r\n--" + boundary + b"--"
        expect(body.rstrip(b"\r\n").endswith(end), f"the body ends {body[-60:]!r}")
        for part in answer.parts():
            expect(part.content_type, "a part has no Content-Type")
            expect(part.body, "a part is empty")


@check("REQ-HTTP-09")
def quoted_type(site: Site) -> None:
    """Content-Type of a multipart answer quotes the type of its parts, and tells it right."""
    for answer in _multipart(site):
        kind = answer.parts()[0].content_type.partition(";")[0]
        expect(f'type="{kind}"' in answer.content_type, f"it is {answer.content_type}")


@check("REQ-HTTP-09")
def random_boundaries(site: Site) -> None:
    """Each answer has a boundary of its own, which no pixel data can hold."""
    path = f"{site.image.path}/frames/1"
    first, second = (site.get(path, ANY_STORED).ok() for _ in range(2))
    expect(first.boundary != second.boundary, "two answers have the same boundary")
    expect(first.body.count(first.boundary) == 2, "the boundary is in the part as well")


@check("REQ-HTTP-10")
def parts_of_one_type(site: Site) -> None:
    """All parts of an answer state the same type."""
    whole = site.get(site.small.series_path, ANY_FILE).ok() if site.whole() else None
    for answer in (*_multipart(site), whole):
        kinds = {part.content_type for part in answer.parts()} if answer else set()
        expect(len(kinds) == 1, f"the parts are {sorted(kinds)}")


@check("REQ-HTTP-23")
def pixels_are_not_compressed_again(site: Site) -> None:
    """Frames, instances and multipart bodies have no Content-Encoding; what has one is gzip."""
    encodings = (("Accept-Encoding", "gzip, deflate, br"),)
    for path, accept in (
        (f"{site.image.path}/frames/1", ANY_STORED),
        (f"{site.image.path}/frames/1", "application/octet-stream; transfer-syntax=*"),
        (site.small.path, ANY_FILE),
    ):
        answer = site.get(path, accept, encodings).ok()
        equal(answer.header("Content-Encoding"), "", "Content-Encoding")
        equal(answer.content_type.partition(";")[0], accept.partition(";")[0], "Content-Type")
    answer = site.get(f"{site.small.path}/metadata", JSON, (("Accept-Encoding", "gzip"),)).ok()
    text = answer.body
    if answer.header("Content-Encoding"):
        equal(answer.header("Content-Encoding"), "gzip", "Content-Encoding")
        text = gzip.decompress(text)
    plain = site.get(f"{site.small.path}/metadata", JSON).ok()
    equal(plain.header("Content-Encoding"), "", "Content-Encoding where none was accepted")
    expect(text == plain.body, "compressed metadata differ")
    equal(value(plain.documents()[0], "00080018"), site.small.instance, "the instance")


# -- CORS


def _cross_origin(site: Site) -> tuple[tuple[str, str], ...]:
    if site.origin is None:
        raise NotApplicable("no origin that the server allows was named (--origin)")
    return (("Origin", site.origin),)


@check("REQ-HTTP-11")
def preflights(site: Site) -> None:
    """Preflights for frames, metadata and storage are answered for the origin."""
    origin = _cross_origin(site)
    for method, path, names in (
        ("GET", f"{site.image.path}/frames/1", "accept"),
        ("GET", f"{site.small.path}/metadata", "accept,authorization"),
        ("GET", "/studies", "accept,authorization,content-security-policy"),
        ("GET", site.small.path, "range,if-none-match,x-requested-with"),
        ("POST", "/studies", "content-type"),
    ):
        asked = (
            ("Access-Control-Request-Method", method),
            ("Access-Control-Request-Headers", names),
        )
        answer = site.client.request("OPTIONS", path, (*origin, *asked)).ok(200, 204)
        allowed = answer.header("Access-Control-Allow-Origin")
        expect(allowed in (origin[0][1], "*"), f"the origin that is allowed is {allowed!r}")
        methods = answer.header("Access-Control-Allow-Methods")
        expect(method in methods.upper(), f"the methods that are allowed are {methods!r}")
        headers = answer.header("Access-Control-Allow-Headers").lower()
        missing = [name for name in names.split(",") if name not in headers and headers != "*"]
        expect(not missing, f"the headers {missing} are not allowed")
        age = answer.header("Access-Control-Max-Age")
        expect(age.isdecimal() and int(age) >= 7200, f"a preflight is good for {age!r} seconds")


@check("REQ-HTTP-11")
def other_origins(site: Site) -> None:
    """An origin that is not allowed is not let in, and Vary says that the origin matters."""
    _cross_origin(site)
    other = (("Origin", "https://elsewhere.invalid"),)
    answer = site.get("/studies?limit=1", JSON, other).ok(200, 403)
    equal(answer.header("Access-Control-Allow-Origin"), "", "the origin that is allowed")
    expect("origin" in answer.header("Vary").lower(), f"Vary is {answer.header('Vary')!r}")


@check("REQ-HTTP-12")
def errors_across_origins(site: Site) -> None:
    """Errors carry the headers of CORS too."""
    origin = _cross_origin(site)
    for path, accept, status in (
        (f"/studies/{_NOWHERE}/metadata", JSON, 404),
        ("/studies?limit=x", JSON, 400),
        ("/studies", "text/html", 406),
        (f"{site.image.path}/frames/0", ANY_STORED, 400),
        (f"{site.image.path}/frames/1", "text/html", 406),
    ):
        answer = site.get(path, accept, origin).ok(status)
        allowed = answer.header("Access-Control-Allow-Origin")
        expect(allowed in (origin[0][1], "*"), f"the origin that is allowed is {allowed!r}")


@check("REQ-HTTP-13")
def exposed_headers(site: Site) -> None:
    """Scripts of other origins may read ETag, Warning, Content-Location, ranges and patience."""
    answer = site.get(f"{site.image.path}/frames/1", ANY_STORED, _cross_origin(site)).ok()
    names = answer.header("Access-Control-Expose-Headers").lower().replace(" ", "").split(",")
    expect(set(names) >= _EXPOSED, f"not exposed: {sorted(_EXPOSED - set(names))}")


@check("REQ-HTTP-14")
def requests_without_identity(site: Site) -> None:
    """Without credentials the answer is 401 with a challenge, never a redirect."""
    if not any(name.lower() == "authorization" for name, _ in site.client.always):
        raise NotApplicable("the server was checked without credentials (--header)")
    always, site.client.always = site.client.always, ()
    try:
        answer = site.get("/studies?limit=1", JSON).ok(401)
    finally:
        site.client.always = always
    expect(answer.header("WWW-Authenticate"), "there is no WWW-Authenticate")
