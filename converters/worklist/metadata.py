"""Whose slide it is, as attributes: patient, order, specimen, stain, laboratory, label.

The model and its JSON and DICOM codecs are wsidicom's; they are imported when there is a row to
read. What no row says stays empty: a scanner's file is no source for it.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pydicom.dataset import Dataset
from pydicom.uid import UID

from converters.worklist import Row
from converters.worklist.model import dumped, loaded, refuse_foreign, write_text
from converters.worklist.placement import placement_from
from gateway.core.errors import Conflict, Contradicted
from gateway.core.geometry import Placement
from gateway.core.instances import FileFacts, Flavour, Identified, derive_uid
from gateway.dicom.attributes import UNKNOWN

if TYPE_CHECKING:
    from wsidicom.metadata import Label, Slide, SlideSample
    from wsidicom.metadata.sample import IssuerOfIdentifier, SpecimenIdentifier

STUDY_KEYWORDS: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""What every study has, empty if nobody says it (PS3.3 C.7.1.1, C.7.2.1, type 2)."""

_STUDY_EXTRAS: Final = (
    "IssuerOfPatientID",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "PatientComments",
    "StudyDescription",
    "IssuerOfAccessionNumberSequence",
)
_SLIDE_EXTRAS: Final = (
    "SeriesDescription",
    "BodyPartExamined",
    "InstitutionName",
    "InstitutionalDepartmentName",
)


