"""Scanner files as DICOM: a library of its own, without server and database."""
