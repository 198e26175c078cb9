"""Under which URL clients reach the server: what all absolute URLs in answers begin with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.core.instances import InstanceKey

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROOT = "/dicom-web"
"""Path of the DICOMweb root."""

STUDY = "/studies/<study>"
SERIES = f"{STUDY}/series/<series>"
INSTANCE = f"{SERIES}/instances/<instance>"
LEVELS = (STUDY, SERIES, INSTANCE)
"""Paths below the root of what can be retrieved."""

_ROOT_URL = "slidegate.root"


def root_of(environ: WSGIEnvironment) -> str:
    """Return the absolute URL of the DICOMweb root, without a slash at its end."""
    root: str = environ[_ROOT_URL]
    return root


def instance_url(root: str, key: InstanceKey) -> str:
    """Return the URL of an instance.

    Parameters
    ----------
    root
        As :func:`root_of` tells it.
    """
    return f"{root}/studies/{key.study}/series/{key.series}/instances/{key.instance}"


class PublicAddress:
    """Finds out for each request under which URL its client reaches the server.

    Parameters
    ----------
    inner
        The application; it asks :func:`root_of`.
    public_url
        Absolute URL of the server, without a slash at its end.
    """

    def __init__(self, inner: WSGIApplication, public_url: str) -> None:
        self._inner = inner
        self._root = f"{public_url}{ROOT}"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        environ[_ROOT_URL] = self._root
        return self._inner(environ, start_response)
