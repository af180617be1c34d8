"""What a classifier makes of a few sections of an image, quickly: a look before the whole is computed."""

from ecc_rf.preview.drawing import PreviewSettings, check_output, preview_classifier, save_figure
from ecc_rf.preview.watching import watch

__all__ = ["PreviewSettings", "check_output", "preview_classifier", "save_figure", "watch"]
