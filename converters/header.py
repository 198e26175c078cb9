"""The header of an instance: what a slide and its identity become as attributes. Pure.

Headers contain no clock and no later knowledge, so that the same slide gives the same bytes
everywhere. What the source does not state stays empty; where the standard demands a value
nevertheless (type 1), it is one of the constants named here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from converters.sources import Fluorescence, LossyStep, ScannedSlide, SlideImage
from converters.worklist.metadata import Description, describe_slide, describe_study
from gateway.core.geometry import PixelMatrix, View
from gateway.core.instances import (
    JPEG_2000,
    JPEG_BASELINE,
    VL_WHOLE_SLIDE_MICROSCOPY,
    FileFacts,
    Flavour,
    derive_uid,
)
from gateway.dicom.attributes import UNKNOWN_DATE
from gateway.dicom.geometry import NOMINAL_THICKNESS_MM, write_matrix, write_origin
from gateway.dicom.images.icc import is_rgb_profile, srgb_profile

RECIPE = "2"
"""Version of everything that decides about a header's bytes; part of Series and SOP UIDs."""

RESAMPLED_BY_SCANNER = "Sampled down from the scan by the scanner's software, not by Slidegate."
"""Derivation of lower levels and thumbnails (PS3.3 C.12.4.1.1). No source image is named: the
scanner derived them before any DICOM instance was there."""

RESAMPLED_BEFORE_DECODING = (
    "Sampled down from the scan by the scanner's software or, where it stored no such level, by "
    "the library that decoded it."
)
RECOMPRESSED = "Decoded, and compressed again with loss."

_IMAGE_TYPE = {
    Flavour.VOLUME: ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
    Flavour.THUMBNAIL: ["DERIVED", "PRIMARY", "THUMBNAIL", "RESAMPLED"],
    Flavour.LABEL: ["ORIGINAL", "PRIMARY", "LABEL", "NONE"],
    Flavour.OVERVIEW: ["ORIGINAL", "PRIMARY", "OVERVIEW", "NONE"],
}
_LONGEST_TEXT = 1024  # characters of VR ST
_METHODS = {JPEG_BASELINE: "ISO_10918_1", JPEG_2000: "ISO_15444_1"}
_RESAMPLED = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What all instances of a slide share.

    Parameters
    ----------
    slide
        The scanner's file as read.
    digest
        Of the fingerprint and of what the operator stated; all UIDs derive from it.
    study, series
        UIDs.
    base
        Where the base level lies on the slide; the others of its pyramid show the same area.
    remarks
        Sentences for the provenance: what the operator stated, and what was assumed.
    facts
        What the file says that a worklist may complete.
    description
        What a worklist says of the slide, or None.
    """

    slide: ScannedSlide
    digest: str
    study: str
    series: str
    base: PixelMatrix
    remarks: tuple[str, ...]
    facts: FileFacts
    description: Description | None


def header(identity: Identity, image: SlideImage, sop_instance: str, number: int) -> Dataset:
    """Return all attributes of one instance but its pixel data.

    Parameters
    ----------
    sop_instance
        Its SOP Instance UID.
    number
        Instance Number, from 1; the base level is 1.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = VL_WHOLE_SLIDE_MICROSCOPY
    dataset.SOPInstanceUID = sop_instance
    dataset.InstanceNumber = number
    dataset.ImageType = _image_type(identity.slide, image, number)
    _derivation(dataset, identity.slide, image)
    _identify(dataset, identity)
    _provenance(dataset, identity)
    _time(dataset, identity.slide.facts.acquired)
    _pixels(dataset, image)
    _matrix(dataset, identity, image)
    _optical_path(dataset, identity)
    return dataset


def _image_type(slide: ScannedSlide, image: SlideImage, number: int) -> list[str]:
    """Return Image Type; a base level that lost something when it was encoded is derived."""
    if image.flavour is not Flavour.VOLUME:
        return _IMAGE_TYPE[image.flavour]
    if number > 1:
        return _RESAMPLED
    if _recompressed(slide, image):
        return ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    return _IMAGE_TYPE[image.flavour]


