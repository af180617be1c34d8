"""Reading ahead and writing behind are bounded, whatever step is slow."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from ecc_rf.blocks import Block, Grid
from ecc_rf.blocks.memory import blocks_waiting
from ecc_rf.blocks.runner import READERS, read_compute_write

BLOCKS, PAUSE = 60, 0.004


@pytest.mark.parametrize("slow", ["read", "compute", "write", "caller"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_few_blocks_are_held(slow: str, workers: int) -> None:
    """A block is held from when its reading is begun until it is written."""
    lock = threading.Lock()
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()

    def enter(*places: str) -> None:
        with lock:
            now.update(places)
            for place in places:
                most[place] = max(most[place], now[place])

    def leave(*places: str) -> None:
        with lock:
            now.subtract(places)

    def read(block: Block) -> int:
        enter("held", "read")
        time.sleep(PAUSE * (slow == "read"))
        leave("read")
        return block.index

    def compute(block: Block, given: int) -> int:
        enter("compute")
        time.sleep(PAUSE * (slow == "compute"))
        leave("compute")
        return given

    def write(block: Block, given: int) -> int:
        time.sleep(PAUSE * (slow == "write"))
        leave("held")
        return given

    done = []
    for block, given in read_compute_write(Grid((BLOCKS,), (1,)), read, compute, write, workers=workers):
        assert block.index == given
        done.append(given)
        time.sleep(PAUSE * (slow == "caller"))
    assert sorted(done) == list(range(BLOCKS))
    assert most["held"] <= workers + blocks_waiting(workers)
    assert most["compute"] <= workers and most["read"] <= READERS
