"""``python -m converters.openslide.process PATH``: opens a slide and draws what it is asked for.

Requests come as lines of JSON on the standard input, see
:class:`converters.openslide.drawing.Drawing`; an answer is a line of JSON, then so many bytes as it
says. It imports as little as it can: one is started for every slide that is looked at.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def _serve(path: str) -> None:
    """Answer requests until there are no more, or until nobody listens."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        import openslide
    except (ImportError, OSError):
        _answer(answers, {"missing": True})
        return
    slide: Any = None
    for line in sys.stdin.buffer:
        try:
            slide = slide or openslide.OpenSlide(path)
            head, content = _done(slide, *json.loads(line))
        except openslide.OpenSlideError as error:
            head, content = {"error": str(error)}, b""
        _answer(answers, head, content)


def _done(slide: Any, what: str, *details: Any) -> tuple[dict[str, Any], bytes]:
    if what == "opened":
        import openslide

        last = slide.level_count - 1
        profile = slide.read_region((0, 0), last, (1, 1)).info.get("icc_profile", b"")
        head = {
            "version": openslide.__library_version__,
            "properties": dict(slide.properties),
            "sizes": slide.level_dimensions,
            "downsamples": slide.level_downsamples,
        }
        return head, profile
    image = slide.read_region(*details) if what == "region" else slide.associated_images[details[0]]
    return {"size": image.size}, image.convert("RGBA").tobytes()


def _answer(answers: Any, head: dict[str, Any], content: bytes = b"") -> None:
    answers.write(json.dumps(head | {"bytes": len(content)}).encode() + b"\n")
    answers.write(content)
    answers.flush()


if __name__ == "__main__":
    try:
        _serve(sys.argv[1])
    except BrokenPipeError:
        os._exit(1)
