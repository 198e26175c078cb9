"""Repeating, caching, ranges, methods and errors (checklist, section 4)."""

from __future__ import annotations

from conformance.suite.checks import check, equal, expect
from conformance.suite.site import ANY_FILE, ANY_STORED, JSON, Site

_NOWHERE = "2.25.1"
_SINGLE_FILE = "application/dicom; transfer-syntax=*"
_SINGLE_FRAME = "application/octet-stream; transfer-syntax=*"
_LEAKS = (b"traceback", b"stack trace", b'.py"', b".cpp", b"exception")


@check("REQ-HTTP-16")
def repeating_is_harmless(site: Site) -> None:
    """The same request gets the same bytes again."""
    for path, accept in ((f"{site.image.path}/frames/1", ANY_STORED), (site.small.path, ANY_FILE)):
        first, second = (site.get(path, accept).ok().only_part() for _ in range(2))
        expect(first.body and first.body == second.body, "the second answer differs")
    found, again = (site.search(f"{site.study_path}/series") for _ in range(2))
    equal(again, found, "the second answer")
    equal({one["0020000D"]["Value"][0] for one in found}, {site.study}, "the studies")


@check("REQ-HTTP-17")
def frames_stay_cached(site: Site) -> None:
    """Frames have a strong entity tag, may be kept privately for long, and never publicly."""
    answer = site.get(f"{site.image.path}/frames/1", _SINGLE_FRAME).ok()
    tag, control = answer.header("ETag"), answer.header("Cache-Control")
    expect(tag.startswith('"') and len(tag) > 2, f"ETag is {tag!r}")
    expect("private" in control, f"Cache-Control is {control!r}")
    age = [
        one.partition("=")[2] for one in control.replace(" ", "").split(",") if "max-age=" in one
    ]
    expect(age and int(age[0]) >= 86400, f"Cache-Control is {control!r}")
    expect("accept" in answer.header("Vary").lower(), f"Vary is {answer.header('Vary')!r}")


@check("REQ-HTTP-17")
def not_modified(site: Site) -> None:
    """What a client has already is 304 without a body, and only if it says that it has it."""
    for path, accept in (
        (f"{site.image.path}/frames/1", ANY_STORED),
        (site.small.path, _SINGLE_FILE),
        (f"{site.small.path}/metadata", JSON),
        (f"{site.study_path}/series", JSON),
    ):
        tag = site.get(path, accept).ok().header("ETag")
        expect(tag, f"{path} has no ETag")
        for given in (tag, f'"other", {tag}', f"W/{tag.removeprefix('W/')}", "*"):
            answer = site.get(path, accept, (("If-None-Match", given),)).ok(304)
            equal(answer.body, b"", "the body of 304")
            equal(answer.header("ETag"), tag, "ETag of 304")
        site.get(path, accept, (("If-None-Match", '"other"'),)).ok()


@check("REQ-HTTP-17")
def tags_of_representations(site: Site) -> None:
    """Another representation has another entity tag."""
    path = f"{site.image.path}/frames/1"
    tags = [site.get(path, accept).ok().header("ETag") for accept in (ANY_STORED, _SINGLE_FRAME)]
    expect(all(tags), f"the tags are {tags}")
    expect(len(set(tags)) == len(tags), f"the tags are {tags}")


@check("REQ-HTTP-17")
def searches_are_asked_again(site: Site) -> None:
    """Searches and metadata are not used again without asking, and never publicly."""
    for path in ("/studies?limit=1", f"{site.small.series_path}/metadata"):
        control = site.get(path, JSON).ok().header("Cache-Control")
        expect("no-cache" in control or "max-age=0" in control, f"Cache-Control is {control!r}")
        expect("public" not in control, f"Cache-Control is {control!r}")


@check("REQ-HTTP-18", "REQ-INS-01")
def ranges_of_instances(site: Site) -> None:
    """Byte ranges of a single instance are 206 with those bytes; impossible ones are 416."""
    whole = site.get(site.small.path, _SINGLE_FILE).ok()
    equal(whole.header("Accept-Ranges"), "bytes", "Accept-Ranges")
    _ranged(site, site.small.path, _SINGLE_FILE, whole.body)


