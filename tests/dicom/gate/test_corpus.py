"""Deliberately broken objects: each gets the verdict and the rule that it must get."""

from __future__ import annotations

import pytest

from gateway.dicom.gate import Outcome, Severity
from tests.dicom.gate.corpus import CASES, Case
from tests.dicom.gate.samples import Sample, judged, opened


@pytest.mark.req("REQ-GATE-02", "REQ-GATE-03", "REQ-GATE-05", "REQ-GATE-09")
@pytest.mark.parametrize("broken", CASES, ids=lambda one: f"{one.kind} {one.name}")
def test_each_broken_object_gets_its_verdict_and_is_told_why(
    broken: Case, images: dict[str, Sample], request: pytest.FixtureRequest
) -> None:
    sample: Sample = images.get(broken.kind) or request.getfixturevalue(broken.kind)
    stream = broken.broken(sample)
    verdict = judged(stream)
    found = [finding for finding in verdict.findings if finding.rule.endswith(broken.rule)]
    assert verdict.outcome is broken.outcome, verdict.findings
    if broken.rule != "VIEW-NONE":
        assert found, verdict.findings
    for finding in found:
        assert finding.message.endswith(".")
        assert finding.action.endswith(".")
    if broken.outcome is Outcome.REPAIRED:
        assert verdict.repaired is not None
        assert all(finding.severity is not Severity.ERROR for finding in verdict.findings)
        mended = Sample(verdict.repaired, sample.frames, sample.transfer_syntax).encoded()
        assert judged(mended).findings == ()
        assert opened(mended).frames == sample.frames


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 30
    assert len({(one.kind, one.name) for one in CASES}) == len(CASES)
