"""Draw candidates and write them as a table and as a page to judge them on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecc_rf.blocks import Progress
from ecc_rf.cells import CellFinder
from ecc_rf.cells.inputs import Channel
from ecc_rf.errors import SettingError
from ecc_rf.judging.candidates import CandidateVolume, find_candidates, told
from ecc_rf.judging.judgements import JUDGEMENT
from ecc_rf.judging.outlines import outlines
from ecc_rf.judging.page import make_page
from ecc_rf.judging.sampling import Sample, check_sample, draw_sample
from ecc_rf.judging.sections import contrast_window, cut_sections, encode_sections
from ecc_rf.objects import FEATURES, ObjectModel
from ecc_rf.volumes.base import VoxelSize, write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput

TABLE, PAGE = "candidates.csv", "sheet.html"


@dataclass(frozen=True, eq=False)
class Sheet:
    """What was drawn and written.

    Attributes
    ----------
    table : DataFrame
        A row per drawn candidate, in the order of the page.
    candidates : int
        Of which they were drawn.
    files : tuple of Path
        Table and page.
    """

    table: pd.DataFrame
    candidates: int
    files: tuple[Path, Path]


def write_sheet(
    probabilities: Sequence[str | Path],
    raws: Sequence[str | Path],
    output: str | Path,
    finder: CellFinder,
    *,
    count: int = 80,
    seed: int = 0,
    groups: Mapping[str, str] | None = None,
    model: ObjectModel | None = None,
    uncertain: bool = False,
    fields_um: tuple[float, float] = (40.0, 160.0),
    voxel_size: VoxelSize | None = None,
    workers: int | None = None,
    memory: str | int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Sheet:
    """Find candidates, draw some, and write ``candidates.csv`` and ``sheet.html``.

    Parameters
    ----------
    probabilities, raws : sequences of paths
        As many of each, in the same order.
    output : path
        The folder.
    finder : CellFinder
        How candidates are found, now and wherever a model of them is used.
    count, seed
        See `draw_sample`.
    groups, voxel_size, workers, memory, progress
        See `find_candidates`.
    model : ObjectModel, optional
        Its probability takes the place of the pixel classifier's.
    uncertain : bool
        Prefer those of which the model is least sure.
    fields_um : (near, far)
        Width of the sections in µm.
    overwrite : bool

    Raises
    ------
    EccError
    """
    check_sample(count, seed)
    if uncertain and model is None:
        raise SettingError(
            "What is uncertain is told by an object model.",
            where="--uncertain",
            do="Give --objects-model MODEL; for the first judgements leave --uncertain out.",
        )
    if not 0 < fields_um[0] <= fields_um[1] < np.inf:
        raise SettingError(
            f"The sections are {fields_um[0]:g} and {fields_um[1]:g} µm wide.",
            where="--field-um",
            do="Give a positive width and one at least as large, such as 40,160.",
        )
    folder = Path(output)
    targets = [UnfinishedOutput(folder / name, str(folder / name), overwrite) for name in (TABLE, PAGE)]
    try:
        volumes = find_candidates(
            probabilities,
            raws,
            finder,
            groups=groups,
            voxel_size=voxel_size,
            workers=workers,
            memory=memory,
            progress=progress,
        )
        pooled = pd.concat([volume.table for volume in volumes], ignore_index=True)
        known = pooled["mean_probability"].to_numpy(np.float64) if model is None else model.probabilities(pooled)
        owner = np.repeat(np.arange(len(volumes)), [len(volume.table) for volume in volumes])
        sample = draw_sample(
            [volumes[number].group for number in owner.tolist()],
            np.asarray(known, np.float64),
            count,
            seed=seed,
            cut=model.cut if uncertain and model is not None else None,
        )
        table = sample_table(volumes, pooled, owner, np.asarray(known, np.float64), sample, finder)
        images = _images(volumes, owner, sample, finder, fields_um, folder, workers=workers, memory=memory)
        with write_errors(str(folder)):
            text = table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
            targets[0].path.write_text(text, encoding="utf-8")
            targets[1].path.write_text(make_page(text, images, fields_um), encoding="utf-8")
        for target in targets:
            target.commit()
    except BaseException:
        for target in targets:
            target.discard()
        raise
    return Sheet(table, len(pooled), (folder / TABLE, folder / PAGE))


def sample_table(
    volumes: Sequence[CandidateVolume],
    pooled: pd.DataFrame,
    owner: np.ndarray[Any, np.dtype[np.int64]],
    probability: np.ndarray[Any, np.dtype[np.float64]],
    sample: Sample,
    finder: CellFinder,
) -> pd.DataFrame:
    """The table of a sample, in its order; judgements are empty."""
    chosen = pooled.iloc[sample.rows].reset_index(drop=True)
    of = [volumes[number] for number in owner[sample.rows].tolist()]
    columns: dict[str, Any] = {
        "id": np.arange(1, len(chosen) + 1),
        JUDGEMENT: "",
        "name": [volume.name for volume in of],
        "volume": owner[sample.rows],
        "candidate": chosen["label"],
        **{axis: chosen[axis].round(4) for axis in ("z", "y", "x", "Z", "Y", "X")},
        "group": [volume.group for volume in of],
        "stratum": sample.strata,
        "stratum_size": sample.sizes,
        "weight": sample.weights,
        "probability": probability[sample.rows],
        **{name: chosen[name] for name in FEATURES},
        "fingerprint": [volume.fingerprint for volume in of],
        "settings": json.dumps(told(finder), sort_keys=True),
    }
    return pd.DataFrame(columns)


def _images(
    volumes: Sequence[CandidateVolume],
    owner: np.ndarray[Any, np.dtype[np.int64]],
    sample: Sample,
    finder: CellFinder,
    fields_um: tuple[float, float],
    scratch: Path,
    *,
    workers: int | None,
    memory: str | int | None,
) -> list[dict[str, Any]]:
    """The sections of each drawn candidate, and the contrast that those of a group share."""
    first = np.searchsorted(owner, np.arange(len(volumes)))
    images: list[dict[str, Any]] = [{}] * len(sample.rows)
    windows: dict[str, list[tuple[float, float]]] = {}
    drawn_of = owner[sample.rows]
    for number, volume in enumerate(volumes):
        here = np.flatnonzero(drawn_of == number)
        if not here.size:
            continue
        raw = Channel(volume.raw, "raw", None if finder.raw_channel is None else finder.raw_channel - 1)
        try:
            with outlines(volume, finder, scratch, workers=workers, memory=memory) as mask_of:
                # in the order of their places: neighbours share bricks
                for place in here[np.argsort(sample.rows[here])].tolist():
                    row = int(sample.rows[place] - first[number])
                    z, y, x = volume.table[["z", "y", "x"]].iloc[row].tolist()
                    sections = cut_sections(raw, (z, y, x), volume.voxel_size, fields_um, mask_of(row))
                    images[place] = {**encode_sections(sections), "group": volume.group}
                    windows.setdefault(volume.group, []).append(contrast_window(sections[:3]))
        finally:
            raw.close()
    shared = {group: _shared(found) for group, found in windows.items()}
    return [{**image, "shared": shared[image["group"]]} for image in images]


def _shared(windows: Sequence[tuple[float, float]]) -> list[float]:
    """One contrast for a brain: from the median floor to what all but the brightest tenth stay below."""
    low, high = np.array(windows).T
    return [float(f"{np.median(low):.6g}"), float(f"{max(np.quantile(high, 0.9), np.median(low) + 1e-6):.6g}")]
