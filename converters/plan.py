"""What will be written: instances, UIDs and attributes of a slide. Pure: no file is touched.

Headers contain no clock and no later knowledge, so that the same slide gives the same bytes
everywhere. What the source does not state stays empty; where the standard demands a value
nevertheless (type 1), it is one of the constants named here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from math import inf

from pydicom.dataset import Dataset

from converters.icc import srgb_profile
from converters.sources import ScannedSlide, SlideImage
from gateway.core.errors import Conflict, InvalidInput, SpacingUnknown
from gateway.core.instances import (
    VL_WHOLE_SLIDE_MICROSCOPY,
    Flavour,
    InstanceKey,
    LinkedFile,
    Signature,
    derive_uid,
)
from gateway.core.ports import PlannedInstance, SlidePlan
from gateway.dicom.attributes import indexed_attributes
from gateway.dicom.part10 import encode_header

RECIPE = "1"
"""Version of everything that decides about a header's bytes; part of Series and SOP UIDs."""

UNKNOWN = "unknown"
"""Type 1 text that the source does not state."""

UNKNOWN_DATE = datetime(1900, 1, 1)
"""Type 1 date and time that the source does not state: plainly no day on which a slide was
scanned, and the same everywhere (a clock or a file date would not be)."""

NOMINAL_THICKNESS_MM = 0.004
"""Thickness of a paraffin section as usually cut; no scanner measures it."""

_IMAGE_TYPE = {
    Flavour.VOLUME: ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
    Flavour.THUMBNAIL: ["DERIVED", "PRIMARY", "THUMBNAIL", "RESAMPLED"],
    Flavour.LABEL: ["ORIGINAL", "PRIMARY", "LABEL", "NONE"],
    Flavour.OVERVIEW: ["ORIGINAL", "PRIMARY", "OVERVIEW", "NONE"],
}
_RESAMPLED = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]


@dataclass(frozen=True, slots=True)
class _Context:
    """What all instances of a slide share."""

    slide: ScannedSlide
    identity: str
    study: str
    series: str
    spacing_um: float
    stated: bool


def plan_slide(
    slide: ScannedSlide, path: str, signature: Signature, stated_spacing_um: float | None = None
) -> SlidePlan:
    """Say what instances a slide becomes.

    Parameters
    ----------
    slide
        The scanner's file as read.
    path, signature
        Where it lies, and the state of the file when it was read.
    stated_spacing_um
        Pixel spacing of the base level in micrometres as the operator states it. It becomes part
        of the identity: other spacing, other UIDs.

    Raises
    ------
    SpacingUnknown
        If neither the file nor the operator states the spacing.
    Conflict
        If they state different ones.
    InvalidInput
        If the stated spacing is no positive number.
    """
    if stated_spacing_um is not None and not 0 < stated_spacing_um < inf:
        raise InvalidInput(f"A pixel spacing of {stated_spacing_um} micrometres cannot be.")
    own = slide.facts.spacing_um
    spacing_um = own or stated_spacing_um
    if spacing_um is None:
        raise SpacingUnknown(
            f"{path} does not state its pixel spacing (MPP). Find it out and state it in "
            "micrometres with --mpp; it is never guessed."
        )
    if own and stated_spacing_um and abs(own - stated_spacing_um) > 1e-9:
        raise Conflict(
            f"{path} states a pixel spacing of {own} micrometres itself; leave --mpp away."
        )
    identity = slide.fingerprint
    if not own:
        identity = hashlib.sha256(f"{identity} spacing {spacing_um!r}".encode()).hexdigest()
    study = derive_uid("study", identity)
    series = derive_uid("series", study, identity, RECIPE)
    context = _Context(slide, identity, study, series, spacing_um, not own)
    instances = tuple(
        _instance(context, image, role, number)
        for number, (role, image) in enumerate(_roles(slide.images), 1)
    )
    file = LinkedFile(path, slide.fingerprint, signature)
    return SlidePlan(file, identity, study, series, instances)


def _roles(images: tuple[SlideImage, ...]) -> Iterator[tuple[str, SlideImage]]:
    """Name each image: VOLUME 0 is the base level."""
    volumes = 0
    for image in images:
        if image.flavour is Flavour.VOLUME:
            yield f"VOLUME {volumes}", image
            volumes += 1
        else:
            yield image.flavour.value, image


