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

IMAGES = frozenset({VL_WHOLE_SLIDE_MICROSCOPY})
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
