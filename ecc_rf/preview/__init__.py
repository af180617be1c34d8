"""What a classifier makes of a few sections of an image, quickly: a look before the whole is computed."""

from ecc_rf.preview.job import (
    PreviewRecord,
    PreviewSettings,
    check_output,
    preview,
    preview_classifier,
    save_figure,
    write_preview,
)
from ecc_rf.preview.watching import watch

__all__ = [
    "PreviewRecord",
    "PreviewSettings",
    "check_output",
    "preview",
    "preview_classifier",
    "save_figure",
    "watch",
    "write_preview",
]
