"""The only place that knows which adapter is behind which port."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from converters.library import ScannerFiles
from converters.sources import Choices
from gateway.core.errors import Unavailable
from gateway.core.ports import Index
from gateway.index.work import open_index
from gateway.services.corrections import Corrections
from gateway.services.ingest import Ingest
from gateway.services.links import Links
from gateway.services.quarantine import Quarantine
from gateway.services.query import Search
from gateway.services.receive import Receive
from gateway.services.render import Render
from gateway.services.retrieve import Retrieve
from gateway.settings import Address, Settings
from gateway.store.files import FileStore

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from gateway.jobs.local import Companion
    from gateway.jobs.watch import Watch

_WORKERS = 2
_BLOCKING_THREADS = 224
"""Of each worker: long answers and stores leave some free; see gateway.dicomweb.app.

They come as they are needed and go when they are not; one that waits for a slow client costs some
kilobytes.
"""

_HANDS = 3
"""Files of watched folders that are added at once; at most all but one have to be decoded."""

_PATIENCE_S = 5
"""Seconds that a stopping server waits for answers under way."""


@dataclass(frozen=True, slots=True)
class Services:
    """All use cases over one data folder."""

    index: Index
    store: FileStore
    links: Links
    ingest: Ingest
    retrieve: Retrieve
    search: Search
    receive: Receive
    render: Render
    quarantine: Quarantine
    corrections: Corrections


def open_services(settings: Settings, choices: Choices | None = None) -> Services:
    """Open index and store; both are made if they are not there.

    Parameters
    ----------
    choices
        How slides that are added become frames, where their format leaves a choice.
    """
    make_data_folder(settings.data)
    index = open_index(settings.index)
    store = FileStore(settings.data / "blobs")
    library = ScannerFiles(settings.metadata, choices)
    links = Links(index, store, library)
    ingest = Ingest(index, store, library, links, time.time, settings.materialise_after_s or 0)
    retrieve = Retrieve(index, store, links, library.cut)
    receive = Receive(index, store, retrieve)
    search = Search(index, retrieve)
    search.complete()
    return Services(
        index,
        store,
        links,
        ingest,
        retrieve,
        search,
        receive,
        Render(index, store, retrieve),
        Quarantine(index, ingest),
        Corrections(index, store, library, time.time),
    )


def open_watch(settings: Settings) -> Watch:
    """Return what adds the slides of the watched folders."""
    from converters.formats.companions import companions
    from gateway.jobs.hands import Hand
    from gateway.jobs.watch import Watch

    services = open_services(settings)
    add = adder(services)
    return Watch(
        lambda: [slide.file for slide in services.ingest.slides()],
        [Hand(add) for _ in range(_HANDS)],
        companions,
        settings.watched,
        settings.settle_s,
        str(settings.data.absolute()),
    )


def adder(services: Services) -> Callable[[str], str]:
    """Return what adds a file, scanner's or DICOM, and says what it became."""
    from gateway.store.dicom_files import is_dicom, pieces

    def add(path: str) -> str:
        if not is_dicom(Path(path)):
            return f"study {services.ingest.add(path).study}"
        received = services.receive.receive(pieces(Path(path)))
        return f"an instance of study {received.key.study}"

    return add


def make_data_folder(data: Path) -> None:
    """Make the data folder if it is not there."""
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"The data folder {data} cannot be made: {error.strerror}.") from error


def load_application(settings: Settings, url: str) -> WSGIApplication:
    """Return the HTTP application; each server process has one of its own.

    Parameters
    ----------
    url
        Absolute URL that the server listens to.
    """
    from gateway.dicomweb.app import UseCases, http_application
    from gateway.dicomweb.http.addresses import Addresses
    from gateway.web.pages import blueprint

    services = open_services(settings)
    use = UseCases(
        services.retrieve,
        services.search,
        services.receive,
        services.render,
        services.index.epoch,
        services.ingest.stock,
    )
    web = settings.web
    addresses = Addresses(url, web.public_url, web.wado_url, web.trusted_proxies)
    return http_application(use, addresses, web.cors_origins, [blueprint()], web.access_log)


def _load_in_worker(settings: Settings, url: str, parent: int, _target: str) -> WSGIApplication:
    from gateway.jobs.local import end_with_parent

    end_with_parent(parent)
    return load_application(settings, url)


def serve(settings: Settings, address: Address) -> None:
    """Serve until SIGINT or SIGTERM; prints one line when requests are answered.

    Requests are answered by processes of their own; one more, at idle priority, materialises
    slides that are due. Another adds the slides of watched folders: at no time may a slide wait
    to be added until another one is materialised.
    """
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    from gateway.jobs.local import Announcer
    from gateway.telemetry.logs import LOGGING
    from gateway.telemetry.sharing import shared_by_processes

    make_data_folder(settings.data)
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # clients are files, too
    FileStore(settings.data / "blobs").sweep()
    open_index(settings.index).close()  # migrated once, before there are several of us
    server = Granian(
        "slidegate",
        address=address.ip,
        port=address.port,
        interface=Interfaces.WSGI,
        workers=_WORKERS,
        blocking_threads=_BLOCKING_THREADS,
        blocking_threads_idle_timeout=_PATIENCE_S,
        respawn_failed_workers=True,
        workers_kill_timeout=_PATIENCE_S,
        log_level=LogLevels.error,
        log_dictconfig=LOGGING,
        websockets=False,
    )
    server.on_startup(Announcer(address.url).start)
    for companion in _companions(settings):
        server.on_startup(companion.start)
        server.on_shutdown(companion.stop)
    with shared_by_processes():
        server.serve(target_loader=partial(_load_in_worker, settings, address.url, os.getpid()))


def _companions(settings: Settings) -> list[Companion]:
    """Return the processes that work beside the server."""
    from gateway.jobs.local import Companion

    # The URL may hold a password, and everyone may read command lines.
    environment = os.environ | {
        "SLIDEGATE_DATABASE": settings.database,
        "SLIDEGATE_METADATA": str(settings.metadata or ""),
    }
    given = ["--end-with", str(os.getpid()), "--data", str(settings.data)]
    commands: list[list[str]] = []
    if settings.materialise_after_s is not None:
        after = ["--materialise-after", str(settings.materialise_after_s)]
        commands.append(["worker", *given, *after])
    if settings.watched:
        settle = ["--settle", str(settings.settle_s)]
        commands.append(["watch", *given, *settle, "--", *settings.watched])
    run = [sys.executable, "-m", "gateway.cli"]
    return [Companion([*run, *command], environment) for command in commands]
