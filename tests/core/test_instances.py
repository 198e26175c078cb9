"""UIDs and signatures."""

import os
from pathlib import Path

import pytest

from gateway.core.errors import GatewayError, InvalidUid
from gateway.core.instances import Signature, checked_uid, derive_uid


@pytest.mark.req("REQ-WSI-32")
def test_the_same_parts_give_the_same_uid_everywhere() -> None:
    assert derive_uid("study", "abc") == "2.25.295185442496098793600423611725005271118"
    assert derive_uid("study", "abd") != derive_uid("study", "abc")
    assert derive_uid("a", "bc") != derive_uid("ab", "c")
    assert len(derive_uid("series", 1)) <= 64


@pytest.mark.req("REQ-HTTP-21")
@pytest.mark.parametrize("text", ["", "1.2.x", "1" * 65, "1.2\n", "../1", "1.2.3 "])
def test_what_is_no_uid_is_refused(text: str) -> None:
    with pytest.raises(InvalidUid):
        checked_uid(text)


def test_a_signature_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "slide"
    file.write_bytes(b"x")
    signature = Signature.of(os.stat(file))
    assert Signature.parse(str(signature)) == signature
    file.touch()
    assert Signature.of(os.stat(file)) != signature


def test_every_error_has_a_code_and_a_status_of_its_own_kind() -> None:
    def tree(kind: type[GatewayError]) -> list[type[GatewayError]]:
        return [kind, *(one for child in kind.__subclasses__() for one in tree(child))]

    kinds = tree(GatewayError)
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(400 <= kind.http_status < 600 for kind in kinds)
