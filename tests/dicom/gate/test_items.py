"""Sequences that the standard does not name are walked too."""

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from gateway.dicom.gate import Outcome
from tests.dicom.gate.samples import Sample, judged, put, rules


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


def test_padding_of_what_nobody_can_read_is_not_repaired(image: Sample) -> None:
    text = b"Sm\xc3\xb8rrebr\xc3\xb8d\xff\0"
    stream = image.changed(lambda one: put(one, "StudyDescription", "x" * len(text))).encoded()
    verdict = judged(stream.replace(b"x" * len(text), text))
    assert verdict.outcome is Outcome.HELD
    assert "VALUE-PADDING" not in rules(verdict.findings)


def test_padding_of_unknown_elements_is_left_as_it_is(image: Sample) -> None:
    text = b"x" * 9 + b"\0"

    def change(dataset: Dataset) -> None:
        dataset[0x00080002] = DataElement(0x00080002, "LO", "x" * 10)

    assert "VALUE-PADDING" not in rules(
        judged(image.changed(change).encoded().replace(b"x" * 10, text)).findings
    )
