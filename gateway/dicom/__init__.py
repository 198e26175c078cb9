"""Datasets to domain objects and back: pydicom lives here."""

from pydicom import config

# pydicom would warn of odd values by quoting them, names of patients among them. What is wrong
# with a value is said by the conformance gate.
config.settings.reading_validation_mode = config.IGNORE