class Description:
    """What a row of a worklist says, checked and ready to be written.

    Parameters
    ----------
    row
        Of the worklist.

    Attributes
    ----------
    spacing_um
        Row and column spacing of the base level that it states, or None.
    placement
        Where the base level lies on the slide, or None.

    Raises
    ------
    InvalidInput
        If it says what cannot be written; the message names row and field.
    """

    def __init__(self, row: Row) -> None:
        from wsidicom.metadata.schema import dicom, json

        self.row = row
        refuse_foreign(row)
        self._patient = loaded(row, "patient", json.PatientJsonSchema())
        self._study = loaded(row, "study", json.StudyJsonSchema())
        self._series = loaded(row, "series", json.SeriesJsonSchema())
        self._equipment = loaded(row, "equipment", json.EquipmentJsonSchema())
        self._slide: Slide = loaded(row, "slide", json.SlideJsonSchema())
        self._label: Label = loaded(row, "label", json.LabelJsonSchema())
        self.spacing_um, self.placement = self._image()
        self._of_study = dumped(row, "patient", dicom.PatientDicomSchema(), self._patient)
        study = replace(self._study, uid=UID("1.2"))  # asked for; ours is set elsewhere
        self._of_study.update(dumped(row, "study", dicom.StudyDicomSchema(), study))
        del self._of_study.StudyInstanceUID
        self._issue("IssuerOfPatientID", "patient_id_issuer", self._of_study)
        if issuer := row.order.get("accession_number_issuer"):
            self._of_study.IssuerOfAccessionNumberSequence = [_issuer(row, issuer)]
        self._of_slide = Dataset()
        for keyword, text in (
            ("SeriesDescription", self._series.description),
            ("BodyPartExamined", (self._series.body_part_examined or "").upper() or None),
        ):
            write_text(row, self._of_slide, keyword, f"series: {keyword}", text)
        self._issue("InstitutionName", "institution", self._of_slide)
        self._issue("InstitutionalDepartmentName", "department", self._of_slide)

    def identity(self, digest: str, issue: int = 0) -> tuple[str, Identified]:
        """Return the Study Instance UID of a slide, and what it derives from.

        Parameters
        ----------
        digest
            Of the slide.
        issue
            0, or more for a study beside the one that is another patient's by mistake; nothing to
            an order that has a UID of its own.

        Raises
        ------
        InvalidInput
            If there is an accession number that nobody issued: two laboratories may use the same.
        """
        study, identified = self._order(digest)
        if issue and identified is not Identified.ORDER:
            study = derive_uid("study", study, issue)
        return study, identified

    def _order(self, digest: str) -> tuple[str, Identified]:
        if self._study.uid is not None:
            return str(self._study.uid), Identified.ORDER
        if accession := self._study.accession_number:
            if not (issuer := self.row.order.get("accession_number_issuer")):
                raise self.row.fault(
                    "accession_number_issuer (accession_issuer): it is needed beside an accession "
                    "number, because other laboratories may use the same number. State it, or the "
                    "order's Study Instance UID."
                )
            return derive_uid("study", "accession", issuer, accession), Identified.ACCESSION
        return derive_uid("study", digest), Identified.SLIDE

    def refuse_contradiction(self, facts: FileFacts) -> None:
        """Compare with what the scanner's file says.

        Raises
        ------
        Conflict
            If they differ.
        """
        for field, ours, theirs in (
            ("match.barcode", self.row.match.get("barcode"), facts.barcode),
            ("label.barcode", self._label.barcode, facts.barcode),
            ("match.serial_number", self.row.match.get("serial_number"), facts.serial_number),
            (
                "equipment.device_serial_number (serial_number)",
                self._equipment.device_serial_number,
                facts.serial_number,
            ),
        ):
            if ours and theirs and ours.strip() != theirs.strip():
                raise Contradicted(
                    f"{self.row.place}, {field}: the file states another. Is the row of this slide?"
                )

    def refuse_another_spacing(self, base: Dataset) -> None:
        """Compare with the pixel spacing that a base level was released with.

        Raises
        ------
        Conflict
            If they differ: it decides where everything lies, and about UIDs.
        """
        if not self.spacing_um:
            return
        (groups,) = base.SharedFunctionalGroupsSequence
        stored_mm = groups.PixelMeasuresSequence[0].PixelSpacing
        for stored, stated in zip(stored_mm, self.spacing_um, strict=True):
            if not math.isclose(1000 * stored, stated, rel_tol=1e-6):
                raise Conflict(
                    f"{self.row.place}, pixel_spacing (spacing_um): the slide is stored with "
                    "another, which cannot be corrected. Is the row of this slide?"
                )

    def of_study(self) -> Dataset:
        """Return the attributes of patient and study."""
        return deepcopy(self._of_study)

    def of_slide(self, facts: FileFacts, digest: str) -> Dataset:
        """Return the attributes of specimen, laboratory and scanner.

        Parameters
        ----------
        facts
            What the file says itself; it is completed, never replaced.
        digest
            Of the slide.
        """
        from wsidicom.metadata.schema import dicom

        dataset = deepcopy(self._of_slide)
        identifier = (
            self._slide.identifier or self.label(facts)[0] or default_identifier(facts, digest)
        )
        samples = [self._sample(sample, digest) for sample in self._samples(identifier)]
        slide = replace(self._slide, identifier=identifier, samples=samples)
        dataset.update(dumped(self.row, "slide", dicom.SlideDicomSchema(), slide))
        stated = self._equipment
        equipment = replace(
            stated,
            manufacturer=facts.manufacturer or stated.manufacturer or UNKNOWN,
            model_name=facts.model or stated.model_name or UNKNOWN,
            device_serial_number=facts.serial_number or stated.device_serial_number or UNKNOWN,
            software_versions=[facts.software] if facts.software else stated.software_versions,
        )
        equipment = replace(equipment, software_versions=equipment.software_versions or [UNKNOWN])
        dataset.update(dumped(self.row, "equipment", dicom.EquipmentDicomSchema(), equipment))
        return dataset

    def label(self, facts: FileFacts) -> tuple[str, str]:
        """Return barcode and text of the label."""
        barcode = facts.barcode or self._label.barcode or self.row.match.get("barcode")
        return barcode or "", self._label.text or ""

    def _image(self) -> tuple[tuple[float, float] | None, Placement | None]:
        """Return row and column spacing of the base level in micrometres, and where it lies."""
        from wsidicom.metadata.schema import json

        image = loaded(self.row, "pyramid.image", json.ImageJsonSchema())
        size, system = image.pixel_spacing, image.image_coordinate_system
        if image != type(image)(pixel_spacing=size, image_coordinate_system=system):
            raise self.row.fault(
                "pyramid.image: only pixel_spacing and image_coordinate_system may be stated."
            )
        if size and not all(_is_number(side) and side > 0 for side in (size.height, size.width)):
            raise self.row.fault("pyramid.image.pixel_spacing: width and height are mm above 0.")
        spacing_um = (1000 * size.height, 1000 * size.width) if size else None
        if system is None:
            return spacing_um, None
        numbers = (system.origin.x, system.origin.y, system.rotation)
        if system.z_offset is not None or not all(map(_is_number, numbers)):
            raise self.row.fault(
                "pyramid.image.image_coordinate_system: origin (x, y in mm) and rotation (degrees) "
                "may be stated."
            )
        return spacing_um, placement_from(system)

    def _samples(self, identifier: str | SpecimenIdentifier) -> list[SlideSample]:
        from wsidicom.metadata import SlideSample

        samples = self._slide.samples or [SlideSample(identifier)]
        if not all(isinstance(sample, SlideSample) for sample in samples):
            raise self.row.fault("slide.samples: each chain of specimens must end on the slide.")
        return list(samples)

    def _sample(self, sample: SlideSample, digest: str) -> SlideSample:
        """Give a specimen its UID, the same wherever the same issuer names it the same."""
        from wsidicom.metadata.sample import SpecimenIdentifier

        if sample.uid is not None:
            return sample
        named = SpecimenIdentifier.get_string_identifier_and_issuer(sample.identifier)
        value, issuer = named
        uid = derive_uid("specimen", issuer, value) if issuer else derive_uid("specimen", digest)
        if not issuer and len(self._slide.samples or ()) > 1:
            uid = derive_uid("specimen", digest, value)
        return replace(sample, uid=UID(uid))

    def _issue(self, keyword: str, field: str, dataset: Dataset) -> None:
        write_text(self.row, dataset, keyword, f"order.{field}", self.row.order.get(field))


