#!/usr/bin/env python3
"""Make a brain-like OME-Zarr of any size, chunk by chunk: an ellipsoid of tissue with cells in empty space.

    python scripts/make_brain.py brain.ome.zarr --shape 1000,1024,1024 [--sample 0.5] [--seed 0] [--workers 2]

Tissue is that of data/fixtures/brain.h5, so that its project, data/fixtures/cells.ilp, finds the cells: the small brain
is laid side by side, mirrored so that it joins, with noise of its own in every chunk. Outside of the ellipsoid
all voxels have one value. The same options give the same bytes, whatever the number of workers.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ecc_rf.blocks import Block, Grid, TerminalProgress, run_blocks  # noqa: E402
from ecc_rf.volumes import create_volume, open_volume, shard_shape  # noqa: E402

CHUNK = 64
EMPTY = 100
NOISE = 3  # grey values, at most, to either side
VOXEL_SIZE = (5.0, 2.0, 2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help=".ome.zarr, or another format that is written")
    parser.add_argument("--shape", default="1000,1024,1024", help="Z,Y,X in voxels")
    parser.add_argument(
        "--sample", type=float, default=0.25, help="share of the volume that is tissue, up to 0.52; or 1: all"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args()
    z, y, x = (int(n) for n in options.shape.split(","))
    make_brain(
        options.output,
        (z, y, x),
        sample=options.sample,
        seed=options.seed,
        workers=options.workers,
        overwrite=options.overwrite,
    )


def make_brain(
    output: str | Path,
    shape: tuple[int, int, int],
    *,
    sample: float = 0.25,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write the volume; memory is that of a few chunks."""
    with open_volume(ROOT / "data" / "fixtures" / "brain.h5") as volume:
        tile = volume.read()
    axes = radii(shape, sample)
    chunks = tuple(min(CHUNK, n) for n in shape)
    shards = shard_shape("zyx", shape, chunks)
    progress = TerminalProgress()
    with create_volume(
        output, shape, np.uint16, "zyx", chunks=chunks, shards=shards, voxel_size=VOXEL_SIZE, overwrite=overwrite
    ) as result:

        def work(block: Block) -> None:
            result[block.core] = piece(tile, block, shape, axes, seed)

        for _ in run_blocks(work, Grid(shape, shards or chunks), workers=workers, progress=progress, stage="brain"):
            pass


def radii(shape: tuple[int, int, int], sample: float) -> tuple[float, ...]:
    """Half axes of an ellipsoid of the volume's proportions, of which this share of it is the inside."""
    largest = math.pi / 6
    if sample == 1:
        return tuple(2.0 * n for n in shape)
    if not 0 < sample <= largest:
        raise SystemExit(f"--sample is {sample}; an ellipsoid fills up to {largest:.2f} of a box")
    factor = (sample / largest) ** (1 / 3)
    return tuple(factor * n / 2 for n in shape)


def piece(
    tile: NDArray[np.uint16], block: Block, shape: tuple[int, int, int], axes: tuple[float, ...], seed: int
) -> NDArray[np.uint16]:
    """Voxels of a block."""
    places = [np.arange(part.start, part.stop) for part in block.core]
    squares = [((place + 0.5 - n / 2) / radius) ** 2 for place, n, radius in zip(places, shape, axes)]
    inside = squares[0][:, None, None] + squares[1][:, None] + squares[2] < 1
    voxels = np.full(block.shape, EMPTY, np.uint16)
    if inside.any():
        mirrored = [np.abs((place + n) % (2 * n) - n) for place, n in zip(places, (m - 1 for m in tile.shape))]
        texture = tile[np.ix_(*mirrored)].astype(np.int32)
        rng = np.random.default_rng([seed, block.index])
        texture += rng.integers(-NOISE, NOISE + 1, block.shape, np.int8)
        voxels[inside] = np.clip(texture, 0, 65535).astype(np.uint16)[inside]
    return voxels


if __name__ == "__main__":
    main()
