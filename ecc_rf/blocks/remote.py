"""Blocks in other processes: joblib's on this machine, or the workers of dask.distributed on any.

Every process opens image and output itself and writes its own chunks; what comes back is only that a block is safely
stored. A process that dies costs its blocks, which are done again. They are in no way different the second time, so
that one that is taken for dead and is not does no harm.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from ecc_rf.errors import SettingError, WorkerError

MOST_DEATHS = 3
"""So many times in a row a process may die before the work is given up."""

LOCAL = "local"


class Work(Protocol):
    """What a process can do once it has opened everything."""

    def work(self, index: int) -> bytes:
        """A block from reading to safe on the disk; returns what the ledger notes with it."""


class Order(Protocol):
    """Can be pickled, and opens the work in another process."""

    def begin(self) -> Work: ...


@dataclass(frozen=True)
class Backend:
    """Which processes do the work.

    Attributes
    ----------
    kind : {'processes', 'dask'}
    address : str
        Of the dask scheduler, such as ``tcp://node1:8786``; ``local`` starts one here.
    """

    kind: str
    address: str = LOCAL

    @property
    def elsewhere(self) -> bool:
        """Whether the processes are on other machines."""
        return self.kind == "dask" and self.address != LOCAL

    def __post_init__(self) -> None:
        if self.kind not in ("processes", "dask"):
            raise SettingError(f"{self.kind!r} is no backend.", where="backend", do="Choose processes or dask.")


def run_remotely(order: Order, backend: Backend, indices: Sequence[int], workers: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number of every block, with what the ledger notes, as soon as it is stored.

    Raises
    ------
    WorkerError
        If processes die again and again, or the scheduler cannot be reached.
    EccError
        What a block raises.
    """
    run = _run_dask if backend.kind == "dask" else _run_processes
    return run(order, backend, indices, workers)


_began: dict[int, Work] = {}
_beginning = Lock()


def _begin(order: Order) -> None:
    _began[0] = order.begin()


def _work(index: int) -> bytes:
    return _began[0].work(index)


def _run_processes(order: Order, backend: Backend, indices: Sequence[int], workers: int) -> Iterator[tuple[int, bytes]]:
    from concurrent.futures import FIRST_COMPLETED, Future, wait
    from concurrent.futures.process import BrokenProcessPool

    from joblib.externals.loky import ProcessPoolExecutor

    left = dict.fromkeys(indices)
    deaths = 0
    while left:
        pool = ProcessPoolExecutor(min(workers, len(left)), initializer=_begin, initargs=(order,))
        source = iter(list(left))
        running: dict[Future[bytes], int] = {
            pool.submit(_work, index): index for index in itertools.islice(source, 2 * workers)
        }
        try:
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    index = running.pop(future)
                    payload = future.result()
                    deaths = 0
                    del left[index]
                    for following in itertools.islice(source, 1):
                        running[pool.submit(_work, following)] = following
                    yield index, payload
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == MOST_DEATHS:
                raise _given_up(sorted(running.values())) from error
        finally:
            pool.shutdown(wait=True, kill_workers=True)


def _given_up(indices: Sequence[int]) -> WorkerError:
    return WorkerError(
        f"Processes died {MOST_DEATHS} times without finishing a block.",
        where=f"blocks {', '.join(map(str, indices[:4]))}" if indices else "",
        do="They are often ended for want of memory: give fewer --workers or less --memory, and run it again.",
    )


def _run_dask(order: Order, backend: Backend, indices: Sequence[int], workers: int) -> Iterator[tuple[int, bytes]]:
    distributed: Any  # untyped
    try:
        import distributed
    except ImportError as error:
        raise SettingError(
            "dask.distributed is not installed.", where="dask", do="pip install 'ecc_rf[dask]'"
        ) from error
    cluster = None
    try:
        if backend.address == LOCAL:
            cluster = distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
        client = distributed.Client(cluster or backend.address, timeout=30)
    except (OSError, ValueError) as error:
        raise WorkerError(
            f"The dask scheduler cannot be reached: {error}", where=backend.address, do="Check its address."
        ) from error
    try:
        threads = max(1, sum(client.nthreads().values()))
        shared = client.submit(_hand_on, order, pure=False)
        source = iter(indices)

        def submit(index: int) -> Any:
            return client.submit(_work_shared, shared, index, key=f"{shared.key}-{index}", pure=False)

        done = distributed.as_completed([submit(index) for index in itertools.islice(source, 2 * threads)])
        for future in done:
            index = int(future.key.rpartition("-")[2])
            try:
                payload = future.result()
            except distributed.KilledWorker as error:
                raise _given_up([index]) from error
            future.release()
            for following in itertools.islice(source, 1):
                done.add(submit(following))
            yield index, payload
    finally:
        # What still runs elsewhere is cancelled; a block that is being written is written as it would be anyway.
        client.close()
        if cluster is not None:
            cluster.close()


def _hand_on(order: Order) -> Order:
    return order


def _work_shared(order: Order, index: int) -> bytes:
    """In a worker of dask, which may be asked for blocks of several runs one after the other."""
    key = id(order)
    with _beginning:
        if key not in _began:
            _began.clear()
            _began[key] = order.begin()  # which keeps the order, so that no other gets its number
        work = _began[key]
    return work.work(index)
