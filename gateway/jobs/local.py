"""Work of one machine: the loop that materialises slides, and the process it runs in."""

from __future__ import annotations

import http.client
import logging
import os
import subprocess
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

from gateway.core.errors import GatewayError
from gateway.core.instances import Slide
from gateway.services.ingest import Ingest

_LOOK_EVERY_S = 2.0
_RETRY_AFTER_S = 300.0
_PATIENCE_S = 10.0
_log = logging.getLogger(__name__)


def materialise_forever(ingest: Ingest) -> None:
    """Materialise slides when they are due, one after the other, at idle priority.

    A slide that cannot be materialised now is tried again in five minutes. The process may be
    killed at any point.
    """
    _be_idle()
    while True:
        try:
            for slide in ingest.due():
                _attempt(ingest, slide)
        except GatewayError as error:
            _log.warning("looking for work failed: %s", error.code)
        time.sleep(_LOOK_EVERY_S)


def _attempt(ingest: Ingest, slide: Slide) -> None:
    try:
        ingest.materialise(slide)
    except GatewayError as error:
        _log.warning("study %s is not materialised yet: %s", slide.study, error.code)
        ingest.postpone(slide, _RETRY_AFTER_S)
    except Exception:  # one slide must not keep the others waiting
        _log.exception("study %s cannot be materialised", slide.study)
        ingest.postpone(slide, _RETRY_AFTER_S)


def _be_idle() -> None:
    """Run only when nothing else wants the processor, as far as the system lets us."""
    os.nice(19)
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def end_with_parent(parent: int) -> None:
    """End this process soon after the one that started it, however that one ends.

    Blobs are complete or absent at any time, so there is nothing to tidy up.

    Parameters
    ----------
    parent
        Its process number, as it knew itself; it may have ended before we could ask.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


class Companion:
    """A process that lives as long as the server does; if it ends early, it is started again.

    Parameters
    ----------
    command
        What it runs.
    environment
        Its environment.
    """

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Start the process."""
        self._keeper.start()

    def stop(self) -> None:
        """End the process and wait for it."""
        self._stopping.set()
        self._keeper.join(_PATIENCE_S)

    def _keep(self) -> None:
        # Not at once: the server is forking its own processes now, which must not get our pipes.
        while not self._stopping.wait(_LOOK_EVERY_S):
            with subprocess.Popen(
                self._command,
                env=self._environment,
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for the server, which ends this one
            ) as process:
                while process.poll() is None and not self._stopping.wait(0.2):
                    continue
                process.kill()  # it may be killed at any point
            if not self._stopping.is_set():
                _log.warning("a process beside the server ended and is started again")


class Announcer:
    """Says on standard output that the server is ready, when it is.

    Parameters
    ----------
    url
        URL of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def start(self) -> None:
        """Begin to ask the server, a moment later."""
        timer = threading.Timer(0.05, self._announce)
        timer.daemon = True
        timer.start()

    def _announce(self) -> None:
        while not self._answers():
            time.sleep(0.02)
        print(f"ready {self._url}", flush=True)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=1)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
