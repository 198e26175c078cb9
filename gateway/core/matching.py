"""How values match (PS3.4 C.2.2.2): what of a value is compared, and with what.

A value is compared by its forms: the text itself, a number or a time of one spelling, the groups
and words of a name. A rule becomes tests of such forms. The index keeps forms in columns and
compares them in SQL; what it does not keep is compared here. Both ask the same tests.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from gateway.core.errors import InvalidQuery
from gateway.core.queries import AllOf, AnyOf, Period, Range, Rule, Similar, Wildcard

WILD: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
"""Value representations in which ``*`` and ``?`` are wildcards."""

RANGED: Final = frozenset({"DA", "DT", "TM"})
WHOLE: Final = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
DECIMAL: Final = frozenset({"DS", "FD", "FL"})
MATCHABLE: Final = WILD | RANGED | WHOLE | DECIMAL | {"AS", "AT", "UI"}
"""Value representations of attributes that can be searched for; binary values cannot."""

MULTIPLE: Final = frozenset({"AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"})
"""Value representations in which several values of one key may all be wanted (C.2.2.2.8)."""

UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
"""Characters that a database does not take: NUL, and halves of surrogate pairs."""

FIRST_OF_HOUR: Final = "0000.000000"
LAST_OF_HOUR: Final = "5959.999999"
LONGEST: Final = 512
"""Characters of a form; what is longer is compared by its beginning."""

PLAIN: Final = ("",)
GROUPS: Final = ("=0", "=1", "=2")
WORDS: Final = ("~",)
UTC_MOMENT: Final = ("Z",)
"""Kinds of forms: the value; alphabetic, ideographic and phonetic group; words of all groups of
a name; and of a date and time what it is in UTC."""

_TIME: Final = re.compile(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?")
_DATE: Final = re.compile(r"[0-9]{4}(?:\.?)[0-9]{2}(?:\.?)[0-9]{2}")
_MOMENT: Final = re.compile(r"([0-9]{4,14})(?:\.([0-9]{1,6}))?([+-][0-9]{4})?")
_FIRST_MOMENT: Final = "00000101000000"
_LAST_MOMENT: Final = "99991231235959"
_MARKS: Final = re.compile("[\u0300-\u036f]")
_BREAKS: Final = re.compile(r"[\s^=,.\-'\u2019]+")
_BEYOND: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Among:
    """The form is one of these."""

    forms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """The form lies between two, both included, by code points; an open end is None."""

    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class Like:
    """The form matches a pattern of ``*`` and ``?``; what it begins with bounds it."""

    pattern: str

    @property
    def bounds(self) -> Between | None:
        """Between what all matches lie, if the pattern begins with letters."""
        start = re.split(r"[*?]", self.pattern, maxsplit=1)[0]
        return starting(start) if start else None


Test = Among | Between | Like


@dataclass(frozen=True, slots=True)
class Requirement:
    """A value matches if one of its forms of some kinds passes a test."""

    kinds: tuple[str, ...]
    test: Test


def starting(text: str) -> Between:
    """Return the test of what begins with a text."""
    return Between(text, text + _BEYOND)


def folded(text: str) -> str:
    """Return a person's name without the difference of case, in any script."""
    return unicodedata.normalize("NFC", text).casefold()


def name_form(text: str) -> str:
    """Return a group of a name as it is compared: without case, and without accents.

    Accents are the combining marks that Latin, Greek and Cyrillic letters have; those of other
    scripts tell sounds apart and stay. Empty components at the end count for nothing.
    """
    decomposed = unicodedata.normalize("NFD", folded(text))
    return unicodedata.normalize("NFC", _MARKS.sub("", decomposed)).strip().rstrip("^ ")[:LONGEST]


def full_time(text: str, rest: str = FIRST_OF_HOUR) -> str | None:
    """Return a time as ``HHMMSS.FFFFFF``, or None if it is none (PS3.5 6.2, TM).

    Parameters
    ----------
    text
        Time of any precision from hours to microseconds.
    rest
        What a time of full hours is filled up with.
    """
    digits = text.strip().replace(":", "")
    return digits + rest[len(digits) - 2 :] if _TIME.fullmatch(digits) else None


def full_date(text: str) -> str | None:
    """Return a date as ``YYYYMMDD``, or None if it is none."""
    return text.strip().replace(".", "") if _DATE.fullmatch(text.strip()) else None


