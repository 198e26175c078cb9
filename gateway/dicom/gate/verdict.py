"""What the gate says of an object."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydicom.dataset import Dataset


class Severity(StrEnum):
    """What a finding means for the object."""

    ERROR = "error"
    """It is held: readers would fail, or take it for something else."""

    REPAIR = "repair"
    """It was mended, and the object says so itself."""

    WARNING = "warning"
    """It passes; somebody should know."""


class Outcome(StrEnum):
    """What becomes of an object."""

    PASSED = "passed"
    REPAIRED = "repaired"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Parameters
    ----------
    rule
        Stable identifier of the rule, such as ``WSI-FRAMES``.
    message
        What is wrong, with the keyword and the path of the attribute; no values that could name
        a person.
    action
        What was repaired, or what the sender should do.
    severity
        What it means for the object.
    """

    rule: str
    message: str
    action: str
    severity: Severity = Severity.ERROR

    @classmethod
    def warning(cls, rule: str, message: str, action: str) -> Finding:
        """Return a finding that holds nothing."""
        return cls(rule, message, action, Severity.WARNING)


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What the gate says of one object.

    Parameters
    ----------
    findings
        In the order in which the rules were applied.
    repaired
        A copy with all safe repairs and the record of them; None if nothing was repaired or the
        object is held.
    """

    findings: tuple[Finding, ...]
    repaired: Dataset | None = None

    @property
    def outcome(self) -> Outcome:
        """The gravest of what was found."""
        return outcome_of(self.findings)


def outcome_of(findings: tuple[Finding, ...]) -> Outcome:
    """Return what becomes of an object of which this was found."""
    severities = {finding.severity for finding in findings}
    if Severity.ERROR in severities:
        return Outcome.HELD
    return Outcome.REPAIRED if Severity.REPAIR in severities else Outcome.PASSED