def _recompressed(slide: ScannedSlide, image: SlideImage) -> bool:
    """Whether the pixels are not those that the scanner stored: they were coded with loss again."""
    return bool(slide.encoder) and image.lossy and image.built is not None


def _derivation(dataset: Dataset, slide: ScannedSlide, image: SlideImage) -> None:
    """Say how an image came from another (PS3.3 C.7.6.1.1.3, CID 7203)."""
    told, codes = [], []
    if "RESAMPLED" in dataset.ImageType:
        told.append(RESAMPLED_BEFORE_DECODING if slide.encoder else RESAMPLED_BY_SCANNER)
        codes.append(_code("113085", "DCM", "Spatial resampling"))
    if _recompressed(slide, image):
        told.append(RECOMPRESSED)
        codes.append(_code("113040", "DCM", "Lossy Compression"))
    if told:
        dataset.DerivationDescription = " ".join(told)
        dataset.DerivationCodeSequence = codes


def _identify(dataset: Dataset, identity: Identity) -> None:
    """Say whose slide it is as far as a worklist does: a scanner's file is no source for it."""
    dataset.StudyInstanceUID = identity.study
    dataset.SeriesInstanceUID = identity.series
    dataset.AcquisitionUID = derive_uid("acquisition", identity.digest)
    dataset.Modality = "SM"
    dataset.SeriesNumber = 1
    dataset.AcquisitionContextSequence = []
    describe_study(dataset, identity.description)
    describe_slide(dataset, identity.description, identity.facts, identity.digest)


def _provenance(dataset: Dataset, identity: Identity) -> None:
    """Contributing Equipment: us, by the recipe that decides about every byte.

    A release that writes the same bytes writes the same header; where bytes change, the recipe
    does, and UIDs with it.
    """
    facts = identity.slide.facts
    gateway = Dataset()
    gateway.PurposeOfReferenceCodeSequence = [_code("109103", "DCM", "Modifying Equipment")]
    gateway.Manufacturer = "Slidegate"
    gateway.ManufacturerModelName = "slidegate"
    gateway.SoftwareVersions = f"recipe {RECIPE}"
    remarks = ["Encapsulated from the scanner's file; pyramid levels are the scanner's own."]
    if identity.slide.encoder:
        remarks = [f"Decoded from the scanner's files and encoded by {identity.slide.encoder}."]
    if not _own_profile(identity):
        kind = (
            "no ICC profile" if identity.slide.icc_profile is None else "no ICC profile of R, G, B"
        )
        remarks.append(f"The file has {kind}; sRGB was assumed.")
    if facts.acquired is None:
        remarks.append("The file states no date; 1900-01-01 stands for unknown.")
    # What the file lacks comes first: it must not be what a long text loses.
    sentences = " ".join([*facts.remarks, *remarks, *identity.remarks])
    gateway.ContributionDescription = sentences[:_LONGEST_TEXT]
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
    if steps := _lossy_steps(image):
        dataset.LossyImageCompressionRatio = [f"{step.ratio:.2f}" for step in steps]
        dataset.LossyImageCompressionMethod = [step.method for step in steps]
    dataset.LossyImageCompression = "01" if steps else "00"
    label = image.flavour in (Flavour.LABEL, Flavour.OVERVIEW)
    dataset.BurnedInAnnotation = dataset.SpecimenLabelInImage = "YES" if label else "NO"


def _lossy_steps(image: SlideImage) -> list[LossyStep]:
    """Return the compressions with loss that the pixels went through, first to last."""
    if not image.lossy:
        return list(image.earlier)
    tile_bytes = 3 * image.grid.tile_rows * image.grid.tile_columns
    ratio = tile_bytes * len(image.frames) / image.frames.stored_bytes
    return [*image.earlier, LossyStep(_METHODS[image.transfer_syntax], ratio)]


