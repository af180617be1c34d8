"""ITK-SNAP: images and labels out, annotations back in."""

from ecc_rf.itksnap.exporting import ExportRecord, ExportSettings, export_labels
from ecc_rf.itksnap.importing import ImportedLabels, ImportSettings, import_into_project, import_labels

__all__ = [
    "ExportRecord",
    "ExportSettings",
    "ImportSettings",
    "ImportedLabels",
    "export_labels",
    "import_into_project",
    "import_labels",
]
