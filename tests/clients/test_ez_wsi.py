"""ez-wsi-dicomweb of Google, which needs no login where the server wants none.

It lives in an environment of its own: it wants an older marshmallow than people get with wsidicom.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.clients.conftest import Archive, swapped_profile
from tests.clients.site import installed


@pytest.mark.req("REQ-QIDO-06", "REQ-META-06", "REQ-FRM-01", "REQ-FRM-02", "REQ-HTTP-05")
def test_a_patch_of_many_frames_is_what_the_slide_has(archive: Archive, tmp_path: Path) -> None:
    script = Path(__file__).with_name("ez_wsi.py")
    uids = (archive.server.root, archive.study, archive.series)
    command = [installed("ez-wsi") / "bin" / "python", script, *uids, "500", "300", "700", "650"]
    done = subprocess.run(
        [*map(str, command), str(tmp_path / "patch")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["levels"][0] == [2903, 2307]
    assert len(seen["levels"]) >= len(archive.slide.levels)
    assert bytes.fromhex(seen["profile"]) == swapped_profile()
    patch = np.frombuffer((tmp_path / "patch").read_bytes(), np.uint8).reshape(650, 700, 3)
    wanted = archive.slide.levels[0].pixels[300:950, 500:1200]
    assert np.abs(patch.astype(int) - wanted).max() <= 2
