"""Checks of any DICOMweb server, by requirement: ``python -m conformance.suite URL``."""
