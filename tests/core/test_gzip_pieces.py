"""Gzip streams that are put together from pieces."""

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.gzip_pieces import Deflated, GzipPieces, inflated, joined_crc


@given(st.binary(), st.binary())
def test_checksums_are_joined(first: bytes, second: bytes) -> None:
    joined = joined_crc(zlib.crc32(first), zlib.crc32(second), len(second))
    assert joined == zlib.crc32(first + second)


@given(st.lists(st.tuples(st.booleans(), st.lists(st.binary())), max_size=5))
def test_one_member_holds_all_pieces(texts: list[tuple[bool, list[bytes]]]) -> None:
    stream = GzipPieces()
    found = stream.head
    for compressed, text in texts:
        if not compressed:
            found += stream.plain(b"".join(text))
            continue
        piece = Deflated(6)
        packed = list(piece.pieces(text))
        assert b"".join(inflated(packed)) == b"".join(text)
        stream.add(piece.crc, piece.size)
        found += b"".join(packed)
    found += stream.tail()
    whole = b"".join(part for _, text in texts for part in text)
    assert gzip.decompress(found) == whole
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)  # as clients do, who read one member
    assert reader.decompress(found) == whole
    assert reader.eof
    assert reader.unused_data == b""
