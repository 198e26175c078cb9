"""Pages and packages of JavaScript, served from another origin than the slides."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_PACKAGES = _HERE / "node_modules"
_VIEWER = _PACKAGES / "dicom-microscopy-viewer" / "dist"

_FOLDERS = {
    "/pages/": (_HERE / "pages",),
    "/packages/": (_PACKAGES,),
    # Where the viewer looks for its worker and its decoders; that is compiled into it.
    "/static/js/": (_VIEWER / "dynamic-import", _VIEWER),
}


class _Files(SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        for prefix, folders in _FOLDERS.items():
            if path.startswith(prefix):
                found = [folder / path.removeprefix(prefix) for folder in folders]
                return str(next((file for file in found if file.exists()), found[0]))
        return os.devnull + "/nothing"

    def log_message(self, *_: object) -> None: ...


def installed(name: str) -> Path:
    """Return what the install script makes; without it the test skips, in CI it fails."""
    if (place := _HERE / name).exists():
        return place
    message = "clients are not installed: run tests/clients/install"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def serving_pages() -> Iterator[str]:
    """Serve them until the block ends; tells their origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
