"""What there is to know about a project, for people and for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecc_rf.errors import EccError, NoForestError
from ecc_rf.ilp.labels import LaneLabels
from ecc_rf.ilp.lanes import Lane
from ecc_rf.ilp.normalization_note import forest_digest
from ecc_rf.ilp.vigra_forest import ForestSummary

if TYPE_CHECKING:
    from ecc_rf.ilp.project import IlastikProject


def describe(project: IlastikProject) -> dict[str, Any]:
    """A description in types of JSON; what cannot be read is described by the reason.

    Looks for the images and counts the labels; reads no voxels of images and no trees.
    """
    labels = [_labels(project, lane) for lane in project.lanes]
    return {
        "path": str(project.path),
        "ilastik_version": project.ilastik_version,
        "workflow": project.workflow,
        "lanes": [_lane(lane, found) for lane, found in zip(project.lanes, labels)],
        "features": _features(project),
        "labels": [
            {
                "value": value,
                "name": name,
                "color": list(color),
                "voxels": sum(found.counts.get(value, 0) for found in labels if isinstance(found, LaneLabels)),
            }
            for value, (name, color) in enumerate(zip(project.label_names, project.label_colors), start=1)
        ],
        "forest": _forest(project, labels),
        "normalization": _normalization(project),
        "notes": [*project.notes, *_unnamed(project, labels)],
    }


def stale_reasons(project: IlastikProject) -> list[str]:
    """Why the stored forest is not that of the project's labels and features; none if it is or there is none."""
    try:
        summary = project.forest_summary()
    except NoForestError:
        return []
    return _stale_reasons(project, summary, [_labels(project, lane) for lane in project.lanes])


def _labels(project: IlastikProject, lane: Lane) -> LaneLabels | EccError:
    try:
        return project.labels(lane.index)
    except EccError as error:
        return error


def _lane(lane: Lane, labels: LaneLabels | EccError) -> dict[str, Any]:
    notes = list(lane.notes)
    try:
        found = lane.location
        path, tried = found.path, list(found.tried)
        notes += [found.note] if found.note else []
    except EccError as error:  # the user's own place for the image
        path, tried = None, [f"{lane.override}: {error.what}"]
    try:
        axes, shape = lane.axes, lane.shape
    except EccError:
        axes, shape = "", None
    if isinstance(labels, EccError):
        notes.append(f"the labels cannot be read: {labels.what}")
    else:
        notes += labels.notes
    return {
        "index": lane.index,
        "nickname": lane.nickname,
        "kind": lane.kind,
        "stored_path": lane.stored_path,
        "path": path,
        "tried": tried,
        "axes": axes or None,
        "shape": None if shape is None else list(shape),
        "labels": None if isinstance(labels, EccError) else {str(v): n for v, n in labels.counts.items()},
        "notes": list(dict.fromkeys(notes)),
    }


def _features(project: IlastikProject) -> dict[str, Any]:
    try:
        selection = project.features
    except EccError as error:
        return {"problem": error.what}
    return {
        "filters": list(selection.feature_ids),
        "scales": list(selection.scales),
        "matrix": [list(row) for row in selection.matrix],
        "compute_in_2d": None if selection.compute_in_2d is None else list(selection.compute_in_2d),
        "selected": [[name, selection.scales[column]] for name, column in selection.cells],
    }


def _normalization(project: IlastikProject) -> dict[str, Any] | None:
    try:
        note = project.normalization
    except EccError as error:
        return {"problem": error.what}
    if note is None:
        return None
    try:
        fits = note.all_stored or forest_digest(project.forest()) == note.forest
    except EccError:  # there is none that can be used
        fits = True
    return {**note.as_dict(), "forest_fits": fits}


def _unnamed(project: IlastikProject, labels: list[LaneLabels | EccError]) -> list[str]:
    values = {value for found in labels if isinstance(found, LaneLabels) for value in found.counts}
    unnamed = sorted(value for value in values if value > len(project.label_names))
    return [f"the labels {unnamed} are annotated but have no name"] if unnamed else []


def _forest(project: IlastikProject, labels: list[LaneLabels | EccError]) -> dict[str, Any]:
    try:
        summary = project.forest_summary()
    except EccError as error:
        return {"problem": error.what}
    reasons = _stale_reasons(project, summary, labels)
    return {
        "trees": sum(summary.trees_per_forest),
        "forests": len(summary.trees_per_forest),
        "classes": list(summary.classes),
        "rows": summary.n_rows,
        "features": summary.n_features,
        "stale": bool(reasons),
        "stale_reasons": reasons,
    }


def _stale_reasons(project: IlastikProject, summary: ForestSummary, labels: list[LaneLabels | EccError]) -> list[str]:
    reasons = []
    readable = [found for found in labels if isinstance(found, LaneLabels)]
    if len(readable) == len(labels):
        voxels = sum(len(found.values) for found in readable)
        values = sorted({value for found in readable for value in found.counts})
        if voxels != summary.n_rows:
            reasons.append(f"it was trained on {summary.n_rows} labelled voxels, now there are {voxels}")
        if values != list(summary.classes):
            reasons.append(f"it knows the labels {list(summary.classes)}, now {values} are annotated")
    number = _number_of_features(project)
    if number is not None and number != summary.n_features:
        reasons.append(f"it was trained on {summary.n_features} features, now {number} are selected")
    return reasons


def _number_of_features(project: IlastikProject) -> int | None:
    """For the first lane whose shape is known; None if there is none, or nothing is selected."""
    for lane in project.lanes:
        try:
            extents = dict(zip(lane.axes, lane.shape or ()))
            if extents:
                shape = (extents.get("z", 1), extents["y"], extents["x"])
                return project.features.plan(shape, extents.get("c", 1)).n_features
        except EccError:
            continue
    return None