def full_moment(text: str, *, last: bool = False, offset: str | None = None) -> str | None:
    """Return a date and time as ``YYYYMMDDHHMMSS.FFFFFF``, or None if it is none (PS3.5 6.2, DT).

    Parameters
    ----------
    last
        Whether what is not stated is filled up with the last moment, not the first.
    offset
        None leaves the moment as it stands; else it is told in UTC, and this is the offset of
        what states none of its own, as ``+HHMM``, or empty for UTC.
    """
    found = _MOMENT.fullmatch(text.strip())
    if found is None or len(found[1]) % 2:
        return None
    digits, fraction, own = found[1], found[2] or "", found[3]
    digits += (_LAST_MOMENT if last else _FIRST_MOMENT)[len(digits) :]
    fraction += ("999999" if last and not fraction else "000000")[len(fraction) :]
    if offset is None:
        return f"{digits}.{fraction}"
    try:
        return _in_utc(digits, fraction, own or offset or "+0000")
    except ValueError:  # the 30th of February
        return None


def _in_utc(digits: str, fraction: str, offset: str) -> str:
    day = min(int(digits[6:8]), 31)
    for latest in range(day, 27, -1) if day > 28 else (day,):  # months have different lengths
        text = f"{digits[:6]}{latest:02}{digits[8:]}.{fraction}"
        try:
            moment = datetime.strptime(text, "%Y%m%d%H%M%S.%f")
        except ValueError:
            continue
        sign = -1 if offset[0] == "-" else 1
        shift = sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))
        try:
            there = moment.replace(tzinfo=timezone(shift)).astimezone(UTC)
        except OverflowError:
            break
        return f"{there:%Y%m%d%H%M%S.%f}".rjust(21, "0")
    raise ValueError(digits)


def _whole(text: str) -> str | None:
    try:
        return str(int(text)) if len(text) < 32 else None
    except ValueError:
        return None


def _decimal(text: str) -> str | None:
    try:
        number = float(text) if len(text) < 64 else math.nan
    except ValueError:
        return None
    return repr(number + 0.0) if math.isfinite(number) else None


def _tag(text: str) -> str | None:
    digits = text.strip("() ").replace(",", "").upper()
    return digits if re.fullmatch("[0-9A-F]{8}", digits) else None


def _text(text: str) -> str:
    return text.strip()[:LONGEST]


Form = Callable[[str], str | None]
"""Makes of a text what can be compared; None if the text is no value of its kind."""

FORMS: Final[dict[str, Form]] = {
    **dict.fromkeys(WHOLE, _whole),
    **dict.fromkeys(DECIMAL, _decimal),
    "AT": _tag,
    "DA": full_date,
    "DT": full_moment,
    "TM": full_time,
}
"""Value representation -> what makes the form of a value, where that is not its text."""


def forms_of(vr: str, text: str, offset: str = "") -> list[tuple[str, str]]:
    """Return kind and form of all by which a value is compared.

    Parameters
    ----------
    text
        One value.
    offset
        Offset from UTC of dates and times that state none, as ``+HHMM``.
    """
    if vr == "PN":
        groups = [name_form(group) for group in text.split("=")[: len(GROUPS)]]
        found = [(kind, form) for kind, form in zip(GROUPS, groups, strict=False) if form]
        words = {word for form in groups for word in _words(form)}
        return found + [(WORDS[0], word) for word in sorted(words)]
    found = []
    if form := FORMS.get(vr, _text)(text):
        found.append((PLAIN[0], form))
    if vr == "DT" and (form := full_moment(text, offset=offset)):
        found.append((UTC_MOMENT[0], form))
    return found


def _words(form: str) -> list[str]:
    return [word for word in _BREAKS.split(form) if word]


def requirements(keyword: str, vr: str, rule: Rule) -> list[Requirement]:
    """Return what must all be true of a value; whether it may be empty is not asked here.

    Raises
    ------
    InvalidQuery
        If what is searched for is none of the value representation.
    """
    match rule:
        case AnyOf(values):
            return _any_of(keyword, vr, [value for value in values if value])
        case AllOf(values):
            return [one for value in values for one in _any_of(keyword, vr, [value])]
        case Wildcard(pattern):
            return _patterns(keyword, vr, pattern)
        case Range(low, high):
            return [_range(keyword, vr, low, high)]
        case Similar(text):
            words = _words(name_form(_storable(keyword, text)))
            return [Requirement(WORDS, starting(word)) for word in words]
        case Period(low, high):  # of dates; times are compared on the first and the last day
            return [
                _range(keyword, vr, low[0] if low else None, high[0] if high else None),
            ]


