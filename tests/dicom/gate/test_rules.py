"""The list of rules is that of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.dicom import gate
from gateway.dicom.gate.rules import FAMILIES, RULES, TYPES, rule_of
from tests.dicom.gate.corpus import CASES

CODE = "\n".join(
    path.read_text("utf-8")
    for path in Path(gate.__file__).parent.glob("*.py")
    if path.name != "rules.py"
)
PREFIXES = "WSI|ANN|SR|ANY|FILE|VALUE|CODE|SERIES|STUDY|VIEW"


@pytest.mark.req("REQ-GATE-09")
def test_every_rule_of_the_code_is_listed_and_every_listed_rule_is_in_the_code() -> None:
    whole = set(re.findall(rf'"((?:{PREFIXES})-[A-Z0-9-]+)"', CODE))
    viewers = {f"VIEW-{name}" for name in re.findall(r'_warn\(\s*"([A-Z0-9-]+)"', CODE)}
    of_viewers = {f"VIEW-{name}" for name in ("SR-CLASS", "SR-TEMPLATE")}
    assert (whole - {"SR-CLASS", "SR-TEMPLATE"}) | viewers == set(RULES)
    assert of_viewers <= viewers


def test_every_verdict_of_the_corpus_is_one_that_the_list_names() -> None:
    for case in CASES:
        rule = case.rule
        if rule == "VIEW-NONE":
            continue
        names = [f"{family}-{rule}" for family in FAMILIES] if rule in TYPES else [rule]
        for name in names:
            verdict = "warning" if case.outcome.value == "passed" else case.outcome.value
            assert verdict in rule_of(name).verdict, case


def test_nearly_every_rule_of_single_objects_has_a_broken_object() -> None:
    proven = {case.rule for case in CASES} | {"VALUE-SEQUENCE", "VALUE-UNWRITABLE"}
    single = {name for name in RULES if not name.startswith(("SERIES-", "STUDY-"))}
    assert single - proven == set()