def _instance(context: _Context, image: SlideImage, role: str, number: int) -> PlannedInstance:
    sop_instance = derive_uid("instance", context.study, context.identity, role, RECIPE)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = VL_WHOLE_SLIDE_MICROSCOPY
    dataset.SOPInstanceUID = sop_instance
    dataset.InstanceNumber = number
    base = role == "VOLUME 0"
    dataset.ImageType = (
        _RESAMPLED if image.flavour is Flavour.VOLUME and not base else _IMAGE_TYPE[image.flavour]
    )
    _patient_and_study(dataset, context)
    _equipment(dataset, context)
    _time(dataset, context.slide.facts.acquired)
    _pixels(dataset, image)
    _matrix(dataset, context, image)
    _optical_path(dataset, context)
    _specimen(dataset, context)
    if image.flavour is Flavour.LABEL:
        dataset.BarcodeValue = _long_string(context.slide.facts.barcode)
        dataset.LabelText = ""
    return PlannedInstance(
        key=InstanceKey(context.study, context.series, sop_instance),
        transfer_syntax=image.transfer_syntax,
        header=encode_header(dataset, image.transfer_syntax),
        attributes=indexed_attributes(dataset, image.transfer_syntax),
        frames=image.frames,
        built=image.built,
    )


def _patient_and_study(dataset: Dataset, context: _Context) -> None:
    """Leave who and what order empty: a scanner's file is no source for them."""
    dataset.StudyInstanceUID = context.study
    dataset.SeriesInstanceUID = context.series
    dataset.AcquisitionUID = derive_uid("acquisition", context.identity)
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
    ):
        setattr(dataset, keyword, None)
    dataset.Modality = "SM"
    dataset.SeriesNumber = 1


def _equipment(dataset: Dataset, context: _Context) -> None:
    facts = context.slide.facts
    dataset.Manufacturer = facts.manufacturer
    dataset.ManufacturerModelName = _long_string(facts.model) or UNKNOWN
    dataset.DeviceSerialNumber = _long_string(facts.serial_number) or UNKNOWN
    dataset.SoftwareVersions = _long_string(facts.software) or UNKNOWN
    gateway = Dataset()
    gateway.PurposeOfReferenceCodeSequence = [_code("109103", "DCM", "Modifying Equipment")]
    gateway.Manufacturer = "Slidegate"
    gateway.ManufacturerModelName = "slidegate"
    gateway.SoftwareVersions = f"recipe {RECIPE}"
    remarks = ["Encapsulated from the scanner's file; pyramid levels are the scanner's own."]
    if context.stated:
        remarks.append(f"Pixel spacing of {context.spacing_um} um was stated by the operator.")
    if context.slide.icc_profile is None:
        remarks.append("The file has no ICC profile; sRGB was assumed.")
    if facts.acquired is None:
        remarks.append("The file states no date; 1900-01-01 stands for unknown.")
    gateway.ContributionDescription = " ".join(remarks)
    dataset.ContributingEquipmentSequence = [gateway]


def _time(dataset: Dataset, acquired: datetime | None) -> None:
    moment = acquired or UNKNOWN_DATE
    dataset.AcquisitionDateTime = moment.strftime("%Y%m%d%H%M%S")
    dataset.ContentDate = moment.strftime("%Y%m%d")
    dataset.ContentTime = moment.strftime("%H%M%S")
    if moment.tzinfo:
        dataset.TimezoneOffsetFromUTC = moment.strftime("%z")


def _pixels(dataset: Dataset, image: SlideImage) -> None:
    """Image Pixel and lossy history (PS3.3 C.7.6.3, C.7.6.1.1.5, C.8.12.4)."""
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = image.photometric_interpretation
    dataset.PlanarConfiguration = 0
    dataset.NumberOfFrames = len(image.frames)
    dataset.Rows = image.grid.tile_rows
    dataset.Columns = image.grid.tile_columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.LossyImageCompression = "01" if image.lossy else "00"
    if image.lossy:
        tile_bytes = 3 * image.grid.tile_rows * image.grid.tile_columns
        ratio = tile_bytes * len(image.frames) / float(image.frames.frame_lengths.sum())
        dataset.LossyImageCompressionRatio = f"{ratio:.2f}"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
    label = image.flavour in (Flavour.LABEL, Flavour.OVERVIEW)
    dataset.BurnedInAnnotation = dataset.SpecimenLabelInImage = "YES" if label else "NO"


