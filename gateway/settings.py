"""Settings: frozen, read once by the command line, given to bootstrap."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from gateway.core.errors import InvalidInput

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Web:
    """How the server appears to its clients.

    Parameters
    ----------
    public_url
        Absolute URL, without a slash at its end; empty is what a trusted proxy says, else the
        URL that is listened to.
    wado_url
        DICOMweb root that URLs in answers begin with; empty is ``/dicom-web`` below that.
    trusted_proxies
        Networks (CIDR) of proxies that may say under which URL they were asked.
    cors_origins
        Origins of pages elsewhere that may read answers.
    access_log
        Which answers get a line in the log: ``none``, ``requests`` (all but frames) or ``all``.
    """

    public_url: str = ""
    wado_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    access_log: str = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decides.

    Parameters
    ----------
    data
        Folder of blobs and, by default, of the index.
    database
        SQLAlchemy URL of the index; empty is SQLite in the data folder.
    materialise_after_s
        Seconds after which an added slide is materialised; None is never.
    watched
        Absolute paths of folders whose slides are added by themselves.
    settle_s
        Seconds for which a file in such a folder must not change before it is added.
    metadata
        Worklist that says whose slides they are; None serves them without patients.
    web
        How the server appears to its clients.
    """

    data: Path
    database: str = ""
    materialise_after_s: float | None = 60.0
    watched: tuple[str, ...] = ()
    settle_s: float = 10.0
    metadata: Path | None = None
    web: Web = Web()

    @property
    def index(self) -> str | Path:
        """URL of the index, or the file of an SQLite database."""
        return self.database or self.data.absolute() / "slidegate.db"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens: the address as given, and as a number."""

    host: str
    ip: str
    port: int

    @property
    def url(self) -> str:
        """URL of the server, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def web(
    public_url: str = "",
    wado_url: str = "",
    trusted_proxies: Iterable[str] = (),
    cors_origins: Iterable[str] = (),
    access_log: str = "none",
) -> Web:
    """Return how the server appears to its clients.

    Raises
    ------
    InvalidInput
        If something is malformed.
    """
    return Web(
        _public(public_url) if public_url else "",
        _public(wado_url) if wado_url else "",
        tuple(map(_network, trusted_proxies)),
        tuple(map(_origin, cors_origins)),
        access_log,
    )


def _public(text: str) -> str:
    url = _split(text)
    if not url.hostname or url.username is not None or url.query or url.fragment:
        raise InvalidInput(
            f"{text} is no URL of a server. Write it like https://pacs.example/pathology."
        )
    return f"{_origin_of(url)}{url.path.rstrip('/')}"


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise InvalidInput(
            f"{text} is no network of proxies. Write it like 127.0.0.1 or 10.1.0.0/16."
        ) from None


def _origin(text: str) -> str:
    if text == "*":
        raise InvalidInput(
            "No identity provider is configured: with the origin * every page that is open in a "
            "browser here could read every slide. Name the origins of your viewers."
        )
    url = _split(text)
    if not url.hostname or url.username is not None or url.path.strip("/") or url.query:
        raise InvalidInput(f"{text} is no origin. Write it like https://viewer.example:8443.")
    return _origin_of(url)


def _split(text: str) -> SplitResult:
    """Take a URL apart; what is none has no host."""
    try:
        url = urlsplit(text)
        _ = url.port  # raises for what is no number
    except ValueError:
        return urlsplit("")
    is_plain = text.isascii() and text.isprintable() and not set(text) & set(' <>"\\^`{|}')
    return url if url.scheme in _PORTS and is_plain else urlsplit("")


def _origin_of(url: SplitResult) -> str:
    """Return the origin as browsers write it."""
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    port = "" if url.port in (None, _PORTS[url.scheme]) else f":{url.port}"
    return f"{url.scheme}://{host}{port}"


def watched_folders(paths: Iterable[Path], data: Path) -> tuple[str, ...]:
    """Return absolute paths of folders to be watched, none of them inside another.

    They need not be there yet: a network share may come later.

    Raises
    ------
    InvalidInput
        If one lies in the data folder: what is written there would be added again.
    """
    folders: list[str] = []
    own = os.path.realpath(data)
    for path in sorted({os.path.abspath(path) for path in paths}):
        if _lies_in(os.path.realpath(path), own):
            raise InvalidInput(
                f"{path} lies in the data folder {data} and cannot be watched. "
                "Choose another data folder with --data."
            )
        if not any(_lies_in(path, folder) for folder in folders):
            folders.append(path)
    return tuple(folders)


def _lies_in(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def loopback_address(host: str, port: int) -> Address:
    """Return the address, with a free port for port 0, if it can be listened to.

    Raises
    ------
    InvalidInput
        If the host is not this machine alone, or the port is taken.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"The host {host} is unknown: {error}.") from error
    ip = str(place[0])
    if not ipaddress.ip_address(ip).is_loopback:
        raise InvalidInput(
            f"{host} can be reached from other machines, and no identity provider is configured: "
            "anyone could read every slide. Listen on 127.0.0.1 until identities are configured."
        )
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ip, port))
            return Address(host, ip, probe.getsockname()[1])
    except OSError as error:
        raise InvalidInput(
            f"Port {port} of {host} cannot be used: {error.strerror}. Choose another with --port."
        ) from error
