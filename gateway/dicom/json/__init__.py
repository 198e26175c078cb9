"""The DICOM JSON Model (PS3.18 F): what metadata and searches are answered in."""
