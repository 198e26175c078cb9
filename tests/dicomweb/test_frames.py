"""Frames as caches and cutters need them."""

from pathlib import Path

import pytest
import requests

from gateway.bootstrap import open_services
from gateway.core.errors import Unavailable
from gateway.dicomweb.http.bulk import BulkAnswers
from gateway.settings import Settings
from tests.conftest import Server
from tests.dicomweb.test_server import OCTETS, instance_path
from tests.ndpi import make_ndpi


@pytest.mark.req("REQ-HTTP-17")
@pytest.mark.parametrize("accept", ["image/jpeg", "application/octet-stream", OCTETS])
def test_a_frame_is_kept_and_known_again(server: Server, accept: str) -> None:
    url = f"{server.root}{instance_path(server)}/frames/1"
    first = requests.get(url, headers={"Accept": accept}, timeout=10)
    tag = first.headers["ETag"]
    # Two answers in parts differ in their boundaries, so that only the weak tag is true.
    assert tag.startswith("W/") is (accept == OCTETS)
    assert first.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert first.headers["Vary"] == "Accept, Authorization, Range"
    for known in (tag, f'"other", {tag}', "*"):
        headers = {"Accept": accept, "If-None-Match": known}
        again = requests.get(url, headers=headers, timeout=10)
        assert (again.status_code, again.content) == (304, b"")
        assert {name: again.headers[name] for name in ("ETag", "Cache-Control", "Vary")} == {
            name: first.headers[name] for name in ("ETag", "Cache-Control", "Vary")
        }
    other = requests.get(url, headers={"Accept": accept, "If-None-Match": '"other"'}, timeout=10)
    assert other.status_code == 200


@pytest.mark.req("REQ-HTTP-17")
def test_frames_and_their_forms_have_tags_of_their_own(server: Server) -> None:
    path = instance_path(server)
    tags = [
        server.get(f"{path}/frames/{number}", accept).headers["ETag"]
        for number in (1, 2)
        for accept in ("image/jpeg", "application/octet-stream", OCTETS)
    ]
    assert len(set(tags)) == len(tags)


@pytest.mark.req("REQ-FRM-01")
def test_frames_that_have_to_be_cut_are_cut_before_the_first_leaves(tmp_path: Path) -> None:
    slide = tmp_path / "slide.ndpi"
    make_ndpi(slide, columns=1300, rows=700, stripe=640)
    services = open_services(Settings(tmp_path / "data"))
    study = services.ingest.add(str(slide)).study
    one = max(services.retrieve.instances(study), key=lambda it: it.number_of_frames)
    numbers = [*range(one.number_of_frames, 0, -1), 1]
    singly = [services.retrieve.frame(one, number) for number in numbers]
    frames = services.retrieve.frames(one, numbers)
    assert frames.sizes == [len(frame) for frame in singly]
    assert list(frames.bitstreams) == singly


def test_one_long_answer_too_many_is_refused() -> None:
    answers = BulkAnswers(2)
    first, second = (answers.guarded(iter([b"a" * 100] * 3)) for _ in range(2))
    with pytest.raises(Unavailable):
        answers.guarded(iter([b""]))
    assert b"".join(first) == b"a" * 300  # it has ended
    third = answers.guarded(iter([b"b" * 1_000_000, b"c"]))
    second.close()  # type: ignore[attr-defined]
    answers.guarded(iter([b""]))  # dropped
    fourth = answers.guarded(iter([b""]))
    pieces = list(third)
    assert b"".join(pieces) == b"b" * 1_000_000 + b"c"
    assert max(map(len, pieces)) < 300_000
    assert list(fourth) == [b""]
