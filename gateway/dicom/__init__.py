"""Datasets to domain objects and back: pydicom lives here."""
