"""The kinds of objects that are taken, by what is kept of them."""

from __future__ import annotations

from pydicom.uid import (
    AdvancedBlendingPresentationStateStorage,
    BasicTextSRStorage,
    ColorSoftcopyPresentationStateStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MicroscopyBulkSimpleAnnotationsStorage,
    ParametricMapStorage,
    SegmentationStorage,
    VLMicroscopicImageStorage,
    VLPhotographicImageStorage,
    VLSlideCoordinatesMicroscopicImageStorage,
)

from gateway.core.instances import VL_WHOLE_SLIDE_MICROSCOPY

ANNOTATIONS = str(MicroscopyBulkSimpleAnnotationsStorage)

REPORTS = frozenset(
    map(
        str,
        (
            BasicTextSRStorage,
            EnhancedSRStorage,
            ComprehensiveSRStorage,
            Comprehensive3DSRStorage,
            KeyObjectSelectionDocumentStorage,
        ),
    )
)
"""Structured Reports: objects with a content tree."""

_LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"

IMAGES = frozenset(
    {
        VL_WHOLE_SLIDE_MICROSCOPY,
        _LABEL_MAP_SEGMENTATION,
        *map(
            str,
            (
                ParametricMapStorage,
                SegmentationStorage,
                VLMicroscopicImageStorage,
                VLPhotographicImageStorage,
                VLSlideCoordinatesMicroscopicImageStorage,
            ),
        ),
    }
)
"""Objects with frames."""

DOCUMENTS = frozenset(
    {
        ANNOTATIONS,
        *REPORTS,
        *map(
            str,
            (
                AdvancedBlendingPresentationStateStorage,
                ColorSoftcopyPresentationStateStorage,
                EncapsulatedPDFStorage,
                GrayscaleSoftcopyPresentationStateStorage,
            ),
        ),
    }
)
"""Objects without frames."""
