"""Slidegate: a DICOM gateway for digital pathology."""

__version__ = "0.1.0"
