"""DICOMweb: the HTTP door."""
