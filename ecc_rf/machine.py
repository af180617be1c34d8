"""How a job is carried out: threads or processes, memory, as a whole or in parts, from the start or where it was."""

from __future__ import annotations

from dataclasses import dataclass

from ecc_rf.blocks.owner import WHOLE, Part
from ecc_rf.blocks.remote import Backend


@dataclass(frozen=True)
class Machine:
    """How an order is carried out; nothing of the result depends on it.

    Attributes
    ----------
    workers, memory
        As in `PixelClassifier.predict_volume`.
    backend : Backend, optional
        Other processes that do the work; None: threads.
    part : (int, int)
        Which part of the blocks is computed, number from 1, and how many there are.
    restart : bool
        Whether an unfinished run is removed instead of gone on with.
    """

    workers: int | None = None
    memory: str | int | None = None
    backend: Backend | None = None
    part: Part = WHOLE
    restart: bool = False
