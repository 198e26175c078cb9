"""What will be written: instances and UIDs of a slide. Pure: no file is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import inf

from converters.header import RECIPE, Identity, header
from converters.sources import ScannedSlide, SlideImage
from gateway.core.errors import Conflict, InvalidInput, SpacingUnknown
from gateway.core.instances import Flavour, InstanceKey, LinkedFile, Signature, derive_uid
from gateway.core.ports import PlannedInstance, SlidePlan
from gateway.dicom.attributes import indexed_attributes
from gateway.dicom.part10 import encode_header


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
    digest = slide.fingerprint
    if not own:
        digest = hashlib.sha256(f"{digest} spacing {spacing_um!r}".encode()).hexdigest()
    study = derive_uid("study", digest)
    series = derive_uid("series", study, digest, RECIPE)
    identity = Identity(slide, digest, study, series, spacing_um, not own)
    instances = tuple(
        _instance(identity, image, role, number)
        for number, (role, image) in enumerate(_roles(slide.images), 1)
    )
    file = LinkedFile(path, slide.fingerprint, signature)
    return SlidePlan(file, digest, study, series, instances)


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
    sop_instance = derive_uid("instance", identity.study, identity.digest, role, RECIPE)
    dataset = header(identity, image, sop_instance, number)
    return PlannedInstance(
        key=InstanceKey(identity.study, identity.series, sop_instance),
        transfer_syntax=image.transfer_syntax,
        header=encode_header(dataset, image.transfer_syntax),
        attributes=indexed_attributes(dataset, image.transfer_syntax),
        frames=image.frames,
        built=image.built,
    )