def describe_study(dataset: Dataset, description: Description | None) -> None:
    """Write patient and study in place of what the data set says of them; UIDs stay."""
    for keyword in _STUDY_EXTRAS:
        if keyword in dataset:
            delattr(dataset, keyword)
    for keyword in STUDY_KEYWORDS:
        setattr(dataset, keyword, None)
    if description:
        dataset.update(description.of_study())


def describe_slide(
    dataset: Dataset, description: Description | None, facts: FileFacts, digest: str
) -> None:
    """Write specimen, scanner, laboratory and label in place of what the data set says of them.

    Parameters
    ----------
    dataset
        An instance of the slide; its Image Type is set.
    facts
        What the scanner's file says.
    digest
        Of the slide.
    """
    for keyword in _SLIDE_EXTRAS:
        if keyword in dataset:
            delattr(dataset, keyword)
    if description:
        dataset.update(description.of_slide(facts, digest))
    else:
        _equipment(dataset, facts)
        _specimen(dataset, default_identifier(facts, digest), digest)
    if dataset.ImageType[2] == Flavour.LABEL:
        barcode, text = description.label(facts) if description else (facts.barcode or "", "")
        dataset.BarcodeValue, dataset.LabelText = barcode, text


def default_identifier(facts: FileFacts, digest: str) -> str:
    """Return what a slide is called that nobody named: its barcode, else by its fingerprint."""
    return facts.barcode or f"SG-{digest[:16].upper()}"


def _equipment(dataset: Dataset, facts: FileFacts) -> None:
    dataset.Manufacturer = facts.manufacturer or UNKNOWN
    dataset.ManufacturerModelName = facts.model or UNKNOWN
    dataset.DeviceSerialNumber = facts.serial_number or UNKNOWN
    dataset.SoftwareVersions = facts.software or UNKNOWN


def _specimen(dataset: Dataset, identifier: str, digest: str) -> None:
    """Specimen (PS3.3 C.7.6.22) of which nothing but the slide is known."""
    dataset.ContainerIdentifier = identifier
    dataset.IssuerOfTheContainerIdentifierSequence = []
    dataset.ContainerTypeCodeSequence = [_code("433466003", "SCT", "Microscope slide")]
    specimen = Dataset()
    specimen.SpecimenIdentifier = identifier
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    specimen.SpecimenUID = derive_uid("specimen", digest)
    specimen.SpecimenTypeCodeSequence = [_code("1179252003", "SCT", "Slide")]
    specimen.SpecimenPreparationSequence = []
    dataset.SpecimenDescriptionSequence = [specimen]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = scheme
    code.CodeMeaning = meaning
    return code


def _issuer(row: Row, text: str) -> Dataset:
    """Return the issuer of an accession number: a local name, or ``name^universal^type``."""
    from wsidicom.metadata.sample import IssuerOfIdentifier, UniversalIssuerOfIdentifier

    try:
        issuer: IssuerOfIdentifier = IssuerOfIdentifier.from_hl7v2(text)
    except ValueError as error:
        raise row.fault("order.accession_number_issuer: it is no name or name^id^type.") from error
    item = Dataset()
    if isinstance(issuer, UniversalIssuerOfIdentifier):
        item.UniversalEntityID = issuer.identifier
        item.UniversalEntityIDType = issuer.issuer_type.name
        if issuer.local_identifier:
            item.LocalNamespaceEntityID = issuer.local_identifier
    else:
        item.LocalNamespaceEntityID = text
    return item


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
