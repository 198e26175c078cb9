"""Whose slide it is: what a file says of itself, who says the rest, and how it is corrected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.instances import Instance, LinkedFile


@dataclass(frozen=True, slots=True)
class Patient:
    """Who a study is of, as far as telling people apart needs it.

    Parameters
    ----------
    identifier
        Patient ID, or empty.
    issuer
        Who issued it, or empty.
    name
        Without the difference of case; it tells people apart only where there is no identifier.
    """

    identifier: str
    issuer: str
    name: str

    def is_other_than(self, patient: Patient) -> bool:
        """Whether the two cannot be one person; an issuer that is not said contradicts none."""
        if self.identifier or patient.identifier:
            issuers = {self.issuer, patient.issuer} - {""}
            return self.identifier != patient.identifier or len(issuers) > 1
        return self.name != patient.name


@dataclass(frozen=True, slots=True)
class QuarantinedSlide:
    """A slide that waits until it is known whose it is; no door shows it.

    Parameters
    ----------
    file
        The scanner's file.
    barcode
        What the scanner read from the label.
    reason
        Why no row of the worklist matched, for people.
    at
        When it was last tried, in seconds since the epoch.
    stated_spacing_um
        Pixel spacing that the operator stated.
    """

    file: LinkedFile
    barcode: str | None
    reason: str
    at: float
    stated_spacing_um: float | None


class CorrectionKind(StrEnum):
    """What was wrong."""

    DETAILS = "details"
    """Same person and study, written or filed wrongly: UIDs stay."""

    IDENTITY = "identity"
    """Another person or study: the old instances are rejected, new ones have new UIDs."""


@dataclass(frozen=True, slots=True)
class Correction:
    """That something was corrected after it was released; never changed or removed.

    Parameters
    ----------
    kind
        What was wrong.
    study
        Study Instance UID that was corrected.
    new_study
        Study Instance UID from then on; the same for details.
    fingerprint
        Of the slide; None if the study has none.
    actor
        Who did it.
    reason
        Why, for people.
    at
        When, in seconds since the epoch.
    keywords
        What was changed.
    """

    kind: CorrectionKind
    study: str
    new_study: str
    fingerprint: str | None
    actor: str
    reason: str
    at: float
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Revision:
    """A header that takes the place of another over the same frames.

    Parameters
    ----------
    before
        The instance as it is.
    after
        The instance as it will be: another header, and other UIDs if it is issued anew.
    attributes
        What the index keeps of the new header.
    """

    before: Instance
    after: Instance
    attributes: Mapping[str, str]
