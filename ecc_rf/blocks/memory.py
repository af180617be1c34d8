"""The memory budget: how large a block may be, decided before the start.

Each worker holds one block at a time. Its bytes are counted per voxel that is read (core and halo) and per
voxel that is computed (core). A few more blocks are read ahead, or wait to be written::

    one worker  =  fixed  +  read_bytes x voxels(core + halo)  +  core_bytes x voxels(core)
    one waiting =            its bytes as it was read, or as it is stored
    all         =  BASE   +  shared  +  workers x one worker  +  waiting x one waiting   <=  budget

What is left of the budget may keep decoded pieces of the image for the next blocks (`cache_share`).

A large block wastes less on its halo, a small one needs less memory; beyond `LARGEST` extents the halo is no
longer what costs, and small blocks share the work of few workers more evenly.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ecc_rf.errors import MemoryBudgetError, SettingError

BASE = 256 * 2**20  # interpreter, libraries and compiled kernels, measured
DEFAULT = 2 * 2**30
SMALLEST, LARGEST = 16, 128  # extents of a block in three dimensions, powers of two
LARGEST_FLAT = 1024

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_UNITS |= {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_memory(text: str | int | float | None) -> int:
    """A memory budget in bytes; None gives the default of 2 GiB.

    >>> parse_memory("8GB"), parse_memory("512 MiB"), parse_memory(1000)
    (8000000000, 536870912, 1000)

    Raises
    ------
    SettingError
        If the text is not a number with a unit.
    """
    if text is None:
        return DEFAULT
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", str(text))
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None or float(match[1]) <= 0:
        raise SettingError(
            f"{text!r} is not an amount of memory.", where="memory", do="Write for example 8GB or 512MiB."
        )
    return int(float(match[1]) * unit)


def show_memory(size: float) -> str:
    """Bytes as people read them.

    >>> show_memory(3_200_000_000), show_memory(1500)
    ('3.2 GB', '1.5 kB')
    """
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} B"


@dataclass(frozen=True)
class BlockCost:
    """What one worker needs for one block, in bytes.

    Attributes
    ----------
    read : float
        Per voxel of core and halo.
    core : float
        Per voxel of the core.
    fixed : int
        Whatever the block's size.
    shared : int
        Of the whole process, whatever the number of workers.
    ahead, behind : float
        Of a block that waits: per voxel of core and halo if it was read ahead, per voxel of the core if it is to be
        written.
    """

    read: float
    core: float
    fixed: int = 0
    shared: int = 0
    ahead: float = 0
    behind: float = 0

    def of(self, block_shape: tuple[int, ...], halo: tuple[int, ...], shape: tuple[int, ...]) -> int:
        """Bytes that one worker needs for a block of this shape."""
        read = math.prod(min(n, b + 2 * h) for b, h, n in zip(block_shape, halo, shape))
        return int(self.fixed + self.read * read + self.core * math.prod(block_shape))

    def total(self, block_shape: tuple[int, ...], halo: tuple[int, ...], shape: tuple[int, ...], workers: int) -> int:
        """Bytes of the whole process for blocks of this shape."""
        read = math.prod(min(n, b + 2 * h) for b, h, n in zip(block_shape, halo, shape))
        waiting = max(self.ahead * read, self.behind * math.prod(block_shape))
        one = self.of(block_shape, halo, shape)
        return int(BASE + self.shared + workers * one + blocks_waiting(workers) * waiting)


def blocks_waiting(workers: int) -> int:
    """Blocks that are read ahead or wait to be written, beside those that are being computed.

    >>> blocks_waiting(1), blocks_waiting(16)
    (2, 8)
    """
    return max(2, workers // 2)


def choose_block(
    shape: tuple[int, ...],
    halo: tuple[int, ...],
    cost: BlockCost,
    *,
    memory: int,
    workers: int,
    volume: tuple[int, ...] | None = None,
) -> tuple[int, ...]:
    """The largest sensible block that fits the budget.

    Parameters
    ----------
    shape : tuple of int
        Extents of the region, spatial axes only.
    halo : tuple of int
        Halo per axis, voxels.
    cost : BlockCost
        What a worker needs.
    memory : int
        Budget of the whole process in bytes.
    workers : int
        Blocks that are held at once.
    volume : tuple of int, optional
        Extents of the whole volume, into which halos reach; default the region's.

    Returns
    -------
    tuple of int
        Extents of a block's core: powers of two, or the volume's own extent where that is smaller.

    Raises
    ------
    MemoryBudgetError
        If not even the smallest block fits; the message gives the least budget that would do.

    Examples
    --------
    >>> choose_block((500, 500, 500), (14, 14, 14), BlockCost(8, 80), memory=2 * 2**30, workers=2)
    (128, 128, 128)
    >>> choose_block((500, 500, 500), (14, 14, 14), BlockCost(8, 80), memory=300 * 2**20, workers=2)
    (32, 32, 32)
    >>> choose_block((1, 5000, 300), (0, 14, 14), BlockCost(8, 80), memory=2 * 2**30, workers=2)
    (1, 512, 300)
    """
    flat = sum(n > 1 for n in shape) <= 2
    extent = LARGEST_FLAT if flat else LARGEST
    while True:
        block = tuple(min(n, extent) for n in shape)
        need = cost.total(block, halo, volume or shape, workers)
        # Four blocks or more per worker keep all workers busy to the end; smaller blocks are not worth it.
        count = math.prod(-(-n // b) for n, b in zip(shape, block))
        balanced = workers == 1 or count >= 4 * workers or extent <= 64
        if need <= memory and balanced:
            return block
        if extent <= SMALLEST:
            break
        extent //= 2
    if need <= memory:
        return block
    raise too_little_memory(need, memory, workers)


def too_little_memory(
    need: int, memory: int, workers: int, *, restart: bool = False, block: bool = False
) -> MemoryBudgetError:
    """The error of a plan that does not fit; the budget that it names is one that does.

    >>> print(too_little_memory(300_000_001, 2 * 10**8, 2).do)
    Give --memory 301MB or more, or fewer --workers.
    """
    ways = [f"Give --memory {math.ceil(need / 1e6)}MB or more"]
    ways += ["fewer --workers"] if workers > 1 else []
    ways += ["a smaller --block"] if block else []
    ways += ["--restart to cut the image anew"] if restart else []
    who = f"{workers} workers need" if workers > 1 else "One worker needs"
    return MemoryBudgetError(
        f"{who} at least {show_memory(need)}, the budget is {show_memory(memory)}.",
        where="memory",
        do=f"{', or '.join(ways)}.",
    )