def _matrix(dataset: Dataset, identity: Identity, image: SlideImage) -> None:
    """Total pixel matrix, its place on the slide, functional groups (PS3.3 C.8.12.4, C.8.12.2)."""
    dataset.VolumetricProperties = "VOLUME"
    dataset.FocusMethod = "AUTO"
    dataset.ExtendedDepthOfField = "NO"
    dataset.TotalPixelMatrixFocalPlanes = image.stack.count if image.stack else 1
    dataset.NumberOfOpticalPaths = 1
    dataset.FrameOfReferenceUID = derive_uid("frame of reference", identity.digest)
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"
    dataset.DimensionOrganizationType = "TILED_FULL"
    organization = Dataset()
    organization.DimensionOrganizationUID = derive_uid("dimensions", identity.digest)
    dataset.DimensionOrganizationSequence = [organization]

    shared = Dataset()
    shared.PixelMeasuresSequence = [_measures(dataset, identity, image)]
    frame_type = Dataset()
    frame_type.FrameType = dataset.ImageType
    shared.WholeSlideMicroscopyImageFrameTypeSequence = [frame_type]
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    shared.OpticalPathIdentificationSequence = [path]
    dataset.SharedFunctionalGroupsSequence = [shared]


def _measures(dataset: Dataset, identity: Identity, image: SlideImage) -> Dataset:
    """State where an image lies, and return its pixel measures (PS3.3 C.8.12.14, C.7.6.16.2.1).

    No file tells how large the pixels of a label or an overview are, nor where they lie. Pixel
    Spacing is left out, and the origin, of type 1, is that of the slide: no point of it follows.
    """
    columns, rows = image.grid.matrix_columns, image.grid.matrix_rows
    if image.flavour in (Flavour.VOLUME, Flavour.THUMBNAIL):
        measures = write_matrix(dataset, identity.base.level(columns, rows))
        measures.SliceThickness = NOMINAL_THICKNESS_MM
        dataset.ImagedVolumeDepth = NOMINAL_THICKNESS_MM * 1000
        dataset.PyramidUID = derive_uid("pyramid", identity.digest)
        if stack := image.stack:
            measures.SpacingBetweenSlices = format_number_as_ds(stack.spacing_um / 1000)
            dataset.ImagedVolumeDepth += (stack.count - 1) * stack.spacing_um
            dataset.PyramidUID = derive_uid("pyramid", identity.digest, "focal planes")
        return measures
    dataset.TotalPixelMatrixColumns, dataset.TotalPixelMatrixRows = columns, rows
    write_origin(dataset, (0.0, 0.0), View.LABEL_LEFT.value)
    return Dataset()


def _optical_path(dataset: Dataset, identity: Identity) -> None:
    """Light and filters, the source's colours (PS3.3 C.8.12.5)."""
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    if fluorescence := identity.slide.facts.fluorescence:
        _fluorescence(path, fluorescence)
    else:
        path.IlluminationTypeCodeSequence = [_code("111744", "DCM", "Brightfield illumination")]
        path.IlluminationColorCodeSequence = [_code("414298005", "SCT", "Full Spectrum")]
    own = _own_profile(identity)
    path.ICCProfile = own or srgb_profile()
    if own is None:
        path.ColorSpace = "SRGB"
    if power := identity.slide.facts.objective_power:
        path.ObjectiveLensPower = format_number_as_ds(float(power))
    dataset.OpticalPathSequence = [path]


def _own_profile(identity: Identity) -> bytes | None:
    """Return the colour profile of the file if it is one for its pixels."""
    profile = identity.slide.icc_profile
    return profile if profile and is_rgb_profile(profile) else None


def _fluorescence(path: Dataset, fluorescence: Fluorescence) -> None:
    """Light of one wavelength falls on the specimen, that of another is seen."""
    path.IlluminationTypeCodeSequence = [_code("111743", "DCM", "Epifluorescence illumination")]
    if fluorescence.excitation_nm:
        path.IlluminationWaveLength = fluorescence.excitation_nm
    else:  # one of the two is required; lamps of fluorescence are white before their filters
        path.IlluminationColorCodeSequence = [_code("414298005", "SCT", "Full Spectrum")]
    if fluorescence.emission_nm:
        path.ImagePathFilterPassThroughWavelength = round(fluorescence.emission_nm)
    if fluorescence.filter_set:
        name = "".join(char for char in fluorescence.filter_set if char.isprintable())
        path.OpticalPathDescription = f"Filter set {name[:64]}"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = scheme
    code.CodeMeaning = meaning
    return code
