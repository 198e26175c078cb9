"""What must be equal over the instances of series and studies, and what must not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from gateway.dicom.gate import Finding, Severity, examine_series, summarise
from tests.conftest import tool
from tests.dicom.gate.corpus.cases import dropping, in_first, setting, together
from tests.dicom.gate.samples import Sample

Samples = dict[str, Sample]
Change = Callable[[Dataset], object]


def found_in(samples: Samples) -> dict[str, list[Finding]]:
    """Return what the rules over several instances find, by the name of the instance."""
    names = list(samples)
    found: dict[str, list[Finding]] = {name: [] for name in names}
    for number, finding in examine_series([summarise(one.dataset) for one in samples.values()]):
        found[names[number]].append(finding)
    return found


def rules_by_name(samples: Samples) -> dict[str, set[str]]:
    """Return the rules that find something, by the name of the instance; no empty ones."""
    found = found_in(samples)
    return {name: {one.rule for one in findings} for name, findings in found.items() if findings}


def with_one(samples: Samples, name: str, change: Change) -> Samples:
    """Return the instances, one of them changed."""
    return samples | {name: samples[name].changed(change)}


@pytest.mark.req("REQ-GATE-02", "REQ-GATE-04")
def test_a_converted_slide_with_annotations_and_a_report_goes_together(
    images: Samples, annotations: Sample, report: Sample
) -> None:
    assert rules_by_name(images | {"annotations": annotations, "report": report}) == {}


def dcentvfy(samples: Samples, folder: Path) -> list[str]:
    """Return the errors that dcentvfy finds in the instances together."""
    for name, sample in samples.items():
        (folder / f"{name}.dcm").write_bytes(sample.encoded())
    command = [tool("dcentvfy", "dicom3tools"), *map(str, sorted(folder.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith("Error")]


@pytest.mark.req("REQ-GATE-04")
def test_dcentvfy_finds_nothing_where_the_gate_finds_nothing(
    images: Samples, annotations: Sample, report: Sample, tmp_path: Path
) -> None:
    samples = images | {"annotations": annotations, "report": report}
    assert dcentvfy(samples, tmp_path) == []
    named = {name: one.changed(setting("PatientID", "1")) for name, one in samples.items()}
    assert dcentvfy(named, tmp_path) == []
    assert rules_by_name(named) == {}
    broken = with_one(named, "VOLUME 1", setting("PatientID", "2"))
    assert dcentvfy(broken, tmp_path)
    assert rules_by_name(broken) == {name: {"STUDY-UNEQUAL"} for name in samples}


def test_what_is_known_of_some_instances_only_is_a_warning(images: Samples) -> None:
    found = found_in(with_one(images, "VOLUME 1", setting("PatientID", "1")))
    assert not found["VOLUME 1"]
    for name in set(images) - {"VOLUME 1"}:
        assert [(one.rule, one.severity) for one in found[name]] == [
            ("STUDY-UNEQUAL", Severity.WARNING)
        ]


@pytest.mark.req("REQ-GATE-04")
@pytest.mark.parametrize(
    ("name", "change", "rule"),
    [
        ("VOLUME 1", setting("FrameOfReferenceUID", "2.25.9"), "SERIES-UNEQUAL"),
        ("VOLUME 1", setting("DeviceSerialNumber", "9"), "SERIES-UNEQUAL"),
        ("VOLUME 1", setting("ContainerIdentifier", "9"), "SERIES-SLIDE"),
        ("LABEL", dropping("ContainerIdentifier"), "SERIES-SLIDE"),
        ("LABEL", setting("PatientID", "9"), "STUDY-UNEQUAL"),
        ("LABEL", setting("StudyInstanceUID", "2.25.9"), "SERIES-UNEQUAL"),
    ],
    ids=str,
)
def test_what_contradicts_each_other_is_held_and_told_of_all(
    images: Samples, name: str, change: Change, rule: str
) -> None:
    images = {key: one.changed(setting("PatientID", "1")) for key, one in images.items()}
    found = found_in(with_one(images, name, change))
    for findings in found.values():
        assert [(one.rule, one.severity) for one in findings] == [(rule, Severity.ERROR)]


def same_matrix(sample: Sample) -> Change:
    """Return a change to the size of the total pixel matrix of an image."""
    return together(
        *(
            setting(keyword, sample.dataset[keyword].value)
            for keyword in ("TotalPixelMatrixColumns", "TotalPixelMatrixRows")
        )
    )


@pytest.mark.req("REQ-GATE-04", "REQ-GATE-09")
@pytest.mark.parametrize(
    ("name", "change", "rule", "concerned"),
    [
        ("VOLUME 1", setting("AcquisitionUID", "2.25.9"), "SERIES-ACQUISITION", "all"),
        ("LABEL", dropping("AcquisitionUID"), "SERIES-ACQUISITION", "all"),
        (
            "THUMBNAIL",
            in_first("OpticalPathSequence", dropping("ICCProfile")),
            "SERIES-ICC",
            "THUMBNAIL",
        ),
        (
            "OVERVIEW",
            setting("ImageType", ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]),
            "SERIES-ASSOCIATED",
            "LABEL,OVERVIEW",
        ),
        ("THUMBNAIL", "VOLUME 2", "SERIES-LEVELS", "THUMBNAIL,VOLUME 2"),
        ("VOLUME 1", setting("Rows", 256), "SERIES-TILES", "VOLUME 0,VOLUME 1,VOLUME 2"),
        (
            "VOLUME 1",
            in_first("OpticalPathSequence", setting("OpticalPathIdentifier", "2")),
            "SERIES-OPTICAL-PATHS",
            "THUMBNAIL,VOLUME 0,VOLUME 1,VOLUME 2",
        ),
        (
            "VOLUME 2",
            in_first(
                "SharedFunctionalGroupsSequence.PixelMeasuresSequence",
                setting("PixelSpacing", [0.003, 0.003]),
            ),
            "SERIES-RATIOS",
            "VOLUME 2",
        ),
        (
            "VOLUME 2",
            in_first(
                "TotalPixelMatrixOriginSequence", setting("XOffsetInSlideCoordinateSystem", "9.5")
            ),
            "SERIES-ORIGIN",
            "VOLUME 2",
        ),
    ],
    ids=str,
)
def test_what_breaks_viewers_alone_is_a_warning(
    images: Samples, name: str, change: Change | str, rule: str, concerned: str
) -> None:
    if isinstance(change, str):
        change = same_matrix(images[change])
    found = found_in(with_one(images, name, change))
    expected = set(images) if concerned == "all" else set(concerned.split(","))
    for one, findings in found.items():
        told = [(finding.rule, finding.severity) for finding in findings]
        assert told == ([(rule, Severity.WARNING)] if one in expected else [])


def test_one_instance_for_each_focal_plane_passes(images: Samples) -> None:
    plane = images["VOLUME 0"].changed(setting("SOPInstanceUID", "2.25.901"))
    found = found_in(images | {"plane": plane})
    assert {one.severity for findings in found.values() for one in findings} == {Severity.WARNING}


def test_two_objects_of_one_uid_are_told_of_each_other(images: Samples) -> None:
    found = rules_by_name({"one": images["LABEL"], "two": images["LABEL"]})
    assert found["one"] >= {"STUDY-TWICE", "SERIES-ASSOCIATED"}
    assert found["two"] == found["one"]


def test_parts_of_a_concatenation_are_one_image(images: Samples) -> None:
    def part(number: int) -> Sample:
        change = together(
            setting("SOPInstanceUID", f"2.25.90{number}"),
            setting("ConcatenationUID", "2.25.900"),
            setting("InConcatenationNumber", number),
        )
        return images["VOLUME 0"].changed(change)

    assert rules_by_name({"one": part(1), "two": part(2)}) == {}


@pytest.mark.req("REQ-GATE-06")
def test_what_is_elsewhere_is_a_warning(annotations: Sample, report: Sample) -> None:
    found = found_in({"annotations": annotations, "report": report})
    assert [
        (name, one.rule, one.severity) for name, findings in found.items() for one in findings
    ] == [
        ("annotations", "STUDY-ELSEWHERE", Severity.WARNING),
        ("report", "STUDY-ELSEWHERE", Severity.WARNING),
    ]


def test_slides_of_one_study_are_compared_by_their_patient_alone(images: Samples) -> None:
    def other(dataset: Dataset) -> None:
        dataset.SOPInstanceUID += ".1"
        dataset.SeriesInstanceUID = "2.25.77"
        dataset.FrameOfReferenceUID = "2.25.78"
        dataset.ContainerIdentifier = "B"

    second = {f"second {name}": sample.changed(other) for name, sample in images.items()}
    assert rules_by_name(images | second) == {}
