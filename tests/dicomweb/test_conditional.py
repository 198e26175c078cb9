"""Conditional requests and byte ranges, as RFC 9110 reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import PreconditionFailed, RequestedRangeNotSatisfiable
from werkzeug.test import EnvironBuilder

from gateway.dicomweb.http.conditional import REVALIDATED, UNCHANGING, entity_tag, selection
from gateway.dicomweb.http.problems import problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

TAG = entity_tag("1.2.3", "image/jpeg")


def request(method: str = "GET", **headers: str) -> WSGIEnvironment:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return EnvironBuilder(method=method, headers=named).get_environ()


@pytest.mark.req("REQ-HTTP-17")
def test_a_tag_is_strong_and_tells_representations_apart() -> None:
    assert TAG.startswith('"') and TAG.endswith('"')
    assert entity_tag("1.2.3", "image/jpeg") == TAG
    assert len({TAG, entity_tag("1.2.3", "image/jp2"), entity_tag("1.2.3image/jpeg")}) == 3


@pytest.mark.req("REQ-HTTP-17")
@pytest.mark.parametrize("known", [TAG, f"W/{TAG}", f'"other", {TAG}', f'W/"o" , W/{TAG}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_client_has_is_not_sent_again(known: str, method: str) -> None:
    found = selection(request(method, If_None_Match=known), TAG, UNCHANGING, 10)
    assert found.unmodified
    assert found.headers == [("ETag", TAG), ("Cache-Control", UNCHANGING)]


@pytest.mark.req("REQ-HTTP-17")
@pytest.mark.parametrize("headers", [{}, {"If_None_Match": '"other"'}, {"If_None_Match": ""}])
def test_unmodified_is_told_only_to_who_asks(headers: dict[str, str]) -> None:
    found = selection(request(**headers), TAG, REVALIDATED, 10)
    assert (found.status, found.start, found.stop) == ("200 OK", 0, 10)
    assert dict(found.headers) == {
        "ETag": TAG,
        "Cache-Control": REVALIDATED,
        "Accept-Ranges": "bytes",
        "Content-Length": "10",
    }


@pytest.mark.req("REQ-HTTP-18")
def test_caches_cut_no_ranges_out_of_what_has_none() -> None:
    for found in (
        selection(request(), TAG, UNCHANGING, 10, ranges=False),
        selection(request(If_None_Match=TAG), TAG, REVALIDATED, 10, ranges=False),
        selection(request(Range="bytes=1-2"), TAG, REVALIDATED),
    ):
        assert ("Vary", "Range") in found.headers
        assert found.status != "206 Partial Content"


@pytest.mark.req("REQ-HTTP-17")
def test_a_state_that_is_gone_is_refused() -> None:
    assert not selection(request(If_Match=TAG), TAG, UNCHANGING, 10).unmodified
    assert selection(request(If_Match="*"), TAG, UNCHANGING, 10).stop == 10
    for wanted in ('"other"', f"W/{TAG}"):
        with pytest.raises(PreconditionFailed):
            selection(request(If_Match=wanted), TAG, UNCHANGING, 10)


@pytest.mark.req("REQ-HTTP-18")
@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("0-0", 0, 1), ("2-5", 2, 6), ("2-", 2, 10), ("-3", 7, 10), ("-99", 0, 10), ("8-99", 8, 10)],
)
def test_one_range_is_sent_alone(wanted: str, start: int, stop: int) -> None:
    found = selection(request(Range=f"bytes={wanted}"), TAG, UNCHANGING, 10)
    assert (found.status, found.start, found.stop) == ("206 Partial Content", start, stop)
    told = dict(found.headers)
    assert told["Content-Range"] == f"bytes {start}-{stop - 1}/10"
    assert told["Content-Length"] == str(found.length) == str(stop - start)


@pytest.mark.req("REQ-HTTP-18")
@pytest.mark.parametrize(
    "wanted", ["bytes=0-1,3-4", "bytes=5-2", "bytes=x-1", "lines=1-2", "bytes", "bytes=-0", ""]
)
def test_ranges_that_are_not_served_give_the_whole(wanted: str) -> None:
    found = selection(request(Range=wanted), TAG, UNCHANGING, 10)
    assert (found.status, found.start, found.stop) == ("200 OK", 0, 10)


@pytest.mark.req("REQ-HTTP-18")
def test_ranges_are_of_get_and_of_what_has_a_size() -> None:
    assert selection(request("HEAD", Range="bytes=0-1"), TAG, UNCHANGING, 10).stop == 10
    unknown = selection(request(Range="bytes=0-1"), TAG, UNCHANGING)
    assert (unknown.status, unknown.stop, unknown.length) == ("200 OK", None, None)
    whole = selection(request(Range="bytes=0-1"), TAG, UNCHANGING, 10, ranges=False)
    assert (whole.status, whole.stop) == ("200 OK", 10)
    assert "Accept-Ranges" not in dict(whole.headers)


@pytest.mark.req("REQ-HTTP-18")
@pytest.mark.parametrize(("size", "wanted"), [(10, "10-"), (10, "99-100"), (0, "0-"), (0, "-1")])
def test_a_range_outside_is_told_with_the_size(size: int, wanted: str) -> None:
    with pytest.raises(RequestedRangeNotSatisfiable) as refused:
        selection(request(Range=f"bytes={wanted}"), TAG, UNCHANGING, size)
    status, headers, _ = problem(refused.value)
    assert status.startswith("416")
    assert dict(headers)["Content-Range"] == f"bytes */{size}"


@pytest.mark.req("REQ-HTTP-18")
@pytest.mark.parametrize(
    ("same", "status"), [(TAG, 206), (f"W/{TAG}", 200), ('"other"', 200), ("Wed, 21 Oct 2015", 200)]
)
def test_a_range_goes_on_only_with_the_same_bytes(same: str, status: int) -> None:
    asked = request(Range="bytes=5-", If_Range=same)
    assert selection(asked, TAG, UNCHANGING, 10).status.startswith(str(status))


@given(st.text(max_size=40), st.integers(0, 100))
def test_any_header_ends_in_an_answer(text: str, size: int) -> None:
    asked = request() | {"HTTP_RANGE": f"bytes={text}", "HTTP_IF_NONE_MATCH": text}
    try:
        found = selection(asked, TAG, UNCHANGING, size)
    except RequestedRangeNotSatisfiable:
        return
    assert found.unmodified or 0 <= found.start <= (found.stop or 0) <= size
