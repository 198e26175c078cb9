"""A headless Chromium, driven through its pipe with the DevTools protocol: no library needed."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import tool

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)

WEBGL = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
"""Options that give WebGL on a machine without graphics."""


class Page:
    """One tab. Commands are answered in order; complaints and requests of the page are collected.

    Attributes
    ----------
    complaints
        Exceptions and log entries.
    requests
        What was asked of servers: method, URL and headers as the page set them; preflights too.
    """

    def __init__(self, commands: io.FileIO, answers: io.FileIO) -> None:
        self._commands = commands
        self._answers = answers
        self._rest = b""
        self._count = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[dict[str, Any]] = []
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        attached = self.command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")
        calm = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.command("Emulation.setEmulatedMedia", features=[calm])

    def command(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command and return its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(json.dumps(answer["params"]))
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = self._answers.read(1 << 20)
            assert read, "Chromium has ended"
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(
        self,
        url: str,
        width: int = 1280,
        height: int = 800,
        ratio: float = 1,
        state: str = "true",
    ) -> None:
        """Open an address in a window of so many CSS pixels, and wait for its state."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=ratio,
            mobile=False,
        )
        self.command("Page.navigate", url=url)
        self.wait(state)

    def wait(self, state: str = "true") -> None:
        """Wait until the page says that it is drawn, or that it has failed."""
        end = time.monotonic() + 20
        while (now := self.ask("document.documentElement?.dataset.ready")) != state:
            assert time.monotonic() < end, f"the page is {now!r}: {self.complaints}"
            time.sleep(0.05)

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key that writes a character."""
        self.command("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        self.command("Input.dispatchKeyEvent", type="keyUp", key=key)

    def point(self, x: float, y: float) -> None:
        """Move the pointer, in CSS pixels."""
        self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self, keep: Path | None = None) -> NDArray[np.uint8]:
        """Return the window's pixels: rows, columns, R G B."""
        data = base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])
        if keep is not None:
            keep.write_bytes(data)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@contextmanager
def browsing(profile: Path, *options: str) -> Iterator[Page]:
    """Run Chromium until the block ends; the test skips if there is none."""
    program = tool("chromium", "chromium")
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    # Chromium reads descriptor 3 and writes 4.
    shell = f'exec "$0" "$@" 3<&{command_read} 4>&{answer_write}'
    process = subprocess.Popen(
        ["bash", "-c", shell, program, *_OPTIONS, *options, f"--user-data-dir={profile}"],
        pass_fds=(command_read, answer_write),
        stderr=subprocess.DEVNULL,
    )
    os.close(command_read)
    os.close(answer_write)
    try:
        with (
            os.fdopen(command_write, "wb", buffering=0) as commands,
            os.fdopen(answer_read, "rb", buffering=0) as answers,
        ):
            yield Page(commands, answers)
    finally:
        process.terminate()
        process.wait(20)