def _any_of(keyword: str, vr: str, values: list[str]) -> list[Requirement]:
    if vr == "PN":
        return _names(keyword, values)
    if vr == "DT" and any(_offset(value) for value in values):
        forms = [full_moment(value, offset="") for value in values]
        return [Requirement(UTC_MOMENT, Among(_all(keyword, forms)))]
    make = FORMS.get(vr, _text)
    return [Requirement(PLAIN, Among(_all(keyword, [make(value) for value in values])))]


def _names(keyword: str, values: list[str]) -> list[Requirement]:
    groups = [value for value in values if "=" in value]
    if not groups:
        forms = [name_form(_storable(keyword, value)) for value in values]
        return [Requirement(GROUPS, Among(tuple(filter(None, forms))))]
    if len(values) > 1:
        raise InvalidQuery(f"{keyword} has several names, and one of several groups.")
    forms = [name_form(_storable(keyword, group)) for group in groups[0].split("=")]
    return [
        Requirement((kind,), Among((form,)))
        for kind, form in zip(GROUPS, forms, strict=False)
        if form
    ]


def _patterns(keyword: str, vr: str, pattern: str) -> list[Requirement]:
    _storable(keyword, pattern)
    if vr not in WILD:
        raise InvalidQuery(f"{keyword} cannot be searched for with wildcards.")
    if not pattern.strip():
        return [Requirement(PLAIN, Among(()))]
    if vr != "PN":
        return [Requirement(PLAIN, Like(pattern.strip()))]
    if "=" not in pattern:
        return [Requirement(GROUPS, Like(name_form(pattern)))]
    return [
        Requirement((kind,), Like(form))
        for kind, form in zip(GROUPS, map(name_form, pattern.split("=")), strict=False)
        if form.strip("*")
    ]


def _range(keyword: str, vr: str, low: str | None, high: str | None) -> Requirement:
    first: str | None
    last: str | None
    match vr:
        case "DA":
            first, last = (full_date(end) if end else None for end in (low, high))
            kinds = PLAIN
        case "TM":
            first = full_time(low) if low else None
            last = full_time(high, LAST_OF_HOUR) if high else None
            kinds = PLAIN
        case "DT":
            aware = any(_offset(end) for end in (low, high) if end)
            offset = "" if aware else None
            first = full_moment(low, offset=offset) if low else None
            last = full_moment(high, last=True, offset=offset) if high else None
            kinds = UTC_MOMENT if aware else PLAIN
        case _:
            raise InvalidQuery(f"{keyword} cannot be searched for by a range.")
    if (low and first is None) or (high and last is None):
        raise _impossible(keyword)
    return Requirement(kinds, Between(first, last))


def _offset(moment: str) -> str | None:
    found = _MOMENT.fullmatch(moment.strip())
    return found[3] if found else None


def _all(keyword: str, forms: Iterable[str | None]) -> tuple[str, ...]:
    found = []
    for form in forms:
        if form is None:
            raise _impossible(keyword)
        if form:  # blanks alone are no value
            found.append(_storable(keyword, form))
    return tuple(found)


def _storable(keyword: str, text: str) -> str:
    if UNSTORABLE.search(text):
        raise _impossible(keyword)
    return text


def _impossible(keyword: str) -> InvalidQuery:
    return InvalidQuery(f"{keyword} cannot have the value that is searched for.")


def passes(test: Test, form: str) -> bool:
    """Whether a form passes a test."""
    match test:
        case Among(forms):
            return form in forms
        case Between(low, high):
            return (low is None or form >= low) and (high is None or form <= high)
        case Like(pattern):
            signs = {"*": ".*", "?": "."}
            expression = "".join(signs.get(sign, re.escape(sign)) for sign in pattern)
            return re.fullmatch(expression, form, re.DOTALL) is not None


def matches(keyword: str, vr: str, rule: Rule, values: Iterable[str], offset: str = "") -> bool:
    """Whether an attribute of some values matches a rule.

    Parameters
    ----------
    values
        Its values as text; none if it is absent or empty.
    offset
        As of :func:`forms_of`.
    """
    forms = [pair for value in values for pair in forms_of(vr, value, offset)]
    if isinstance(rule, AnyOf) and "" in rule.values and not forms:
        return True
    if isinstance(rule, AnyOf) and not any(rule.values):
        return False
    return all(
        any(kind in one.kinds and passes(one.test, form) for kind, form in forms)
        for one in requirements(keyword, vr, rule)
    )
