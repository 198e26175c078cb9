"""Outcomes for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.suite.checks import (
    FAILED,
    NOT_APPLICABLE,
    PASSED,
    Outcome,
    by_requirement,
)


def state_of(found: Sequence[Outcome]) -> str:
    """Return the state of a requirement: failed if a check fails, passed if one passes."""
    states = {outcome.state for outcome in found}
    return next((one for one in (FAILED, PASSED) if one in states), NOT_APPLICABLE)


def counts(found: Sequence[Outcome]) -> str:
    """Return how many checks passed, failed and could not be applied."""
    states = [outcome.state for outcome in found]
    return ", ".join(f"{states.count(one)} {one}" for one in (PASSED, FAILED, NOT_APPLICABLE))


def lines(found: Sequence[Outcome]) -> Iterator[str]:
    """Yield the table by requirement, each check with what it found."""
    for requirement, group in by_requirement(found).items():
        yield f"{requirement:13} {state_of(group)}"
        for outcome in group:
            yield f"    {outcome.state:15} {outcome.check.name}: {outcome.check.title}"
            if outcome.reason:
                yield f"        {outcome.reason}"
            if outcome.request:
                yield f"        {outcome.request}"
    yield f"{len(found)} checks: {counts(found)}"


def record(outcome: Outcome) -> dict[str, object]:
    """Return an outcome for programs."""
    return {
        "check": outcome.check.name,
        "requirements": list(outcome.check.requirements),
        "title": outcome.check.title,
        "state": outcome.state,
        "reason": outcome.reason,
        "request": outcome.request,
    }
