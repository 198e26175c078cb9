"""Attributes by their type: what is missing is named."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from gateway.dicom.gate import Outcome, Severity, examine
from gateway.dicom.gate.items import Item
from gateway.dicom.gate.standard import Node, Requirement, iod_of
from gateway.dicom.gate.structure import known
from tests.conftest import SHARED
from tests.dicom.gate.samples import Sample, judged

UID_OF_THE_OBJECT = ("SOPClassUID", "SOPInstanceUID")
MODULES_OF_ONE = ("PyramidUID",)
"""Without it the module is not there, which need not be."""


@pytest.mark.req("REQ-GATE-02")
def test_what_is_converted_passes_without_a_finding(images: dict[str, Sample]) -> None:
    assert set(images) >= {"VOLUME 0", "VOLUME 1", "VOLUME 2", "THUMBNAIL", "LABEL", "OVERVIEW"}
    for name, sample in images.items():
        assert judged(sample.encoded()).findings == (), name


def test_annotations_and_reports_of_another_library_pass(
    annotations: Sample, report: Sample
) -> None:
    for sample in (annotations, report):
        assert judged(sample.encoded()).findings == ()


def demanded(sample: Sample) -> Iterator[tuple[Item, Requirement]]:
    """Yield all that an object has because the standard demands it."""
    node = iod_of(sample.dataset.SOPClassUID)
    assert node is not None
    for item, below in known(Item(sample.dataset), node):
        for requirement in below.requirements:
            if requirement.keyword in item and (
                requirement.condition is None or requirement.condition(item)
            ):
                yield item, requirement


@pytest.mark.req("REQ-WSI-02", "REQ-GATE-01")
@pytest.mark.parametrize("kind", ["image", "LABEL", "annotations", "report"])
def test_each_attribute_that_the_standard_demands_is_missed_by_name(
    kind: str, request: pytest.FixtureRequest, images: dict[str, Sample]
) -> None:
    sample: Sample = images.get(kind) or request.getfixturevalue(kind)
    places = [
        (item.place, requirement)
        for item, requirement in demanded(sample)
        if requirement.keyword not in UID_OF_THE_OBJECT + MODULES_OF_ONE
    ]
    assert len(places) > 40
    for place, requirement in places:
        dataset = without(sample.dataset, place, requirement.keyword)
        verdict = examine(dataset, sample.transfer_syntax)
        found = {finding.message.split()[0]: finding for finding in verdict.findings}
        finding = found.get(f"{place}{requirement.keyword}")
        assert finding is not None, (place, requirement, verdict.findings)
        assert finding.action
        if requirement.type == "2":
            assert finding.severity is Severity.REPAIR
        elif finding.severity is Severity.REPAIR:
            assert requirement.keyword in ("ImagedVolumeDepth", "SliceThickness")
        else:
            assert verdict.outcome is Outcome.HELD


def without(dataset: Dataset, place: str, keyword: str) -> Dataset:
    """Return a copy from which one attribute is gone."""
    dataset = copy.deepcopy(dataset)
    item = dataset
    for step in filter(None, place.split(".")):
        sequence, _, number = step.rstrip("]").partition("[")
        item = item[sequence].value[int(number)]
    del item[keyword]
    return dataset


@pytest.mark.parametrize("keyword", UID_OF_THE_OBJECT)
def test_an_object_without_its_own_uids_is_held(image: Sample, keyword: str) -> None:
    verdict = examine(without(image.dataset, "", keyword), image.transfer_syntax)
    assert verdict.outcome is Outcome.HELD
    assert any(finding.message.startswith(keyword) for finding in verdict.findings)


def test_an_attribute_of_type_1_without_a_value_is_as_good_as_missing(image: Sample) -> None:
    for value in ("", "  ", None):
        dataset = copy.deepcopy(image.dataset)
        dataset.ContainerIdentifier = value
        verdict = examine(dataset, image.transfer_syntax)
        assert [one.message for one in verdict.findings] == [
            "ContainerIdentifier has no value; it is of type 1."
        ]


def test_every_condition_is_of_an_attribute_that_the_tables_have() -> None:
    from gateway.dicom.gate import conditions

    listed = set[tuple[str, str]]()
    for sop_class in ("1.2.840.10008.5.1.4.1.1.77.1.6", "1.2.840.10008.5.1.4.1.1.91.1"):
        listed |= set(_pairs(iod_of(sop_class), ""))
    listed |= set(_pairs(iod_of("1.2.840.10008.5.1.4.1.1.88.34"), ""))
    conditioned = {
        (sequence, keyword)
        for sequence, table in conditions._CONDITIONS.items()
        for keyword in table
    }
    # The macros of content items and observers are shared by sequences that have a part of them.
    macros = {*conditions._CONTEXT, *conditions._REPORT}
    assert {(s, k) for s, k in conditioned - listed if k not in macros} == set()


def _pairs(node: Node | None, sequence: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    assert node is not None
    for requirement in node.requirements:
        assert keyword_for_tag(requirement.tag) == requirement.keyword
        yield sequence, requirement.keyword
    for tag, child in node.children.items():
        if depth < 8:
            yield from _pairs(child, keyword_for_tag(tag), depth + 1)


# -- objects that others made


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("dicom_wsi/cytomine_wsi_0.dcm", Outcome.PASSED),
        ("dicom_wsi/cytomine_wsi_1.dcm", Outcome.PASSED),
        ("dicom_wsi/cytomine_wsi_2.dcm", Outcome.PASSED),
        ("dicom_wsi/cytomine_wsi_3.dcm", Outcome.PASSED),
        ("dicom_wsi/highdicom_sm_image.dcm", Outcome.PASSED),
        ("dicom_ann/highdicom_sm_annotations.dcm", Outcome.PASSED),
        ("dicom_sr/highdicom_sr_document.dcm", Outcome.PASSED),
        ("dicom_sr/highdicom_sr_document_with_multiple_groups.dcm", Outcome.PASSED),
    ],
)
def test_real_objects_get_the_verdict_that_they_deserve(name: str, outcome: Outcome) -> None:
    path: Path = SHARED / name
    if not path.exists():
        pytest.skip("the folder with real objects is not beside the project")
    assert judged(path.read_bytes()).outcome is outcome