@check("REQ-HTTP-18", "REQ-META-06")
def ranges_of_bulk_data(site: Site) -> None:
    """Byte ranges of single-part bulk data are 206 with those bytes."""
    uri = site.bulk_data_uri()
    accept = "application/octet-stream"
    _ranged(site, uri, accept, site.get(uri, accept).ok().body)


def _ranged(site: Site, path: str, accept: str, whole: bytes) -> None:
    size = len(whole)
    middle = size // 2
    for asked, start, end in (
        ("bytes=0-9", 0, 10),
        (f"bytes={middle}-{middle + 99}", middle, min(middle + 100, size)),
        ("bytes=-7", size - 7, size),
        (f"bytes={size - 3}-", size - 3, size),
        (f"bytes={middle}-{10 * size}", middle, size),
    ):
        answer = site.get(path, accept, (("Range", asked),)).ok(206)
        expect(answer.body == whole[start:end], f"{asked} gives other bytes")
        equal(answer.header("Content-Range"), f"bytes {start}-{end - 1}/{size}", "Content-Range")
    answer = site.get(path, accept, (("Range", f"bytes={size}-"),)).ok(416)
    equal(answer.header("Content-Range"), f"bytes */{size}", "Content-Range")
    stale = (("Range", "bytes=0-9"), ("If-Range", '"another"'))
    expect(site.get(path, accept, stale).ok().body == whole, "a stale range is not the whole")


# -- methods


@check("REQ-HTTP-19")
def head_is_get_without_body(site: Site) -> None:
    """HEAD tells what GET would, and has no body."""
    for path, accept in (
        ("/studies?limit=1", JSON),
        (f"{site.small.path}/metadata", JSON),
        (f"{site.image.path}/frames/1", _SINGLE_FRAME),
        (site.small.path, _SINGLE_FILE),
    ):
        get = site.get(path, accept).ok()
        head = site.client.request("HEAD", path, (("Accept", accept),)).ok()
        equal(head.body, b"", "the body of HEAD")
        equal(head.content_type, get.content_type, "Content-Type of HEAD")
        for name in ("ETag", "Vary", "Cache-Control"):
            equal(head.header(name), get.header(name), f"{name} of HEAD")
        if head.header("Content-Length"):
            equal(head.header("Content-Length"), str(len(get.body)), "Content-Length of HEAD")
    site.client.request("HEAD", f"/studies/{_NOWHERE}/metadata", (("Accept", JSON),)).ok(404)


@check("REQ-HTTP-19")
def capabilities(site: Site) -> None:
    """The root describes the service, in WADL where that is asked for."""
    for accept in ("application/vnd.sun.wadl+xml", "application/json", None):
        answer = site.get("/", accept)
        if answer.status == 406:
            continue
        answer.ok()
        text = answer.body.decode("utf-8")
        expect("studies" in text, "the description does not name the resource 'studies'")
        expect("json" in answer.content_type or "xml" in answer.content_type, answer.content_type)
        return
    expect(False, "no description is acceptable")


@check("REQ-HTTP-19", "REQ-DEL-01")
def methods_that_are_not_there(site: Site) -> None:
    """Deleting is 405 with Allow, as dicomweb-client expects, and nothing is deleted."""
    nowhere = f"/studies/{_NOWHERE}"
    for path in (
        nowhere,
        f"{nowhere}/series/{_NOWHERE}",
        f"{nowhere}/series/{_NOWHERE}/instances/{_NOWHERE}",
    ):
        answer = site.client.request("DELETE", path).ok(405)
        expect("GET" in answer.header("Allow"), f"Allow is {answer.header('Allow')!r}")


# -- errors and addresses


@check("REQ-HTTP-20")
def errors_say_nothing_of_the_inside(site: Site) -> None:
    """Errors are problem documents or plain text, without traces of the inside."""
    for path, accept, statuses in (
        (f"/studies/{_NOWHERE}/metadata", JSON, (404,)),
        (f"/studies/{_NOWHERE}/series/{_NOWHERE}/instances/{_NOWHERE}", ANY_FILE, (404,)),
        (f"{site.image.path}/frames/0", ANY_STORED, (400,)),
        (f"{site.study_path}/series", "text/html", (406,)),
        ("/nothing-of-this-name", JSON, (404,)),
        ("/studies?limit=x", JSON, (400,)),
    ):
        answer = site.get(path, accept).ok(*statuses)
        kind = answer.content_type.partition(";")[0]
        expect(kind in ("application/problem+json", "text/plain"), f"Content-Type is {kind!r}")
        expect(answer.body, "the body is empty")
        leaked = [leak.decode() for leak in _LEAKS if leak in answer.body.lower()]
        expect(not leaked, f"the body holds {leaked}")


