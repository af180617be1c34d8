"""The whole classification, HDF5 in, uint8 OME-Zarr out: speed, threads, growth, memory.

Every run is a process of its own, so that its peak memory is its own; what is compiled is loaded before the clock
starts.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Measurement, VigraPeer, has_vigra, rates, ratios
from workload import Workload

PART = "classify"
EDGES = (128, 256, 512)
THRESHOLD = 0.7
SHORT_REPEATS = 4  # of what takes a fraction of a second
SAMPLE = 48, 4  # cubes of voxels that vigra's forest is timed on


@dataclass(frozen=True)
class Settings:
    """What a run does beside reading and writing."""

    edge: int = 256
    workers: int = 2
    labels: str = "1"
    mask: bool = False
    one_core: bool = False
    half: bool = False

    @property
    def options(self) -> dict[str, Any]:
        labels = "all" if self.labels == "all" else [int(self.labels)]
        kind = {"export": "mask", "threshold": THRESHOLD} if self.mask else {}
        return {"labels": labels, "dtype": "uint8", "workers": self.workers, **kind}


@dataclass(frozen=True)
class Outcome:
    """Seconds, and bytes of the process at its peak."""

    seconds: float
    peak: int


FULL = Settings()
RUNS = {
    "full": FULL,
    "1 core": Settings(workers=1, one_core=True),
    "1 worker": Settings(workers=1),
    "all labels": Settings(labels="all"),
    "mask": Settings(mask=True),
    "small": Settings(edge=128),
    "large": Settings(edge=512),
    "half": Settings(edge=512, half=True),
}


def measure(workload: Workload, rounds: int) -> list[Measurement]:
    found: dict[str, list[Outcome]] = {name: [] for name in RUNS}
    vigra_rate: list[float] = []
    vigra = has_vigra()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = {(edge, False): workload.write_cube(folder, edge) for edge in EDGES}
        # the third of four layers of blocks sees nothing of the tissue through its halo
        images[512, True] = workload.write_cube(folder, 512, tissue=256 - max(workload.halo))
        features = workload.features(*SAMPLE)
        np.save(folder / "rows.npy", np.ascontiguousarray(features.T))
        count = len(workload.project.forest().trees_per_forest)
        peer = None
        if vigra:
            files = folder / "rows.npy", folder / "result.npy"
            peer = VigraPeer("forest", workload.project_path, str(count), *files)
        for _ in range(rounds):
            for run, settings in RUNS.items():
                found[run].append(
                    in_a_process(workload, images[settings.edge, settings.half], folder / "out.ome.zarr", settings)
                )
            if peer is not None:
                vigra_rate.append(features.shape[1] / peer.seconds(2))
        if peer is not None:
            peer.__exit__(None, None, None)
    return lines(found, vigra_rate)


def lines(found: dict[str, list[Outcome]], vigra_rate: list[float]) -> list[Measurement]:
    seconds = {run: [one.seconds for one in outcomes] for run, outcomes in found.items()}
    peak = {run: tuple(one.peak / 1e9 for one in outcomes) for run, outcomes in found.items()}
    n = FULL.edge**3
    per_voxel = {run: [s / RUNS[run].edge ** 3 for s in seconds[run]] for run in ("small", "full", "large")}
    result = [
        Measurement(PART, "256³, label 1, 2 threads", tuple(seconds["full"]), "s"),
        Measurement(PART, "the same", rates(n, seconds["full"]), "Mvoxel/s"),
        Measurement(PART, "256³, all labels, 2 threads", tuple(seconds["all labels"]), "s"),
        Measurement(PART, "256³, mask at 0.7, 2 threads", tuple(seconds["mask"]), "s"),
    ]
    if vigra_rate:
        remark = "vigra's time for 256³ extrapolated from a sample, 2 threads each"
        forest_alone = [n / rate for rate in vigra_rate]
        against = ratios(forest_alone, seconds["full"])
        result.append(Measurement(PART, "against vigra's forest alone", against, "x", 8, 16, remark=remark))
        against = ratios(forest_alone, seconds["all labels"])
        result.append(Measurement(PART, "against vigra's forest alone, all labels", against, "x", remark=remark))
    cores = ratios(seconds["1 core"], seconds["full"])
    workers = ratios(seconds["1 worker"], seconds["full"])
    beside = "the one worker's blocks are read and written beside it, on the second core"
    growth = tuple(100 * (b / a - 1) for a, b in zip(per_voxel["small"], per_voxel["large"]))
    memory = ratios(peak["large"], peak["full"])
    differs = tuple(100 * abs(m - 1) for m in memory)
    half = ratios(seconds["half"], seconds["large"])
    result += [
        Measurement(PART, "512³ of which half the blocks are empty, against all tissue", half, "x", 0.6, 0.5, True),
        Measurement(
            PART, "mask only, against all labels", ratios(seconds["all labels"], seconds["mask"]), "x", 1.5, 2.5
        ),
        Measurement(PART, "mask only, against label 1", ratios(seconds["full"], seconds["mask"]), "x"),
        Measurement(PART, "2 threads on 2 cores, against 1 on 1", cores, "x", 1.7, 1.95),
        Measurement(PART, "2 workers against 1", workers, "x", remark=beside),
        Measurement(PART, "peak memory, 256³", peak["full"], "GB", 0.6, 0.4, at_most=True),
        Measurement(PART, "peak memory, 512³", peak["large"], "GB", 0.6, 0.4, at_most=True),
        Measurement(PART, "peak memory, 512³ against 256³, difference", differs, "%", 10, 10, at_most=True),
        *(
            Measurement(PART, f"{RUNS[run].edge}³, time per voxel", tuple(1e9 * s for s in times), "ns")
            for run, times in per_voxel.items()
        ),
        Measurement(PART, "time per voxel, 512³ against 128³, growth", growth, "%", 10, 0, at_most=True),
    ]
    return result


def in_a_process(workload: Workload, image: str, output: Path, settings: Settings) -> Outcome:
    """Run once."""
    job = {"project": workload.project_path, "image": image, "output": str(output), "settings": asdict(settings)}
    command = [sys.executable, __file__, json.dumps(job)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    shutil.rmtree(output)
    return Outcome(**json.loads(done.stdout))


def _run(job: dict[str, Any]) -> Outcome:
    from ecc_rf import PixelClassifier

    if job["settings"]["one_core"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
    classifier = PixelClassifier.from_project(job["project"])
    options = Settings(**job["settings"]).options
    corner = dict.fromkeys("zyx", (0, 40))
    classifier.predict_volume(job["image"], job["output"], roi=corner, **options)
    shutil.rmtree(job["output"])
    seconds = []
    for _ in range(SHORT_REPEATS if job["settings"]["edge"] < FULL.edge else 1):
        seconds.append(classifier.predict_volume(job["image"], job["output"], overwrite=True, **options).seconds)
    return Outcome(sum(seconds) / len(seconds), _peak())


def _peak() -> int:
    """Bytes of this program's largest resident set; the kernel's ru_maxrss also counts the process that started it."""
    for line in Path("/proc/self/status").read_text().splitlines() if Path("/proc/self/status").exists() else ():
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps(asdict(_run(json.loads(sys.argv[1])))))
