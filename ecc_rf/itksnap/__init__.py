"""ITK-SNAP: images and labels out, annotations back in."""

from ecc_rf.itksnap.exporting import ExportRecord, ExportSettings, export_labels
from ecc_rf.itksnap.importing import ImportedLabels, ImportSettings, import_into_project, import_labels
from ecc_rf.itksnap.several import LabelFiles, import_label_files

__all__ = [
    "ExportRecord",
    "ExportSettings",
    "ImportSettings",
    "ImportedLabels",
    "LabelFiles",
    "export_labels",
    "import_into_project",
    "import_label_files",
    "import_labels",
]
