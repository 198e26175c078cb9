"""Thousands of damaged slides, each read within limits of time and memory."""

from __future__ import annotations

import os
import random
import resource
import signal
from pathlib import Path

from conformance.bench.slides import make_large_svs
from converters.library import ScannerFiles
from gateway.core.errors import GatewayError

CASES = 20_000
_MEMORY = 2 << 30
_SECONDS = 10


def run(folder: Path, scale: float) -> str:
    """Damage a slide at random, in headers above all, and read it; only our errors may come.

    Returns
    -------
    What was done, for people. Anything but a plan or a GatewayError ends the run.
    """
    slide = folder / "slide.svs"
    make_large_svs(slide, file_bytes=1_500_000, tiles=60)
    good = slide.read_bytes()
    cases = max(50, round(CASES * scale))
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        refused = sum(_refused(folder / "damaged.svs", good, case) for case in range(cases))
        (folder / "refused").write_text(str(refused))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "a damaged slide brought its reader down"
    refused = int((folder / "refused").read_text())
    return f"{cases} damaged slides, {refused} refused, the others still whole where it matters"


def _refused(path: Path, good: bytes, case: int) -> bool:
    """Write one damaged slide and read it; return whether it was refused."""
    path.write_bytes(damaged(good, case))
    signal.alarm(_SECONDS)
    try:
        ScannerFiles().plan(str(path), None)
    except GatewayError:
        return True
    finally:
        signal.alarm(0)
    return False


def damaged(good: bytes, case: int) -> bytes:
    """Return a slide with some bytes changed, cut or repeated; the same for the same case."""
    chance = random.Random(case)
    data = bytearray(good)
    headers = _pages(good)
    for _ in range(chance.choice([1, 1, 2, 5, 50])):
        place = chance.choice(headers) + chance.randrange(200) if chance.random() < 0.8 else 0
        place = min(place or chance.randrange(len(data)), len(data) - 9)
        width = chance.choice([1, 2, 4, 8])
        value = chance.choice(
            [0, 1, 255, 65535, 2**31, 2**32 - 1, 2**64 - 1, chance.getrandbits(64)]
        )
        data[place : place + width] = (value % 256**width).to_bytes(width, "little")
    if chance.random() < 0.1:
        del data[chance.randrange(len(data)) :]
    return bytes(data)


def _pages(data: bytes) -> list[int]:
    """Return where the pages of a little-endian BigTIFF or TIFF begin, and the file's head."""
    big = data[2] == 43
    width, entry, count = (8, 20, 8) if big else (4, 12, 2)
    place, found = int.from_bytes(data[width : 2 * width], "little"), [0]
    while place:
        found.append(place)
        tags = int.from_bytes(data[place : place + count], "little")
        after = place + count + tags * entry
        place = int.from_bytes(data[after : after + width], "little")
    return found
