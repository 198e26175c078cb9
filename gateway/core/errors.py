"""The one error tree.

::

    GatewayError                    500
      BlobMissing                   500
      InvalidInput                  400
        InvalidUid                  400
        InvalidQuery                400
        InvalidGeometry             422
      Forbidden                     403
      NotFound                      404
        FrameNotFound               404
      NotAcceptable                 406
      Conflict                      409
        DuplicateInstance           409
        Unmatched                   409
        Contradicted                409
      InvalidDataset                409
      UnsupportedSopClass           409
      UnsupportedTransferSyntax     415
      SlideUnreadable               422
        FormatUnknown               422
        SpacingUnknown              422
      Unavailable                   503
        SourceMissing               503
        SourceChanged               503
        OutOfResources              507

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


class NotFound(GatewayError):
    """There is no such thing, or the actor may not see it."""

    code = "not-found"
    title = "Not found"
    http_status = 404


class FrameNotFound(NotFound):
    """The instance has no frame of that number."""

    code = "frame-not-found"
    title = "No such frame"


class NotAcceptable(GatewayError):
    """The resource has no representation that the client accepts."""

    code = "not-acceptable"
    title = "No acceptable representation"
    http_status = 406


class Conflict(GatewayError):
    """The request contradicts what is stored."""

    code = "conflict"
    title = "Conflict"
    http_status = 409


class DuplicateInstance(Conflict):
    """Another object of the same SOP Instance UID is stored."""

    code = "duplicate-instance"
    title = "Another object under this UID"


class InvalidDataset(GatewayError):
    """A DICOM object is damaged, or contradicts itself or the standard."""

    code = "invalid-dataset"
    title = "DICOM object cannot be taken"
    http_status = 409


class UnsupportedSopClass(GatewayError):
    """A DICOM object is of a kind that is not taken here."""

    code = "unsupported-sop-class"
    title = "Kind of object not taken"
    http_status = 409


class UnsupportedTransferSyntax(GatewayError):
    """A DICOM object is encoded in a way that is not taken here."""

    code = "unsupported-transfer-syntax"
    title = "Transfer syntax not taken"
    http_status = 415


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
