"""Requests exactly as written, and answers taken apart without mercy.

General clients correct what they send: they add headers, escape paths anew and follow redirects.
Here nothing is added but what HTTP needs.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from conformance.suite.checks import Failed, expect

Json = dict[str, Any]
Headers = Sequence[tuple[str, str]]

_LONGEST_PART_HEAD = 1000
"""Bytes in which dicomweb-client (JavaScript) looks for the end of a part's headers."""
_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body: header names in lower case, and its bytes."""

    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """Its Content-Type."""
        return self.headers.get("content-type", "")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def header(self, name: str) -> str:
        """Return a header; empty if it is missing."""
        return str(self.headers.get(name) or "")

    @property
    def content_type(self) -> str:
        """Content-Type."""
        return self.header("Content-Type")

    def ok(self, *statuses: int) -> Answer:
        """Return the answer itself if its status is one of those, 200 unless they are named."""
        wanted = statuses or (200,)
        listed = " or ".join(map(str, wanted))
        expect(self.status in wanted, f"the status is {self.status}, not {listed}{self._said}")
        return self

    @property
    def _said(self) -> str:
        """The beginning of a body that is text."""
        if not re.match(r"text/|application/[a-z.+-]*json|.*xml", self.content_type):
            return ""
        return ": " + self.body[:_SHOWN].decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body as JSON that any parser reads: no NaN, no name twice."""
        try:
            return json.loads(self.body, parse_constant=_refused, object_pairs_hook=_unique)
        except ValueError as error:
            raise Failed(f"the body is no JSON: {error}") from error

    def documents(self) -> list[Json]:
        """Return the body as an array of data sets."""
        found = self.ok().json()
        expect(isinstance(found, list), "the body is no array")
        expect(all(isinstance(one, dict) for one in found), "an item of the array is no object")
        return list(found)

    @property
    def boundary(self) -> bytes:
        """The boundary that Content-Type names."""
        kind = self.content_type
        expect(kind.lower().startswith("multipart/related"), f"Content-Type is {kind!r}")
        value = parameter(kind, "boundary")
        expect(value, f"Content-Type names no boundary: {kind}")
        return value.encode("latin-1")

    def parts(self) -> list[Part]:
        """Return the parts of a multipart body."""
        delimiter = b"\r\n--" + self.boundary
        _, *pieces = (b"\r\n" + self.body).split(delimiter)
        expect(pieces and pieces[-1].startswith(b"--"), "the multipart body has no end")
        return [_part(piece) for piece in pieces[:-1]]

    def only_part(self) -> Part:
        """Return the part of a body that must have one."""
        parts = self.parts()
        expect(len(parts) == 1, f"there are {len(parts)} parts, not 1")
        return parts[0]


def parameter(header: str, name: str) -> str:
    """Return a parameter of a header's value, without its quotes; empty if it is missing."""
    match = re.search(rf';\s*{name}\s*=\s*("([^"]*)"|[^;\s]+)', header, re.IGNORECASE)
    return "" if match is None else match[1].strip('"')


def _part(piece: bytes) -> Part:
    expect(piece.startswith(b"\r\n"), "a delimiter is not followed by CRLF")
    # A part without headers has its empty line at once.
    end = piece.find(b"\r\n\r\n")
    expect(end >= 0, "a part has no empty line after its headers")
    expect(end <= _LONGEST_PART_HEAD, f"the headers of a part take {end} bytes")
    lines = piece[2:end].decode("latin-1").split("\r\n") if end > 0 else []
    pairs = (line.partition(":") for line in lines)
    return Part({name.strip().lower(): text.strip() for name, _, text in pairs}, piece[end + 4 :])


def _refused(constant: str) -> Any:
    raise ValueError(f"it holds {constant}")


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a name twice")
    return found


class Client:
    """Sends requests to one DICOMweb root.

    Parameters
    ----------
    root
        Absolute URL of the root, without a slash at its end.
    always
        Headers of every request, such as Authorization.
    timeout_s
        Patience for each step of an exchange, in seconds.

    Attributes
    ----------
    last : str
        The last request and its status, for reports.
    """

    def __init__(self, root: str, always: Headers = (), timeout_s: float = 60) -> None:
        self.root = root.rstrip("/")
        self.always = tuple(always)
        self._timeout_s = timeout_s
        self.last = ""

    @property
    def origin(self) -> str:
        """Scheme, name and port of the root."""
        split = urlsplit(self.root)
        return f"{split.scheme}://{split.netloc}"

    def get(self, path: str, accept: str | None = None, headers: Headers = ()) -> Answer:
        """Get a resource; without ``accept`` no Accept header is sent."""
        asked = (("Accept", accept),) if accept is not None else ()
        return self.request("GET", path, (*asked, *headers))

    def request(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: bytes | Iterable[bytes] | None = None,
        host: str | None = None,
    ) -> Answer:
        """Send a request.

        Parameters
        ----------
        path
            Below the root, with its query, as it goes over the wire; or an absolute URL.
        body
            Bytes go with Content-Length, anything else in chunks without it.
        host
            Value of the Host header, if not that of the URL.
        """
        url = path if re.match(r"https?://", path) else self.root + path
        split = urlsplit(url)
        target = url[len(f"{split.scheme}://{split.netloc}") :] or "/"
        self.last = f"{method} {target}"
        given = [(name, value) for name, value in (*self.always, *headers)]
        self.last += "".join(f" {name}: {value}" for name, value in headers)[: 3 * _SHOWN]
        connection = self._connection(split.scheme, split.netloc)
        try:
            # The library writes control characters and blanks of the target nowhere.
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", host or split.netloc)
            for name, value in given:
                connection.putheader(name, value)
            _send(connection, body)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        self.last += f" -> {answer.status}"
        return answer

    def _connection(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        if scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(netloc, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(netloc, timeout=self._timeout_s)


def _send(connection: http.client.HTTPConnection, body: bytes | Iterable[bytes] | None) -> None:
    if body is None:
        connection.endheaders()
    elif isinstance(body, bytes):
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
    else:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(body, encode_chunked=True)
