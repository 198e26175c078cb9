"""Load: wrk asking for random frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.bench.client import Answer, get
from conformance.bench.programs import ProgramFailed, measure

_SCRIPT = """\
local threads = 0
function setup(thread)
   threads = threads + 1
   thread:set("seed", {seed} + threads)
end
function init()
   math.randomseed(seed)
end
function request()
   return "GET {prefix}" .. {numbers} .. " HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n" ..
      "Accept: {accept}\\r\\n\\r\\n"
end
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\\n{{"requests": %d, "microseconds": %d, "bytes": %d, "errors": %d, ' ..
      '"p50_us": %f, "p99_us": %f}}\\n',
      summary.requests, summary.duration, summary.bytes,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Target:
    """Frames below one path.

    Parameters
    ----------
    prefix
        Path up to the numbers.
    ranges
        First and last value of each number; several are joined by slashes.
    accept
        The Accept header.
    """

    prefix: str
    ranges: Sequence[tuple[int, int]]
    accept: str

    def probe(self, port: int, numbers: Sequence[int]) -> Answer:
        """Get one frame."""
        return get(port, self.prefix + "/".join(map(str, numbers)), self.accept)


@dataclass(frozen=True, slots=True)
class Load:
    """What came out of a run.

    Parameters
    ----------
    rate
        Complete answers a second.
    p50_ms, p99_ms
        Latency.
    answer_bytes
        Mean size of an answer with its headers.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    answer_bytes: float


def random_frames(
    wrk: Path, port: int, target: Target, connections: int, seconds: float, folder: Path
) -> Load:
    """Ask for random frames over some connections, two threads if there are several.

    Raises
    ------
    ProgramFailed
        If an answer was an error, or none came.
    """
    script = folder / "frames.lua"
    numbers = ' .. "/" .. '.join(f"math.random({low}, {high})" for low, high in target.ranges)
    accept = target.accept.replace('"', '\\"')
    script.write_text(
        _SCRIPT.format(prefix=target.prefix, numbers=numbers, accept=accept, seed=port)
    )
    command = [str(wrk), f"-t{min(2, connections)}", f"-c{connections}", "--timeout", "120s"]
    command += [f"-d{max(1, round(seconds))}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    usage = measure(command, folder / "wrk.log", limit_s=seconds + 240)
    result = json.loads(usage.output.strip().splitlines()[-1])
    if result["errors"] or not result["requests"]:
        raise ProgramFailed(f"{result['errors']} errors in {result['requests']} answers")
    return Load(
        result["requests"] / result["microseconds"] * 1e6,
        result["p50_us"] / 1e3,
        result["p99_us"] / 1e3,
        result["bytes"] / result["requests"],
    )