@check("REQ-HTTP-20")
def errors_repeat_no_names(site: Site) -> None:
    """A refused search does not repeat what was searched for: it may be a patient's name."""
    for path in (
        "/studies?PatientName=Erikssondotter&limit=x",
        "/studies?PatientName=Erikssondotter&StudyDate=Erikssondotter",
    ):
        answer = site.get(path, JSON).ok(400)
        expect(b"erikssondotter" not in answer.body.lower(), "the body repeats the name")


@check("REQ-HTTP-21")
def malformed_and_unknown_uids(site: Site) -> None:
    """Malformed UIDs are 400, unknown ones 404."""
    long = "1." * 40 + "1"
    for uid, status in (("x", 400), ("1.2.x", 400), (long, 400), (_NOWHERE, 404)):
        site.get(f"/studies/{uid}/metadata", JSON).ok(status)
        site.get(f"/studies/{uid}", ANY_FILE).ok(status)
        site.get(f"{site.study_path}/series/{uid}/metadata", JSON).ok(status)
        site.get(f"{site.small.series_path}/instances/{uid}", ANY_FILE).ok(status)
        frame = f"{site.small.series_path}/instances/{uid}/frames/1"
        site.get(frame, ANY_STORED).ok(status)


@check("REQ-HTTP-21")
def an_instance_has_one_address(site: Site) -> None:
    """An instance is not found below a study or series that is not its own."""
    path = f"{site.study_path}/series/{_NOWHERE}/instances/{site.small.instance}"
    for tail, accept in (("", ANY_FILE), ("/metadata", JSON), ("/frames/1", ANY_STORED)):
        site.get(path + tail, accept).ok(404)


@check("REQ-HTTP-21")
def trailing_slashes(site: Site) -> None:
    """A slash at the end of an address changes nothing."""
    for path, accept in (
        (f"{site.study_path}/series", JSON),
        (f"{site.small.path}/metadata", JSON),
    ):
        plain, slashed = (site.get(one, accept).ok() for one in (path, f"{path}/"))
        equal(slashed.content_type, plain.content_type, "Content-Type")
        expect(slashed.body == plain.body, "with a slash at its end the answer is another")
        equal(plain.content_type.partition(";")[0], accept.partition(";")[0], "Content-Type")
    frame = f"{site.image.path}/frames/1"
    plain, slashed = (site.get(one, ANY_STORED).ok() for one in (frame, f"{frame}/"))
    expect(slashed.only_part().body == plain.only_part().body, "the frame is another")
    found = site.search(f"{site.study_path}/series/")
    equal({one["0020000D"]["Value"][0] for one in found}, {site.study}, "the studies")


@check("REQ-HTTP-21")
def long_addresses(site: Site) -> None:
    """Searches with 8,000 characters in their address are taken."""
    keys = "&".join(f"includefield={number:08X}" for number in range(0x00190010, 0x00190010 + 360))
    found = site.search(f"{site.study_path}/series?{keys}")
    equal({one["0020000D"]["Value"][0] for one in found}, {site.study}, "the studies")


@check("REQ-HTTP-22")
def any_user_agent(site: Site) -> None:
    """The answer does not depend on the User-Agent."""
    path = f"{site.study_path}/series"
    wanted = site.get(path, JSON).documents()
    equal({one["0020000D"]["Value"][0] for one in wanted}, {site.study}, "the studies")
    for agent in ("python-requests/2.32.3", "WG26-IDC-verify/1.0", "curl/7.88.1", "Mozilla/5.0"):
        found = site.get(path, JSON, (("User-Agent", agent),)).ok().json()
        equal(found, wanted, f"the answer to {agent}")
