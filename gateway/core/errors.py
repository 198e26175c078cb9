"""The one error tree.

::

    GatewayError                    500   0110
      BlobMissing                   500   0110
      InvalidInput                  400   C000
        BrokenOff                   400   C000
        InvalidUid                  400   C000
        InvalidQuery                400   C000
        InvalidGeometry             422   C000
      Forbidden                     403   0124
      NotFound                      404   0112
        FrameNotFound               404   0112
      NotAcceptable                 406   0110
      UnsupportedMediaType          415   0110
      Conflict                      409   C002
        DuplicateInstance           409   0111
        OtherStudy                  409   C001
        Unmatched                   409   C002
        Contradicted                409   C002
      InvalidDataset                409   C000
        Nonconformant               409   A900
      UnsupportedSopClass           409   0122
      UnsupportedTransferSyntax     415   C122
      TooLarge                      413   A700
      SlideUnreadable               422   0110
        FormatUnknown               422   0110
        SpacingUnknown              422   0110
      Unavailable                   503   A700
        SourceMissing               503   A700
        SourceChanged               503   A700
        OutOfResources              507   A700

The numbers are the HTTP status, and why an object was not stored: Failure Reason (0008,1197) of
STOW-RS (PS3.18 I.2.2) and the status of a C-STORE (PS3.4 B.2.3, PS3.7 C). C001 and C002 are ours.

Adapters wrap foreign exceptions at their own border; services raise and never catch;
each door translates once. ``code`` is for programs, ``title`` for logs, ``detail`` for
people. Context carries UIDs and numbers, never names of people.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Anything that Slidegate refuses or cannot do.

    Parameters
    ----------
    detail
        One sentence for people: what is wrong, and what to do about it.
    context
        UIDs and numbers that help to find the place.
    """

    code = "internal-error"
    title = "Internal error"
    http_status = 500
    failure_reason = 0x0110

    def __init__(self, detail: str = "", **context: str | int) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.context = context


class BlobMissing(GatewayError):
    """A blob that the index names is not in the store: data were lost."""

    code = "blob-missing"
    title = "Stored data missing"


class InvalidInput(GatewayError):
    """The request is malformed."""

    code = "invalid-input"
    title = "Malformed request"
    http_status = 400
    failure_reason = 0xC000


class BrokenOff(InvalidInput):
    """The body of a request ends before its last part does."""

    code = "broken-off"
    title = "Body ends too early"


class InvalidUid(InvalidInput):
    """A UID is not one to 64 digits and dots."""

    code = "invalid-uid"
    title = "Malformed UID"


class InvalidQuery(InvalidInput):
    """A query key or its value is malformed."""

    code = "invalid-query"
    title = "Malformed query"


class InvalidGeometry(InvalidInput):
    """Coordinates, an orientation or a shape cannot be."""

    code = "invalid-geometry"
    title = "Impossible geometry"
    http_status = 422


class Forbidden(GatewayError):
    """The actor is known and may not do this."""

    code = "forbidden"
    title = "Not allowed"
    http_status = 403
    failure_reason = 0x0124


class NotFound(GatewayError):
    """There is no such thing, or the actor may not see it."""

    code = "not-found"
    title = "Not found"
    http_status = 404
    failure_reason = 0x0112


class FrameNotFound(NotFound):
    """The instance has no frame of that number."""

    code = "frame-not-found"
    title = "No such frame"


class NotAcceptable(GatewayError):
    """The resource has no representation that the client accepts."""

    code = "not-acceptable"
    title = "No acceptable representation"
    http_status = 406


class UnsupportedMediaType(GatewayError):
    """The body of a request is of a type that is not taken."""

    code = "unsupported-media-type"
    title = "Media type not taken"
    http_status = 415


class Conflict(GatewayError):
    """The request contradicts what is stored."""

    code = "conflict"
    title = "Conflict"
    http_status = 409
    failure_reason = 0xC002


class DuplicateInstance(Conflict):
    """Another object of the same SOP Instance UID is stored."""

    code = "duplicate-instance"
    title = "Another object under this UID"
    failure_reason = 0x0111


class OtherStudy(Conflict):
    """An object was sent to another study than it says it is of."""

    code = "other-study"
    title = "Object of another study"
    failure_reason = 0xC001


class InvalidDataset(GatewayError):
    """A DICOM object is damaged, or contradicts itself or the standard."""

    code = "invalid-dataset"
    title = "DICOM object cannot be taken"
    http_status = 409
    failure_reason = 0xC000


class Nonconformant(InvalidDataset):
    """A DICOM object can be read, and is not what its SOP class is."""

    code = "nonconformant"
    title = "DICOM object against the standard"
    failure_reason = 0xA900


class UnsupportedSopClass(GatewayError):
    """A DICOM object is of a kind that is not taken here."""

    code = "unsupported-sop-class"
    title = "Kind of object not taken"
    http_status = 409
    failure_reason = 0x0122


class UnsupportedTransferSyntax(GatewayError):
    """A DICOM object is encoded in a way that is not taken here."""

    code = "unsupported-transfer-syntax"
    title = "Transfer syntax not taken"
    http_status = 415
    failure_reason = 0xC122


class TooLarge(GatewayError):
    """A published limit is exceeded."""

    code = "too-large"
    title = "Too large"
    http_status = 413
    failure_reason = 0xA700


class Unmatched(Conflict):
    """The worklist does not say whose slide it is; it waits in quarantine, behind no door."""

    code = "unmatched"
    title = "Slide without a match"


class Contradicted(Conflict):
    """What the worklist says of a slide cannot be: correct the worklist, and try again."""

    code = "contradicted"
    title = "Worklist contradicts"


class SlideUnreadable(GatewayError):
    """A scanner file is damaged or of an unknown kind."""

    code = "slide-unreadable"
    title = "Slide cannot be read"
    http_status = 422


class FormatUnknown(SlideUnreadable):
    """A file is no slide, and its name does not say that it is one."""

    code = "format-unknown"
    title = "Unknown format"


class SpacingUnknown(SlideUnreadable):
    """The scanner file does not state its pixel spacing and nobody else has."""

    code = "spacing-unknown"
    title = "Pixel spacing unknown"


class Unavailable(GatewayError):
    """It cannot be done now; a retry may help."""

    code = "unavailable"
    title = "Not available now"
    http_status = 503
    failure_reason = 0xA700


class SourceMissing(Unavailable):
    """The scanner file of a linked slide is not where it was."""

    code = "source-missing"
    title = "Scanner file missing"


class SourceChanged(Unavailable):
    """The scanner file of a linked slide is no longer the file that was added."""

    code = "source-changed"
    title = "Scanner file changed"


class OutOfResources(Unavailable):
    """The disk is full, or another resource is used up."""

    code = "out-of-resources"
    title = "Out of resources"
    http_status = 507
