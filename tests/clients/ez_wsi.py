"""Reads a slide with ez-wsi-dicomweb, in the environment of that client; prints what it saw.

Run as ``python ez_wsi.py ROOT STUDY SERIES COLUMN ROW WIDTH HEIGHT FILE``: a patch of the base
level goes to FILE as R, G, B bytes, sizes of levels are printed as JSON.
"""

import json
import sys
from pathlib import Path

from ez_wsi_dicomweb import credential_factory, dicom_slide, dicom_web_interface
from ez_wsi_dicomweb.ml_toolkit import dicom_path


def main(root: str, study: str, series: str, *rest: str) -> None:
    *place, file = rest
    interface = dicom_web_interface.DicomWebInterface(credential_factory.NoAuthCredentialsFactory())
    path = dicom_path.FromString(f"{root}/studies/{study}/series/{series}")
    slide = dicom_slide.DicomSlide(interface, path)
    levels = list(slide.levels)
    base = max(levels, key=lambda level: level.width)
    patch = slide.get_patch(base, *map(int, place))
    Path(file).write_bytes(patch.image_bytes().tobytes())
    sizes = sorted(((level.width, level.height) for level in levels), reverse=True)
    print(json.dumps({"levels": sizes, "profile": slide.get_icc_profile_bytes().hex()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
