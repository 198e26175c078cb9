"""Blobs as files: complete or absent, and linked files only in the state they were in."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.errors import BlobMissing, SourceChanged, SourceMissing, Unavailable
from gateway.core.instances import LinkedFile, Signature
from gateway.core.storage import BlobStore
from gateway.store.files import FileStore


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "blobs")


def linked(path: Path) -> LinkedFile:
    return LinkedFile(str(path), "fingerprint", Signature.of(os.stat(path)))


def test_a_blob_is_read_as_it_was_put(store: BlobStore) -> None:
    many = [b"%d," % number for number in range(5000)]
    store.put("a/b/blob", [[b"begin,"], many, [], [memoryview(b"end")]])
    whole = b"begin," + b"".join(many) + b"end"
    assert store.get("a/b/blob") == whole
    with store.open("a/b/blob") as blob:
        assert blob.read(6, 10) == whole[6:16]
        assert blob.read(len(whole), 0) == b""
        with pytest.raises(Unavailable, match="shorter"):
            blob.read(len(whole) - 2, 3)


def test_a_blob_is_replaced_as_a_whole(store: BlobStore) -> None:
    store.put("blob", [[b"old"]])
    with store.open("blob") as before:
        store.put("blob", [[b"new"]])
        assert before.read(0, 3) == b"old"
    assert store.get("blob") == b"new"


def test_what_fails_while_it_is_written_leaves_nothing(store: FileStore, tmp_path: Path) -> None:
    def chunks() -> Iterator[list[bytes]]:
        yield [b"half"]
        raise SourceChanged

    store.put("folder/blob", [[b"old"]])
    with pytest.raises(SourceChanged):
        store.put("folder/blob", chunks())
    assert store.get("folder/blob") == b"old"
    assert [path.name for path in (tmp_path / "blobs/folder").iterdir()] == ["blob"]


def test_what_arrived_is_read_and_then_kept_or_gone(store: FileStore, tmp_path: Path) -> None:
    with store.arrive([[b"whole", b" "], [b"blob"]]) as arrival:
        assert arrival.size == 10
        assert arrival.read(6, 4) == b"blob"
        assert store.sweep() == 0  # its writer lives
        arrival.keep("a/1.2-0ff1ce.dcm")
        assert arrival.read(0, 5) == b"whole"
    assert store.get("a/1.2-0ff1ce.dcm") == b"whole blob"
    with store.arrive([[b"refused"]]):
        pass
    files = [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert files == ["1.2-0ff1ce.dcm"]


def test_what_breaks_off_while_it_arrives_leaves_nothing(store: FileStore, tmp_path: Path) -> None:
    def chunks() -> Iterator[list[bytes]]:
        yield [b"half"]
        raise SourceChanged

    with pytest.raises(SourceChanged):
        store.arrive(chunks())
    assert list((tmp_path / "blobs").iterdir()) == []


def test_a_sweep_takes_what_arrived_at_a_writer_that_died(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "blobs/1.2").mkdir(parents=True)
    dead = [".0.arrival.0123abcd.part", "1.2/.1.2.3-0ff1ce.dcm.0123abcd.part"]
    for name in dead:
        (tmp_path / "blobs" / name).write_bytes(b"half")
    assert store.sweep() == 2


def test_what_is_not_there_is_told(store: BlobStore) -> None:
    for attempt in (store.get, store.open):
        with pytest.raises(BlobMissing):
            attempt("nothing")


def test_a_blob_that_cannot_be_written_is_told(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs").write_bytes(b"a file where the folder should be")
    with pytest.raises(Unavailable, match="cannot be written"):
        store.put("blob", [[b"x"]])


def test_a_sweep_takes_what_dead_writers_left_and_nothing_else(
    store: FileStore, tmp_path: Path
) -> None:
    def chunks() -> Iterator[list[bytes]]:
        yield [b"half"]
        assert store.sweep() == 1  # the abandoned one, not the one being written
        yield [b"whole"]

    (tmp_path / "blobs").mkdir()
    abandoned = tmp_path / "blobs" / ".2.25.7.dcm.0123abcd.part"
    abandoned.write_bytes(b"x")
    foreign = [tmp_path / "blobs" / name for name in (".thesis.part", ".a.b.0123abcd.part")]
    for path in foreign:
        path.write_bytes(b"somebody else's")
    store.put("2.25.8.dcm", chunks())
    assert not abandoned.exists()
    assert all(path.exists() for path in foreign)
    assert store.get("2.25.8.dcm") == b"halfwhole"


def test_a_linked_file_that_another_one_replaced_is_noticed(
    store: BlobStore, tmp_path: Path
) -> None:
    path, other = tmp_path / "slide", tmp_path / "other"
    path.write_bytes(b"pixels")
    other.write_bytes(b"PIXELS")
    with store.open(linked(path)) as blob:
        other.rename(path)
        with pytest.raises(SourceChanged):
            blob.read(0, 3)
        path.unlink()
        with pytest.raises(SourceMissing):
            blob.read(0, 3)


def test_a_linked_file_is_read_while_it_stays_as_it_is(store: BlobStore, tmp_path: Path) -> None:
    path = tmp_path / "slide"
    path.write_bytes(b"pixels")
    file = linked(path)
    with store.open(file) as blob:
        assert blob.read(2, 3) == b"xel"
        with path.open("r+b") as other:
            other.write(b"PIXELS")
        with pytest.raises(SourceChanged):
            blob.read(2, 3)
    with pytest.raises(SourceChanged):
        store.open(file)
    path.unlink()
    with pytest.raises(SourceMissing):
        store.open(file)
    with pytest.raises(SourceMissing):
        store.signature(str(path))
