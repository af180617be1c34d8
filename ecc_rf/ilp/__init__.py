"""ilastik projects: images, labels, features and the forest of an .ilp file."""

from ecc_rf.ilp.editing import ProjectChanges, edit_project
from ecc_rf.ilp.labels import ERASER, LabelBlock, LaneLabels
from ecc_rf.ilp.lanes import Lane
from ecc_rf.ilp.links import NewLink
from ecc_rf.ilp.locate import Location
from ecc_rf.ilp.project import IlastikProject
from ecc_rf.ilp.vigra_forest import ForestSummary, read_forests, write_forests
from ecc_rf.ilp.writing import NewLane, write_project

__all__ = [
    "ERASER",
    "ForestSummary",
    "IlastikProject",
    "LabelBlock",
    "Lane",
    "LaneLabels",
    "Location",
    "NewLane",
    "NewLink",
    "ProjectChanges",
    "edit_project",
    "read_forests",
    "write_forests",
    "write_project",
]
