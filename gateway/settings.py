"""Settings: frozen, read once by the command line, given to bootstrap."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import InvalidInput


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
    """

    data: Path
    database: str = ""
    materialise_after_s: float | None = 60.0
    watched: tuple[str, ...] = ()
    settle_s: float = 10.0
    metadata: Path | None = None

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
