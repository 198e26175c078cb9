"""Which requirements are proven, and by which tests: ``python -m conformance.requirements``.

Requirements stand in ``requirements.toml``. A test proves one by carrying
``@pytest.mark.req("REQ-...")``, and so does a check of the suite, which a test runs over our own
server, unless it is a known gap. Tests and checks are read, not run.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
GAPS = "conformance/suite/gaps.toml"
_STATUSES = ("later", "refused")
_MARKS = ("pytest.mark.req", "check")
_FIELDS = frozenset({"text", "source", "status", "reason"})

Entries = dict[str, dict[str, str]]
Proofs = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Report:
    """Requirements beside their proofs.

    Parameters
    ----------
    entries
        Identifier -> fields, as in ``requirements.toml``.
    proofs
        Identifier -> tests that carry it, such as ``tests/core/test_frames.py::test_order``.
    """

    entries: Entries
    proofs: Proofs

    @property
    def faults(self) -> list[str]:
        """What must not be: marks of nothing, and entries that do not say what they have to."""
        unlisted = [
            f"{identifier} is not listed: {', '.join(tests)}"
            for identifier, tests in self.proofs.items()
            if identifier not in self.entries
        ]
        return unlisted + [
            f"{identifier} {fault}"
            for identifier, entry in self.entries.items()
            for fault in _faults(entry)
        ]

    def of_status(self, status: str | None) -> list[str]:
        """Return the identifiers of a status, None being those that are true today."""
        return [name for name, entry in self.entries.items() if entry.get("status") == status]

    def lines(self) -> Iterator[str]:
        """Yield the report for people."""
        today = self.of_status(None)
        yield from self._section("proven", [name for name in today if name in self.proofs])
        yield from self._section("unproven", [name for name in today if name not in self.proofs])
        for status in _STATUSES:
            yield from self._section(status, self.of_status(status))
        if self.faults:
            yield f"faults: {len(self.faults)}"
            yield from (f"  {fault}" for fault in self.faults)

    def _section(self, title: str, identifiers: list[str]) -> Iterator[str]:
        yield f"{title}: {len(identifiers)}"
        for identifier in identifiers:
            entry, tests = self.entries[identifier], self.proofs.get(identifier, [])
            yield f"  {identifier}  {entry.get('reason') or entry.get('text', '')}"
            yield from (f"      {test}" for test in tests)


def _faults(entry: dict[str, str]) -> Iterator[str]:
    for field in ("text", "source"):
        if not entry.get(field):
            yield f"has no {field}"
    if unknown := set(entry) - _FIELDS:
        yield f"has unknown fields: {', '.join(sorted(unknown))}"
    if "status" in entry and entry["status"] not in _STATUSES:
        yield f"has the unknown status {entry['status']}"
    if ("status" in entry) is not bool(entry.get("reason")):
        yield "has a status without a reason, or a reason without a status"


def report(root: Path = ROOT) -> Report:
    """Read the requirements and the tests of the project."""
    entries: Entries = tomllib.loads((root / "conformance/requirements.toml").read_text("utf-8"))
    proofs: Proofs = {}
    for path in sorted(root.glob("tests/**/*.py")):
        for identifier, test in _marks(path):
            proofs.setdefault(identifier, []).append(f"{path.relative_to(root)}::{test}")
    gaps = known_gaps(root)
    for path in sorted(root.glob("conformance/suite/*.py")):
        for identifier, name in _marks(path):
            if name not in gaps:
                proofs.setdefault(identifier, []).append(f"{path.relative_to(root)}::{name}")
    return Report(entries, proofs)


def known_gaps(root: Path = ROOT) -> dict[str, str]:
    """Return the checks of the suite that our own server is known to fail, and why."""
    file = root / GAPS
    return tomllib.loads(file.read_text("utf-8")) if file.exists() else {}


def _marks(path: Path) -> Iterator[tuple[str, str]]:
    """Yield requirement and test for each mark of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in _MARKS:
                yield from ((str(ast.literal_eval(one)), node.name) for one in decorator.args)


def main() -> int:
    """Print the report; 1 if it has faults."""
    found = report()
    print(*found.lines(), sep="\n")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