def _matrix(dataset: Dataset, context: _Context, image: SlideImage) -> None:
    """Total pixel matrix, its place on the slide, functional groups (PS3.3 C.8.12.4, C.8.12.2)."""
    grid, base = image.grid, context.slide.images[0].grid
    width_mm = base.matrix_columns * context.spacing_um / 1000
    height_mm = base.matrix_rows * context.spacing_um / 1000
    dataset.VolumetricProperties = "VOLUME"
    dataset.FocusMethod = "AUTO"
    dataset.ExtendedDepthOfField = "NO"
    dataset.TotalPixelMatrixColumns = grid.matrix_columns
    dataset.TotalPixelMatrixRows = grid.matrix_rows
    dataset.TotalPixelMatrixFocalPlanes = 1
    dataset.NumberOfOpticalPaths = 1
    dataset.FrameOfReferenceUID = derive_uid("frame of reference", context.identity)
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"
    # Columns run against the slide's Y, rows against its X: the usual view, label to the left.
    # The corner of the matrix that is nearest to the slide's corner is put there.
    dataset.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = _decimal(height_mm)
    origin.YOffsetInSlideCoordinateSystem = _decimal(width_mm)
    dataset.TotalPixelMatrixOriginSequence = [origin]

    dataset.DimensionOrganizationType = "TILED_FULL"
    organization = Dataset()
    organization.DimensionOrganizationUID = derive_uid("dimensions", context.identity)
    dataset.DimensionOrganizationSequence = [organization]

    shared = Dataset()
    measures = Dataset()
    if image.flavour in (Flavour.VOLUME, Flavour.THUMBNAIL):
        dataset.PyramidUID = derive_uid("pyramid", context.identity)
        dataset.ImagedVolumeWidth = width_mm
        dataset.ImagedVolumeHeight = height_mm
        dataset.ImagedVolumeDepth = NOMINAL_THICKNESS_MM * 1000
        measures.SliceThickness = NOMINAL_THICKNESS_MM
        measures.PixelSpacing = [
            _decimal(height_mm / grid.matrix_rows),
            _decimal(width_mm / grid.matrix_columns),
        ]
    shared.PixelMeasuresSequence = [measures]
    frame_type = Dataset()
    frame_type.FrameType = dataset.ImageType
    shared.WholeSlideMicroscopyImageFrameTypeSequence = [frame_type]
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    shared.OpticalPathIdentificationSequence = [path]
    dataset.SharedFunctionalGroupsSequence = [shared]


def _optical_path(dataset: Dataset, context: _Context) -> None:
    """Bright field, white light, the source's colours (PS3.3 C.8.12.5)."""
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.IlluminationTypeCodeSequence = [_code("111744", "DCM", "Brightfield illumination")]
    path.IlluminationColorCodeSequence = [_code("414298005", "SCT", "Full Spectrum")]
    path.ICCProfile = context.slide.icc_profile or srgb_profile()
    if context.slide.icc_profile is None:
        path.ColorSpace = "SRGB"
    if power := context.slide.facts.objective_power:
        path.ObjectiveLensPower = _decimal(power)
    dataset.OpticalPathSequence = [path]


def _specimen(dataset: Dataset, context: _Context) -> None:
    """Specimen (PS3.3 C.7.6.22): the slide by its barcode, else by what the fingerprint gives."""
    identifier = _long_string(context.slide.facts.barcode) or f"SG-{context.identity[:16].upper()}"
    dataset.ContainerIdentifier = identifier
    dataset.IssuerOfTheContainerIdentifierSequence = []
    dataset.ContainerTypeCodeSequence = [_code("433466003", "SCT", "Microscope slide")]
    dataset.AcquisitionContextSequence = []
    specimen = Dataset()
    specimen.SpecimenIdentifier = identifier
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    specimen.SpecimenUID = derive_uid("specimen", context.identity)
    specimen.SpecimenTypeCodeSequence = [_code("1179252003", "SCT", "Slide")]
    specimen.SpecimenPreparationSequence = []
    dataset.SpecimenDescriptionSequence = [specimen]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = scheme
    code.CodeMeaning = meaning
    return code


def _decimal(value: float) -> str:
    """Return a decimal string of at most 16 characters with all the digits that fit (PS3.5 6.2)."""
    for digits in range(17, 5, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            break
    return text


def _long_string(text: str | None) -> str:
    """Return text that fits VR LO: no backslash, no control characters, 64 characters."""
    kept = "".join(char for char in text or "" if char.isprintable() and char != "\\")
    return kept.strip()[:64]
