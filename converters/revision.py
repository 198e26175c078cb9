"""Headers that are written again: the row of a worklist over an instance that is there.

What is decided by the scanner's file stays as it was written; what says whose slide it is comes
from the row, exactly as it would if the slide were added now.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from converters.worklist.metadata import Description, describe_slide, describe_study
from gateway.core.instances import Identified, InstanceKey, Slide, derive_uid
from gateway.dicom.streams.part10 import decode_header, encode_header


@dataclass(frozen=True, slots=True)
class DescribedRow:
    """A row of a worklist; see :class:`gateway.core.ports.WorklistRow`."""

    description: Description

    def rewritten(self, header: bytes, slide: Slide | None) -> bytes:
        """Return a header that says what the row says, under the same UIDs."""
        dataset = self._described(header, slide)
        return encode_header(dataset, dataset.file_meta.TransferSyntaxUID)

    def study(self, slide: Slide, issue: int) -> tuple[str, Identified]:
        """Return the Study Instance UID that the row gives a slide."""
        return self.description.identity(slide.identity, issue)

    def reissued(
        self, header: bytes, slide: Slide, role: str, study: str, issue: int
    ) -> tuple[InstanceKey, bytes]:
        """Return the UIDs and the header of an instance in another study."""
        dataset = self._described(header, slide)
        if "OriginalAttributesSequence" in dataset:
            del dataset.OriginalAttributesSequence  # it tells of another patient
        key = key_of(slide.identity, role, study, slide.recipe, issue)
        dataset.StudyInstanceUID = key.study
        dataset.SeriesInstanceUID = key.series
        dataset.SOPInstanceUID = key.instance
        return key, encode_header(dataset, dataset.file_meta.TransferSyntaxUID)

    def _described(self, header: bytes, slide: Slide | None) -> Dataset:
        dataset = decode_header(header)
        dataset.decode()  # of whatever character set it was
        dataset.SpecificCharacterSet = "ISO_IR 192"
        describe_study(dataset, self.description)
        if slide:
            self.description.refuse_contradiction(slide.facts)
            if dataset.InstanceNumber == 1:  # the base level
                self.description.refuse_another_spacing(dataset)
            describe_slide(dataset, self.description, slide.facts, slide.identity)
        return dataset


def key_of(digest: str, role: str, study: str, recipe: str, issue: int = 0) -> InstanceKey:
    """Derive the UIDs of an instance of a slide in a study.

    Parameters
    ----------
    digest
        Of the fingerprint and of what the operator stated.
    role
        What the instance is among those of the slide: level, flavour.
    recipe
        Version of what decides about bytes besides the slide.
    issue
        How often instances of the slide in that study were rejected.
    """
    again = (issue,) if issue else ()
    series = derive_uid("series", study, digest, recipe, *again)
    return InstanceKey(study, series, derive_uid("instance", study, digest, role, recipe, *again))
