"""A short slice of each long fault run."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from conformance.soak import damage, fuzz, huge, kills, requests, slow, stores
from conformance.soak.seeds import seeds_of
from conformance.soak.targets import TARGETS, refusal
from conformance.suite.site import Site
from gateway.core.errors import GatewayError, InvalidDataset, SlideUnreadable


def test_some_kills(tmp_path: Path) -> None:
    assert kills.run(tmp_path, 0.02).endswith("nothing was lost")


@pytest.mark.req("REQ-STOW-11")
def test_some_kills_of_a_server_that_stores(tmp_path: Path) -> None:
    assert "nothing was lost" in stores.run(tmp_path, 0.01)


def test_some_damage(tmp_path: Path) -> None:
    assert "refused" in damage.run(tmp_path, 0.02)


@pytest.mark.req("REQ-INS-01", "REQ-WSI-26")
def test_a_slide_of_a_quarter_gigabyte(tmp_path: Path) -> None:
    assert "the same bytes before and after" in huge.run(tmp_path, 0.05)


@pytest.mark.req("REQ-INS-01", "REQ-HTTP-16")
def test_some_slow_clients(tmp_path: Path) -> None:
    assert "nothing stayed open" in slow.run(tmp_path, 0.05)


@pytest.mark.req("REQ-HTTP-20", "REQ-HTTP-04")
def test_some_requests_that_the_description_allows_or_forbids(
    archive: Site, tmp_path: Path
) -> None:
    assert "every answer as described" in requests.ask(archive, tmp_path, examples=2, seed=1)


@pytest.mark.skipif(
    find_spec("atheris") is None and "CI" not in os.environ,
    reason="atheris is not installed: pip install atheris (Linux on x86-64)",
)
@pytest.mark.req("REQ-GATE-07")
def test_some_fuzzing(tmp_path: Path) -> None:
    targets = [
        "converters.formats.ndpi",
        "converters.formats.svs",
        "jpeg",
        "jpeg2000",
        "part10",
        "gate",
        "incoming",
    ]
    assert "nothing found but our own errors" in fuzz.run(tmp_path, 0.005, targets=targets)


@pytest.mark.parametrize("target", sorted(TARGETS.keys() - {"jpeg"}))
def test_fuzzing_begins_with_what_is_taken(tmp_path: Path, target: str) -> None:
    for seed in seeds_of(target, tmp_path / "seed"):
        assert refusal(TARGETS[target].attempt, seed) is None
        assert refusal(TARGETS[target].attempt, bytes(len(seed))) is not None


def raising(error: Exception, cause: Exception | None = None) -> Callable[[bytes], None]:
    def attempt(_: bytes) -> None:
        raise error from cause

    return attempt


def test_what_fuzzing_finds() -> None:
    assert refusal(raising(InvalidDataset()), b"") is not None
    for wrong in (
        raising(ValueError()),
        raising(MemoryError()),
        raising(GatewayError()),  # it says that we do not know what happened
        raising(SlideUnreadable(), MemoryError()),
    ):
        with pytest.raises((ValueError, MemoryError, GatewayError)):
            refusal(wrong, b"")
