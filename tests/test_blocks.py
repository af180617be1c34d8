"""Blocks: cutting, running, the memory budget."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_rf.blocks import BlockCost, Grid, choose_block, count_not_finite, parse_memory, resolve_workers, run_blocks
from ecc_rf.blocks.memory import BASE, SMALLEST
from ecc_rf.errors import EccError, MemoryBudgetError, SettingError

extents = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 7), st.integers(0, 5)), min_size=1, max_size=4)


@given(extents, st.data())
def test_cores_tile_the_region_and_reads_hold_the_halo(axes: list[tuple[int, int, int]], data: st.DataObject) -> None:
    shape, block, halo = (tuple(values) for values in zip(*axes))
    region = []
    for n in shape:
        start = data.draw(st.integers(0, n - 1))
        region.append(slice(start, data.draw(st.integers(start + 1, n))))
    grid = Grid(shape, block, halo, tuple(region))
    owners = np.zeros(shape, int)
    target = np.zeros(grid.region_shape, int)
    whole = np.arange(owners.size).reshape(shape)
    for number, piece in enumerate(grid):
        assert piece == grid[number]
        owners[piece.core] += 1
        target[piece.target] += 1
        assert np.array_equal(whole[piece.read][piece.inner], whole[piece.core])
        for n, h, core, read in zip(shape, halo, piece.core, piece.read):
            assert read == slice(max(0, core.start - h), min(n, core.stop + h))
    assert (owners[tuple(region)] == 1).all() and owners.sum() == grid.voxels
    assert (target == 1).all()


@pytest.mark.parametrize("arguments", [((4, 4), (2,)), ((4,), (0,)), ((4,), (2,), (0,), (slice(3, 9),))])
def test_bad_grids_are_refused(arguments: tuple) -> None:
    with pytest.raises(SettingError):
        Grid(*arguments)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_block_runs_once(workers: int) -> None:
    grid = Grid((20, 10), (3, 4))
    results = {block.index: value for block, value in run_blocks(lambda b: b.index**2, grid, workers=workers)}
    assert results == {i: i * i for i in range(len(grid))}


def test_an_error_in_a_block_ends_the_run() -> None:
    started = []

    def fail(block) -> None:
        started.append(block.index)
        if block.index == 3:
            raise SettingError("no good")

    with pytest.raises(SettingError, match="no good"):
        list(run_blocks(fail, Grid((1000,), (1,)), workers=2))
    assert len(started) < 100


def test_few_blocks_are_under_way_at_once() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def count(block) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        with lock:
            now -= 1

    for _ in run_blocks(count, Grid((300,), (1,)), workers=3):
        pass
    assert most <= 3


@given(
    st.tuples(*[st.integers(1, 3000)] * 3),
    st.integers(0, 40),
    st.integers(1, 8),
    st.integers(300 * 2**20, 2**34),
)
def test_a_chosen_block_fits_the_budget(shape: tuple[int, int, int], halo: int, workers: int, memory: int) -> None:
    cost = BlockCost(read=10, core=40, fixed=2**20)
    try:
        block = choose_block(shape, (halo,) * 3, cost, memory=memory, workers=workers)
    except MemoryBudgetError:
        least = tuple(min(n, SMALLEST) for n in shape)
        assert BASE + workers * cost.of(least, (halo,) * 3, shape) > memory
    else:
        assert BASE + workers * cost.of(block, (halo,) * 3, shape) <= memory
        assert all(1 <= b <= n for b, n in zip(block, shape))


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "8 elephants", "0"])
def test_memory_that_is_no_amount(text: str) -> None:
    with pytest.raises(SettingError, match="memory"):
        parse_memory(text)


def test_workers() -> None:
    assert resolve_workers(3) == 3
    assert resolve_workers(None) >= 1
    with pytest.raises(SettingError):
        resolve_workers(0)


def test_not_finite() -> None:
    assert count_not_finite(np.array([1, 2], np.int64)) == 0
    assert count_not_finite(np.array([np.nan, 1, -np.inf], np.float32)) == 2


def test_every_error_is_also_a_builtin_one_and_speaks() -> None:
    def leaves(kind: type) -> list[type]:
        return [kind, *(leaf for sub in kind.__subclasses__() for leaf in leaves(sub))]

    for kind in leaves(EccError)[1:]:
        error = kind("It is wrong.", where="here", do="Mend it.")
        assert str(error) == "It is wrong.\n  where: here\n  what to do: Mend it."
        assert isinstance(error, (OSError, ValueError, LookupError, MemoryError))


def test_halos_reach_beyond_the_region() -> None:
    """A small region of a large volume needs more than a volume of its size."""
    cost = BlockCost(read=100, core=1)
    with pytest.raises(MemoryBudgetError) as alone:
        choose_block((16, 16, 16), (30,) * 3, cost, memory=2**20, workers=2)
    with pytest.raises(MemoryBudgetError) as within:
        choose_block((16, 16, 16), (30,) * 3, cost, memory=2**20, workers=2, volume=(500,) * 3)
    least = [parse_memory(error.value.do.split()[2]) for error in (alone, within)]
    assert least[1] - least[0] == pytest.approx(2 * 100 * (76**3 - 16**3), abs=2e6)
    assert choose_block((16,) * 3, (30,) * 3, cost, memory=least[1], workers=2, volume=(500,) * 3) == (16, 16, 16)
