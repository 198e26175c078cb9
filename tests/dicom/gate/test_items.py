"""Sequences that the standard does not name are walked too."""

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from tests.dicom.gate.samples import Sample, judged


def with_sequence(tag: int, sample: Sample) -> bytes:
    inside = Dataset()
    inside.PatientComments = "of a private sequence"

    def change(dataset: Dataset) -> None:
        dataset[tag] = DataElement(tag, "SQ", [inside])

    return sample.changed(change).encoded()


def test_sequences_that_are_private_or_unknown_are_looked_into(image: Sample) -> None:
    before = judged(image.encoded()).findings
    for tag in (0x00091001, 0x00080002):
        assert judged(with_sequence(tag, image)).findings == before
