"""One fuzzing process: ``python -m conformance.soak.fuzzer TARGET [options of libFuzzer] [FILE]``.

With a file it reads that one case, as after a finding. Atheris guides libFuzzer by the branches
that are taken in our code and in the libraries that parse for us.
"""

from __future__ import annotations

import random
import resource
import sys
import warnings
from importlib import import_module

import atheris

MEMORY = 3 << 30
"""Bytes of address space: the interpreter with all libraries has a third of it."""

_PARSERS = {"converters": "tifffile", "part10": "pydicom", "gate": "pydicom"}
"""Libraries whose branches lead to new cases, by the first part of a target's name."""

_NUMBERS = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 1 << 31, (1 << 32) - 1, (1 << 64) - 1]


def changed(data: bytes, most: int, seed: int) -> bytes:
    """Return a case made of another: fields of headers overwritten, or what libFuzzer does.

    Bytes that are put in or taken out shift everything that offsets point to; most of what is
    wrong behind the first header is found only where everything else stays in its place.
    """
    chance = random.Random(seed)
    if not data or chance.random() < 0.3:
        return bytes(atheris.Mutate(data, most))
    case = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
        width = chance.choice([1, 2, 2, 4, 4, 8])
        place = chance.randrange(len(case))
        old = case[place : place + width]
        value = chance.choice(
            [
                chance.choice(_NUMBERS),
                chance.getrandbits(8 * width),
                int.from_bytes(old, "little") + chance.choice([-1, 1, 2, 8]),
                chance.randrange(len(case)),
            ]
        )
        order = chance.choice(["little", "little", "big"])
        new = (value % 256**width).to_bytes(width, order)
        case[place : place + len(old)] = new[: len(old)]
    return bytes(case[:most])


def main() -> None:
    """Fuzz one target; libFuzzer ends the process."""
    name = sys.argv.pop(1)
    kind = name.partition(".")[0]
    parsers = [_PARSERS[kind]] if kind in _PARSERS else []
    with atheris.instrument_imports(include=["gateway", "converters", *parsers]):
        from conformance.soak.targets import TARGETS, refusal

        if kind == "converters":
            import_module(name)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    attempt = TARGETS[name].attempt

    def case(data: bytes) -> None:
        refusal(attempt, data)

    atheris.Setup(sys.argv, case, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
