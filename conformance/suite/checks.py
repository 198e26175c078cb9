"""What a check is, and the register of all of them."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.suite.site import Site

PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"

_LONGEST_REASON = 300


class Failed(Exception):
    """The server does not do what the requirement says."""


class NotApplicable(Exception):
    """The archive lacks what the check needs, or the check was not allowed to run."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Parameters
    ----------
    name
        Unique; that of the function.
    requirements
        Identifiers of ``requirements.toml`` that fail with it.
    title
        What must be true, in one line.
    run
        Raises if it is not.
    writes
        Whether it stores objects.
    """

    name: str
    requirements: tuple[str, ...]
    title: str
    run: Callable[[Site], None]
    writes: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check.

    Parameters
    ----------
    state
        One of the three.
    reason
        Why it did not pass; empty if it did.
    request
        The last request, with its Accept header and the status it got.
    """

    check: Check
    state: str
    reason: str = ""
    request: str = ""


CHECKS: list[Check] = []
"""All checks, in the order in which they were registered."""


def check(
    *requirements: str, writes: bool = False
) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
    """Register a function as a check of requirements; the first line of its text is the title."""

    def register(run: Callable[[Site], None]) -> Callable[[Site], None]:
        title = (run.__doc__ or "").strip().splitlines()[0].rstrip(".")
        CHECKS.append(Check(run.__name__, requirements, title, run, writes))
        return run

    return register


def expect(condition: object, reason: str) -> None:
    """Fail the check unless the condition holds.

    Raises
    ------
    Failed
        With the reason.
    """
    if not condition:
        raise Failed(reason)


def equal(found: object, wanted: object, what: str) -> None:
    """Fail the check unless both are equal."""
    expect(found == wanted, f"{what} is {_short(found)}, not {_short(wanted)}")


def outcomes(site: Site, only: Sequence[str] = ()) -> Iterator[Outcome]:
    """Run the checks.

    Parameters
    ----------
    only
        Beginnings of the requirements or names that are wanted; all if there are none.
    """
    for one in CHECKS:
        names = (*one.requirements, one.name)
        if not only or any(name.startswith(start) for name in names for start in only):
            yield _outcome(one, site)


def _outcome(one: Check, site: Site) -> Outcome:
    if one.writes and not site.write:
        return Outcome(one, NOT_APPLICABLE, "it stores objects: allow that with --write")
    site.client.last = ""
    try:
        one.run(site)
    except NotApplicable as error:
        return Outcome(one, NOT_APPLICABLE, str(error))
    except Failed as error:
        return Outcome(one, FAILED, _short(error), site.client.last)
    except (OSError, http.client.HTTPException) as error:
        return Outcome(one, FAILED, f"the connection broke: {_short(error)}", site.client.last)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        # Whatever the check reads is an answer of the server: it has another form.
        reason = f"the answer cannot be read: {type(error).__name__} {_short(error)}"
        return Outcome(one, FAILED, reason, site.client.last)
    return Outcome(one, PASSED)


def _short(value: object) -> str:
    text = re.sub(r"\s+", " ", str(value))
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def by_requirement(found: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes of each requirement, in the order of their identifiers."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in found:
        for requirement in outcome.check.requirements:
            groups.setdefault(requirement, []).append(outcome)
    return dict(sorted(groups.items(), key=lambda pair: _order(pair[0])))


def _order(requirement: str) -> tuple[int, str]:
    sections = ("HTTP", "QIDO", "META", "FRM", "INS", "REN", "URI", "STOW", "DEL", "OBJ")
    section = requirement.split("-")[1]
    return (sections.index(section) if section in sections else len(sections), requirement)
