"""Images whose headers are broken."""

from __future__ import annotations

from pydicom.dataset import Dataset

from tests.dicom.gate.corpus.cases import (
    HELD,
    PASSED,
    REPAIRED,
    dropping,
    header,
    in_first,
    setting,
)


def exchanged_sides(dataset: Dataset) -> None:
    width, height = dataset.ImagedVolumeWidth, dataset.ImagedVolumeHeight
    dataset.ImagedVolumeWidth, dataset.ImagedVolumeHeight = height, width


header("image", HELD, "WSI-TYPE1", "no image type", dropping("ImageType"))
header(
    "image",
    HELD,
    "WSI-TYPE1C",
    "no ICC profile",
    in_first("OpticalPathSequence", dropping("ICCProfile")),
)
header("image", HELD, "WSI-TYPE1", "no specimen", setting("SpecimenDescriptionSequence", []))
header("image", REPAIRED, "TYPE2", "no patient's sex", dropping("PatientSex"))
header("image", REPAIRED, "TYPE2", "no acquisition context", dropping("AcquisitionContextSequence"))
header(
    "image", REPAIRED, "WSI-TILED-FULL", "no organization", dropping("DimensionOrganizationType")
)
header(
    "image",
    REPAIRED,
    "WSI-SLIDE-CORNER",
    "no reference indicator",
    dropping("PositionReferenceIndicator"),
)
header(
    "image",
    REPAIRED,
    "WSI-SLIDE-CORNER",
    "empty reference indicator",
    setting("PositionReferenceIndicator", ""),
)
header(
    "image",
    HELD,
    "WSI-VALUE",
    "reference to a patient's body",
    setting("PositionReferenceIndicator", "STERNAL NOTCH"),
)
header("image", HELD, "WSI-VALUE", "a depth below 0", setting("ImagedVolumeDepth", -4.0))


def signed(dataset: Dataset) -> None:
    signature = Dataset()
    signature.MACIDNumber = 1
    signature.DigitalSignatureUID = "2.25.1"
    signature.DigitalSignatureDateTime = "20260102"
    signature.CertificateType = "X509_1993_SIG"
    signature.CertificateOfSigner = signature.Signature = b"none"
    dataset.DigitalSignaturesSequence = [signature]
    del dataset.PatientSex


header("image", HELD, "ANY-SIGNED", "signed without a sex", signed)
header("image", REPAIRED, "WSI-THICKNESS", "no depth", setting("ImagedVolumeDepth", 0.0))
header(
    "image",
    REPAIRED,
    "WSI-THICKNESS",
    "no thickness",
    in_first(
        "SharedFunctionalGroupsSequence.PixelMeasuresSequence", setting("SliceThickness", "0")
    ),
)
header(
    "image",
    REPAIRED,
    "WSI-NEGATIVE-ZERO",
    "negative zeros",
    setting("ImageOrientationSlide", ["-0.0", "-1", "-0", "-1", "0", "0"]),
)
header(
    "image",
    HELD,
    "WSI-ORIENTATION",
    "orientation of length 2",
    setting("ImageOrientationSlide", ["0", "-2", "0", "-1", "0", "0"]),
)
header(
    "image",
    HELD,
    "WSI-ORIENTATION",
    "orientation of five numbers",
    setting("ImageOrientationSlide", ["0", "-1", "0", "-1", "0"]),
)
header(
    "image", HELD, "WSI-FRAMES", "a matrix of more tiles", setting("TotalPixelMatrixColumns", 1800)
)
header(
    "image",
    HELD,
    "WSI-FRAMES",
    "two focal planes of one",
    setting("TotalPixelMatrixFocalPlanes", 2),
)
header("image", HELD, "WSI-VALUE", "a matrix of nothing", setting("TotalPixelMatrixRows", 0))
header(
    "image",
    HELD,
    "WSI-OPTICAL-PATHS",
    "two optical paths of one",
    setting("NumberOfOpticalPaths", 2),
)
header(
    "image",
    HELD,
    "WSI-OPTICAL-PATHS",
    "an optical path that is not there",
    in_first(
        "SharedFunctionalGroupsSequence.OpticalPathIdentificationSequence",
        setting("OpticalPathIdentifier", "2"),
    ),
)
header(
    "image",
    PASSED,
    "VIEW-OPTICAL-PATH",
    "an optical path with a name",
    lambda dataset: [
        setting("OpticalPathIdentifier", "a")(item)
        for item in (
            dataset.OpticalPathSequence[0],
            dataset.SharedFunctionalGroupsSequence[0].OpticalPathIdentificationSequence[0],
        )
    ],
)
header("image", HELD, "WSI-VALUE", "YBR_FULL", setting("PhotometricInterpretation", "YBR_FULL"))
header("image", HELD, "WSI-VALUE", "planes apart", setting("PlanarConfiguration", 1))
header("image", HELD, "WSI-PIXELS", "seven bits", setting("BitsStored", 7))
header(
    "image",
    HELD,
    "WSI-PIXELS",
    "grey in three samples",
    setting("PhotometricInterpretation", "MONOCHROME2"),
)
header("image", HELD, "WSI-LOSSY", "JPEG without loss", setting("LossyImageCompression", "00"))
header(
    "image",
    HELD,
    "WSI-LOSSY",
    "two methods, one ratio",
    setting("LossyImageCompressionMethod", ["ISO_10918_1", "ISO_15444_1"]),
)
header("image", HELD, "WSI-LABEL", "label in the volume", setting("SpecimenLabelInImage", "YES"))
header("LABEL", HELD, "WSI-LABEL", "label without a label", setting("SpecimenLabelInImage", "NO"))
header(
    "image",
    HELD,
    "WSI-IMAGE-TYPE",
    "image type of three",
    setting("ImageType", ["ORIGINAL", "PRIMARY", "VOLUME"]),
)
header(
    "image",
    HELD,
    "WSI-IMAGE-TYPE",
    "axial image",
    setting("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL", "NONE"]),
)
header(
    "OVERVIEW",
    PASSED,
    "WSI-IMAGE-TYPE",
    "localizer",
    setting("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]),
)
header(
    "image",
    HELD,
    "WSI-VOLUME",
    "sides exchanged",
    exchanged_sides,
)
header(
    "image",
    HELD,
    "WSI-SPACING",
    "spacing of nothing",
    in_first(
        "SharedFunctionalGroupsSequence.PixelMeasuresSequence", setting("PixelSpacing", ["0", "0"])
    ),
)
header(
    "image",
    HELD,
    "WSI-GROUPS",
    "no pixel measures",
    in_first("SharedFunctionalGroupsSequence", dropping("PixelMeasuresSequence")),
)
header(
    "image",
    HELD,
    "WSI-GROUPS",
    "sparse without places",
    setting("DimensionOrganizationType", "TILED_SPARSE"),
)
header("image", HELD, "WSI-VALUE", "modality of a tomograph", setting("Modality", "CT"))
header(
    "image",
    PASSED,
    "VIEW-SPECIMEN-TYPE",
    "specimen of no type",
    in_first("SpecimenDescriptionSequence", dropping("SpecimenTypeCodeSequence")),
)
