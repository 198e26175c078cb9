"""The DICOM JSON Model (PS3.18 F) made straight from the bytes of a header.

No data set is built: a header with hundreds of thousands of items per frame becomes JSON piece
by piece, in memory that does not grow with it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Generator, Iterator, Mapping

from gateway.core.errors import InvalidDataset
from gateway.dicom.json.elements import (
    CHARACTER_SET,
    UTF_8,
    Inline,
    Scope,
    Surroundings,
    value_json,
)
from gateway.dicom.json.model import BINARY, PIXEL_DATA, Json
from gateway.dicom.json.walk import ITEM_TAG, Element, Extent, Header, HeaderWalk, extent_of
from gateway.dicom.streams.elements import DEEPEST, ITEM_END, UNDEFINED, truncated

ROOT = "\0"
"""Stands for the absolute URL of the DICOMweb root, which clients reach under several names. JSON
escapes this character, so that it stands nowhere else."""

INLINE_LIMIT = 1 << 20
"""Bytes up to which binary values are inline: some clients read no URI."""

_ICC_PROFILE = 0x00282000
_STREAMED = 2
"""Data sets within each other that come in pieces; deeper ones come item by item."""

_LARGE = 1 << 16
"""Bytes of a sequence from which it comes in pieces."""

_BASE64_PIECE = 3 << 16
_SHORT = 128
"""Bytes of an element up to which its JSON is remembered: much is the same in all frames."""

_REMEMBERED = 1 << 15


def by_size(tag: int, length: int) -> bool:
    """Whether a binary value is inline if nobody asks for another form: ICC profiles always are.

    Some clients lose the colours of a profile that they would have to fetch.
    """
    return length <= INLINE_LIMIT or tag == _ICC_PROFILE


def header_json(
    header: Header,
    instance_path: str = "",
    *,
    inline: Inline = by_size,
    added: Mapping[int, Json] | None = None,
) -> Iterator[str]:
    """Yield the JSON object of a header in pieces; pixel data and group 2 are left out.

    Parameters
    ----------
    header
        Part 10 stream up to its pixel data, in Explicit or Implicit VR Little Endian.
    instance_path
        Path of the instance below the root: with :data:`ROOT` before it, bulk data URIs begin
        with it. They end with the path of the element, such as ``00480105/0/00282000``: tags,
        and item numbers from 0.
    inline
        Which binary values are inline instead.
    added
        Attributes by tag that are told in place of what the header says of them.

    Raises
    ------
    InvalidDataset
        If the bytes are no data set.
    Exception
        If a value is none of its VR: whatever the library raises that reads it.
    """
    encoder = _Encoder(header, f"{ROOT}{instance_path}/bulkdata/", inline)
    texts = {tag: f'"{tag:08X}":{json.dumps(one)}' for tag, one in sorted((added or {}).items())}
    extent, around = encoder.outermost()
    yield from encoder.streamed(extent, "", around, texts)


class _Encoder(HeaderWalk):
    """Makes JSON of a header's elements.

    Parameters
    ----------
    bulk
        What bulk data URIs begin with.
    """

    def __init__(self, data: Header, bulk: str, inline: Inline) -> None:
        super().__init__(data)
        self._bulk = bulk
        self._inline = inline
        self._memos: dict[Surroundings, dict[bytes, str]] = {}

    # -- In pieces.

    def streamed(
        self, extent: Extent, path: str, around: Surroundings, added: Mapping[int, str]
    ) -> Generator[str, None, int]:
        """Yield a data set in pieces; return the place after it."""
        place, stop, delimited = extent
        scope, told = Scope(around), set[int]()
        waiting = list(added)
        mark = "{"
        while place < stop:
            element = tag, _, value, length = self.head(place, stop, scope.around)
            if tag == ITEM_END and delimited:
                break
            if tag in told:
                raise InvalidDataset(f"The element {tag:08X} stands twice in a data set.", tag=tag)
            told.add(tag)
            while waiting and waiting[0] <= tag:
                yield mark + added[waiting.pop(0)]
                mark = ","
            if self._comes_in_pieces(element, path):
                yield f'{mark}"{tag:08X}":{{"vr":"SQ","Value":'
                place = yield from self._items(element, stop, f"{path}{tag:08X}", scope.within)
                yield "}"
                mark = ","
                continue
            if length > _BASE64_PIECE and (pieces := self._large_binary(element, mark)):
                yield from pieces
                place, mark = value + length, ","
                continue
            text, place = self._element(element, stop, path, scope)
            if text and tag not in added:
                yield mark + text
                mark = ","
        else:
            if delimited:
                raise truncated()
        for tag in waiting:
            yield mark + added[tag]
            mark = ","
        yield "{}" if mark == "{" else "}"
        return place + 8 if delimited else place

    def _comes_in_pieces(self, element: Element, path: str) -> bool:
        _, vr, value, length = element
        large = vr == "SQ" and length > _LARGE and self.data[value : value + 4] == ITEM_TAG
        return large and path.count("/") < 2 * _STREAMED

    def _items(
        self, element: Element, stop: int, path: str, around: Surroundings
    ) -> Generator[str, None, int]:
        sequence = extent_of(element, stop)
        place, mark, number = sequence[0], "[", 0
        while (item := self.item(place, sequence)) is not None:
            yield mark
            inside, where = self.turned(item, around), f"{path}/{number}/"
            if item[2] or item[1] - item[0] > _LARGE:
                place = yield from self.streamed(item, where, inside, {})
            else:
                text, place = self._whole(item, where, inside)
                yield text
            mark, number = ",", number + 1
        yield "]"
        return place + 8 if sequence[2] else place

    def _large_binary(self, element: Element, mark: str) -> Iterator[str] | None:
        """Return the pieces of a large binary element, if it is one and is inline."""
        tag, vr, value, length = element
        if vr not in BINARY - {"UN"} or length == UNDEFINED or tag in PIXEL_DATA:
            return None
        if not self._inline(tag, length):
            return None
        return self._base64(f'{mark}"{tag:08X}":{{"vr":"{vr}","InlineBinary":"', value, length)

    def _base64(self, head: str, value: int, length: int) -> Iterator[str]:
        yield head
        for start in range(value, value + length, _BASE64_PIECE):
            piece = self.data[start : min(start + _BASE64_PIECE, value + length)]
            yield b64encode(piece).decode("ascii")
        yield '"}'

    # -- As a whole.

    def _whole(self, extent: Extent, path: str, around: Surroundings) -> tuple[str, int]:
        """Return a data set within a sequence, and the place after it."""
        place, stop, delimited = extent
        data, scope, memo = self.data, Scope(around), self._memo(around)
        texts: dict[int, str] = {}
        while place < stop:
            element = tag, vr, value, length = self.head(place, stop, scope.around)
            end = value + length
            raw = data[place:end] if end - place <= _SHORT else b""
            text = memo.get(raw)
            if text is None:
                if tag == ITEM_END and delimited:
                    return f"{{{','.join(texts.values())}}}", end
                text, end = self._element(element, stop, path, scope)
                if Scope.matters(tag):
                    memo = self._memo(scope.within)
                elif raw and vr != "UN" and ROOT not in text:  # a URI is of one element alone
                    memo[raw] = text
            if text:
                texts[tag] = text
            place = end
        if delimited:
            raise truncated()
        return f"{{{','.join(texts.values())}}}", place

    def _memo(self, around: Surroundings) -> dict[bytes, str]:
        """Return the JSON of short elements by their bytes.

        Implicit ones mean what their neighbours say, so that nothing is remembered of them.
        """
        if around.implicit:
            return {}
        memo = self._memos.setdefault(around, {})
        if len(memo) > _REMEMBERED:
            memo.clear()
        return memo

    def _element(self, element: Element, stop: int, path: str, scope: Scope) -> tuple[str, int]:
        """Return an element, empty if it is left out, and the place after it."""
        tag, vr, value, length = element
        if length == UNDEFINED:
            vr = self.undefined_vr(element)
        elif vr is None or vr == "UN":
            vr = scope.resolved_vr(tag, vr, self.data[value : value + min(length, _LARGE)])
        if vr == "SQ":
            return self._sequence(element, stop, f"{path}{tag:08X}", scope.within)
        end = value + length
        if length == UNDEFINED:
            end = self.after_fragments(value, stop)
            length = end - 8 - value
        if tag in PIXEL_DATA or tag >> 16 == 2:
            return "", end
        if vr in BINARY:
            return self._binary(tag, vr, value, length, path), end
        if Scope.matters(tag):
            scope.note(tag, self.data[value:end])
        if tag == CHARACTER_SET:
            return UTF_8, end
        return value_json(tag, vr, self.data[value:end], scope.around), end

    def _binary(self, tag: int, vr: str, value: int, length: int, path: str) -> str:
        head = f'"{tag:08X}":{{"vr":"{vr}"'
        if not length:
            return f"{head}}}"
        if not self._inline(tag, length):
            return f'{head},"BulkDataURI":"{self._bulk}{path}{tag:08X}"}}'
        inline = b64encode(self.data[value : value + length]).decode("ascii")
        return f'{head},"InlineBinary":"{inline}"}}'

    def _sequence(
        self, element: Element, stop: int, path: str, around: Surroundings
    ) -> tuple[str, int]:
        if path.count("/") > 2 * DEEPEST:
            raise InvalidDataset(f"The data set has sequences nested over {DEEPEST} deep.")
        sequence = extent_of(element, stop)
        place, items = sequence[0], list[str]()
        while (item := self.item(place, sequence)) is not None:
            inside = self.turned(item, around)
            text, place = self._whole(item, f"{path}/{len(items)}/", inside)
            items.append(text)
        value = f',"Value":[{",".join(items)}]' if items else ""
        return f'"{element[0]:08X}":{{"vr":"SQ"{value}}}', place + 8 if sequence[2] else place
