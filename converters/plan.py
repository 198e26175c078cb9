"""What will be written: instances and UIDs of a slide. Pure: no file is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import inf, isclose

from pydicom.dataset import Dataset

from converters.header import RECIPE, Identity, header
from converters.revision import DescribedRow, key_of
from converters.sources import ScannedSlide, SlideImage
from converters.worklist.metadata import Description, describe_study
from gateway.core.blobs import InMemory
from gateway.core.errors import Conflict, Contradicted, InvalidInput, SpacingUnknown
from gateway.core.frames import CropTable
from gateway.core.geometry import Placement
from gateway.core.instances import (
    FileFacts,
    Flavour,
    Identified,
    LinkedFile,
    Signature,
    derive_uid,
)
from gateway.core.ports import PlannedInstance, SlidePlan
from gateway.dicom.attributes import indexed_attributes
from gateway.dicom.streams.part10 import encode_header

_ASSUMED_PLACE = (
    "No place on the slide is stated; it was assumed to begin in the corner of the slide, with the "
    "label to the left."
)


def plan_slide(
    slide: ScannedSlide,
    path: str,
    signature: Signature,
    stated_spacing_um: float | None = None,
    stated_placement: Placement | None = None,
    description: Description | None = None,
    issue: int = 0,
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
    stated_placement
        Where the base level lies on the slide as the operator states it; likewise.
    description
        What a worklist says of the slide; None if nobody said whose it is.
    issue
        See :meth:`converters.worklist.metadata.Description.identity`.

    Raises
    ------
    SpacingUnknown
        If neither the file nor the operator states the spacing.
    Conflict
        If they state different ones, or the worklist contradicts the file.
    InvalidInput
        If the stated spacing is no positive number.
    """
    row_um, column_um = _spacing_um(slide, path, stated_spacing_um, description)
    digest, remarks = slide.fingerprint, []
    if not slide.facts.spacing_um:
        both = _both((row_um, column_um))
        digest = _stated(digest, f"spacing {both}")
        remarks.append(f"Pixel spacing of {both} um was stated by the operator.")
    if description:
        stated_placement = stated_placement or description.placement
    if stated_placement:
        digest = _stated(digest, f"placement {stated_placement.numbers!r}")
        remarks.append("Where the image lies on the slide was stated by the operator.")
    elif not slide.facts.placement:
        remarks.append(_ASSUMED_PLACE)
    facts = _facts(slide)
    study, identified = derive_uid("study", digest), Identified.NONE
    if description:
        description.refuse_contradiction(facts)
        study, identified = description.identity(digest, issue)
    recipe = _recipe(slide)
    series = key_of(digest, "", study, recipe).series
    row = DescribedRow(description) if description else None
    file = LinkedFile(path, slide.fingerprint, signature)
    said = _said(study, description)
    if not slide.images:  # they are to be decoded
        return SlidePlan(file, digest, study, series, (), facts, identified, recipe, row, said)
    grid = slide.images[0].grid
    size = (grid.matrix_columns, grid.matrix_rows)
    placement = stated_placement or slide.facts.placement or Placement.nominal(*size)
    base = placement.matrix(*size, (row_um / 1000, column_um / 1000))
    identity = Identity(slide, digest, study, series, base, tuple(remarks), facts, description)
    instances = tuple(
        _instance(identity, image, role, number)
        for number, (role, image) in enumerate(_roles(slide.images), 1)
    )
    return SlidePlan(file, digest, study, series, instances, facts, identified, recipe, row, said)


def _said(study: str, description: Description | None) -> dict[str, str]:
    """Return what the index keeps of patient and study."""
    dataset = Dataset()
    describe_study(dataset, description)
    dataset.StudyInstanceUID = study
    return indexed_attributes(dataset, "")


def _facts(slide: ScannedSlide) -> FileFacts:
    facts = slide.facts
    return FileFacts(
        barcode=_long_string(facts.barcode),
        manufacturer=_long_string(facts.manufacturer),
        model=_long_string(facts.model),
        serial_number=_long_string(facts.serial_number),
        software=_long_string(facts.software),
    )


def _long_string(text: str | None) -> str | None:
    """Return text that fits VR LO: no backslash, no control characters, 64 characters."""
    kept = "".join(char for char in text or "" if char.isprintable() and char != "\\")
    return kept.strip()[:64] or None


def _spacing_um(
    slide: ScannedSlide, path: str, stated_um: float | None, description: Description | None
) -> tuple[float, float]:
    """Return row and column spacing of the base level, if all who state them agree."""
    if stated_um is not None and not 0 < stated_um < inf:
        raise InvalidInput(f"A pixel spacing of {stated_um} micrometres cannot be.")
    own = slide.facts.spacing_um
    if own and stated_um and max(abs(spacing - stated_um) for spacing in own) > 1e-9:
        raise Conflict(
            f"{path} states a pixel spacing of {_both(own)} micrometres itself; leave --mpp away."
        )
    known = own or (stated_um and (stated_um, stated_um))
    listed = description and description.spacing_um
    if description and known and listed and not all(map(_close, known, listed)):
        raise Contradicted(
            f"{description.row.place}, pixel_spacing (spacing_um): {path} has a pixel spacing of "
            f"{_both(known)} micrometres. Is the row of this slide?"
        )
    if not (found := known or listed):
        raise SpacingUnknown(
            f"{path} does not state its pixel spacing (MPP). Find it out and state it in "
            "micrometres with --mpp; it is never guessed."
        )
    return found


def _close(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=1e-6)


def _both(spacing_um: tuple[float, float]) -> str:
    """Return row and column spacing for people; one number if they are the same."""
    return " x ".join(map(str, dict.fromkeys(spacing_um)))


def _stated(digest: str, what: str) -> str:
    """Return the digest of a slide of which the operator stated something."""
    return hashlib.sha256(f"{digest} {what}".encode()).hexdigest()


def _recipe(slide: ScannedSlide) -> str:
    """Return what besides the slide decides about bytes: our version, the encoder's, a choice."""
    return " ".join(filter(None, (RECIPE, slide.encoder, slide.tiling)))


def _made(image: SlideImage) -> list[str]:
    """Return digests of what an image has that the scanner's file has not.

    Another version of a codec may make other bytes; they are another instance then.
    """
    table = image.frames.blocks if isinstance(image.frames, CropTable) else image.frames
    made = [table.literals] if table.literals else []
    if image.earlier and isinstance(image.built, InMemory):
        made.append(image.built.content)
    return [hashlib.sha256(one).hexdigest() for one in made]


def _roles(images: tuple[SlideImage, ...]) -> Iterator[tuple[str, SlideImage]]:
    """Name each image: VOLUME 0 is the base level."""
    volumes = 0
    for image in images:
        if image.flavour is Flavour.VOLUME:
            yield f"VOLUME {volumes}", image
            volumes += 1
        else:
            yield image.flavour.value, image


def _instance(identity: Identity, image: SlideImage, role: str, number: int) -> PlannedInstance:
    role = " ".join((role, *_made(image)))
    key = key_of(identity.digest, role, identity.study, _recipe(identity.slide))
    dataset = header(identity, image, key.instance, number)
    return PlannedInstance(
        key=key,
        transfer_syntax=image.transfer_syntax,
        header=encode_header(dataset, image.transfer_syntax),
        attributes=indexed_attributes(dataset, image.transfer_syntax),
        frames=image.frames,
        built=image.built,
        role=role,
    )
