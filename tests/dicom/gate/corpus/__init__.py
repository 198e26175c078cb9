"""Deliberately broken objects, each with the verdict and the rule that it must get."""

from tests.dicom.gate.corpus import annotations, images, reports, streams, values, viewers
from tests.dicom.gate.corpus.cases import CASES, Case

__all__ = ["CASES", "Case", "annotations", "images", "reports", "streams", "values", "viewers"]
