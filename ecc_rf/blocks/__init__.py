"""Cutting volumes into blocks and running functions over them."""

from ecc_rf.blocks.grid import Block, Grid
from ecc_rf.blocks.memory import BASE, BlockCost, choose_block, parse_memory, show_memory
from ecc_rf.blocks.progress import Progress, SilentProgress, TerminalProgress
from ecc_rf.blocks.runner import count_not_finite, resolve_workers, run_blocks

__all__ = [
    "BASE",
    "Block",
    "BlockCost",
    "Grid",
    "Progress",
    "SilentProgress",
    "TerminalProgress",
    "choose_block",
    "count_not_finite",
    "parse_memory",
    "resolve_workers",
    "run_blocks",
    "show_memory",
]
