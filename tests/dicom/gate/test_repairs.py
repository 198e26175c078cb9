"""Safe repairs, and the record of them."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from gateway import __version__
from gateway.dicom.gate import Outcome, Verdict, examine
from tests.conftest import tool
from tests.dicom.gate.corpus.cases import dropping, in_first, setting, together
from tests.dicom.gate.samples import Sample, judged

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
MEASURES = "SharedFunctionalGroupsSequence.PixelMeasuresSequence"


def repaired(sample: Sample) -> tuple[Verdict, Dataset]:
    """Examine an object that is repaired."""
    verdict = examine(sample.dataset, sample.transfer_syntax, moment=NOON)
    assert verdict.outcome is Outcome.REPAIRED, verdict.findings
    assert verdict.repaired is not None
    return verdict, verdict.repaired


@pytest.mark.req("REQ-GATE-05")
def test_an_object_tells_what_was_repaired_and_keeps_what_was_there(image: Sample) -> None:
    broken = image.changed(
        together(
            dropping("PatientSex"),
            setting("ImageOrientationSlide", ["-0.0", "-1", "0", "-1", "0", "0"]),
            in_first(MEASURES, setting("SliceThickness", "0")),
        )
    )
    verdict, mended = repaired(broken)
    assert {one.rule for one in verdict.findings} == {
        "WSI-TYPE2",
        "WSI-NEGATIVE-ZERO",
        "WSI-THICKNESS",
    }
    assert "PatientSex" in mended
    assert mended.ImageOrientationSlide[0] == 0

    original = mended.OriginalAttributesSequence[-1]
    assert original.ModifyingSystem == "Slidegate"
    assert original.ReasonForTheAttributeModification == "CORRECT"
    assert original.AttributeModificationDateTime == "20260102120000.000000+0000"
    assert "SourceOfPreviousValues" in original
    (before,) = original.ModifiedAttributesSequence
    assert str(before.ImageOrientationSlide[0]) == "-0.0"
    assert before["PatientSex"].is_empty
    shared = before.SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].SliceThickness == 0

    *others, gateway = mended.ContributingEquipmentSequence
    assert others == list(image.dataset.ContributingEquipmentSequence)
    assert gateway.PurposeOfReferenceCodeSequence[0].CodeValue == "109103"
    assert (gateway.Manufacturer, gateway.SoftwareVersions) == ("Slidegate", __version__)
    assert gateway.ContributionDateTime == "20260102120000.000000+0000"
    assert "TYPE2 PatientSex" in gateway.ContributionDescription
    assert "PixelMeasuresSequence[0].SliceThickness" in gateway.ContributionDescription


@pytest.mark.req("REQ-GATE-05")
def test_a_repair_changes_what_it_says_and_the_record_alone(image: Sample) -> None:
    broken = image.changed(dropping("PositionReferenceIndicator"))
    before = broken.dataset.to_json()
    _, mended = repaired(broken)
    assert broken.dataset.to_json() == before
    records = dropping("ContributingEquipmentSequence", "OriginalAttributesSequence")
    records(mended)
    expected = image.changed(dropping("ContributingEquipmentSequence")).dataset
    assert mended.PositionReferenceIndicator == "SLIDE_CORNER"
    assert mended.to_json() == expected.to_json()


@pytest.mark.req("REQ-GATE-05")
def test_what_is_repaired_has_nothing_to_repair(image: Sample) -> None:
    _, mended = repaired(image.changed(dropping("PatientSex", "DimensionOrganizationType")))
    again = examine(mended, image.transfer_syntax)
    assert (again.findings, again.repaired) == ((), None)


def test_the_record_grows_with_each_repair(image: Sample) -> None:
    _, once = repaired(image.changed(dropping("PatientSex")))
    sample = Sample(once, image.frames, image.transfer_syntax)
    _, twice = repaired(sample.changed(dropping("PatientID")))
    assert len(twice.OriginalAttributesSequence) == 2
    assert (
        len(twice.ContributingEquipmentSequence)
        == len(image.dataset.ContributingEquipmentSequence) + 2
    )


def test_what_is_held_is_not_repaired(image: Sample) -> None:
    verdict = examine(
        image.changed(dropping("PatientSex", "ImageType")).dataset, image.transfer_syntax
    )
    assert verdict.outcome is Outcome.HELD
    assert verdict.repaired is None
    assert {one.rule for one in verdict.findings} == {"WSI-TYPE1", "WSI-TYPE2"}


def test_tiled_full_is_not_added_where_it_is_not_certain(image: Sample) -> None:
    missing = dropping("DimensionOrganizationType")
    for doubt in (
        setting("NumberOfFrames", 34),
        setting("DimensionIndexSequence", []),
        setting("PerFrameFunctionalGroupsSequence", []),
        setting("ConcatenationUID", "2.25.1"),
    ):
        verdict = examine(image.changed(together(missing, doubt)).dataset, image.transfer_syntax)
        assert "WSI-TILED-FULL" not in {one.rule for one in verdict.findings}
        assert verdict.outcome is Outcome.HELD


@pytest.mark.parametrize(
    ("depth", "thickness", "becomes"),
    [(0.0, "0.005", (5.0, 0.005)), (6.0, "0", (6.0, 0.006)), (0.0, "0", (4.0, 0.004))],
)
def test_depth_and_thickness_are_of_one_section(
    image: Sample, depth: float, thickness: str, becomes: tuple[float, float]
) -> None:
    broken = image.changed(
        together(
            setting("ImagedVolumeDepth", depth),
            in_first(MEASURES, setting("SliceThickness", thickness)),
        )
    )
    _, mended = repaired(broken)
    measures = mended.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (mended.ImagedVolumeDepth, float(measures.SliceThickness)) == becomes


@pytest.mark.req("REQ-GATE-05")
def test_dciodvfy_finds_no_error_in_what_was_repaired(image: Sample, tmp_path: Path) -> None:
    program = tool("dciodvfy", "dicom3tools")
    broken = image.changed(
        together(
            dropping("PatientSex", "DimensionOrganizationType", "PositionReferenceIndicator"),
            setting("ImagedVolumeDepth", 0.0),
            in_first("SpecimenDescriptionSequence", dropping("SpecimenPreparationSequence")),
        )
    )
    mended = judged(broken.encoded()).repaired
    assert mended is not None
    path = tmp_path / "mended.dcm"
    path.write_bytes(Sample(mended, image.frames, image.transfer_syntax).encoded())
    done = subprocess.run([program, "-new", path], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []
