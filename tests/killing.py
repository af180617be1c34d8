"""Runs commands and kills them, at a moment or in the middle of a write, until they come to an end.

A fresh interpreter imports everything and forks a child for each run: as a module, so that no thread of the tests is
forked with it::

    python -m tests.killing '{"argv": ["classify", …], "output": …, "kills": [["point", 12], ["seconds", 0.4]]}'

It prints what happened as JSON: how each run ended, and how many points there are for a kill.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Kill = tuple[str, float]

ROOT = Path(__file__).resolve().parents[1]


def run_killed(argv: Sequence[str], output: Path, kills: Sequence[Kill] = ()) -> dict[str, Any]:
    """Run a command, killed and run again, until its output is complete; fails if it does not come to that end.

    Parameters
    ----------
    argv : sequence of str
        Of `ecc_rf.cli.main`.
    output : Path
        Complete if it is there and has no ledger.
    kills : sequence of (str, float)
        ``("seconds", s)``: after so long. ``("point", k)``: at the k-th call that makes something durable, renames or
        removes something, or writes a chunk, of which half is then written.

    Returns
    -------
    dict
        ``statuses`` of the runs (-9: killed), ``places`` where they were killed (``chunk write``, ``fsync``, ``rename``
        …, ``moment``; empty if they were not), ``points`` and ``seconds`` of the last run.
    """
    request = json.dumps({"argv": list(argv), "output": str(output), "kills": [*kills]})
    done = subprocess.run(
        [sys.executable, "-m", "tests.killing", request],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def tree(path: Path) -> dict[str, bytes]:
    """All files of a folder, or a file, with their bytes."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _serve(argv: list[str], output: str, kills: list[Kill]) -> dict[str, Any]:
    # Once for all children; nothing of it starts a thread before it is used.
    import ecc_rf.conversion
    import ecc_rf.pipeline  # noqa: F401

    statuses: list[int] = []
    places: list[str] = []
    points, seconds = 0, 0.0
    for kill in (*kills, None):
        started = time.monotonic()
        status, points, place = _run(argv, kill)
        seconds = time.monotonic() - started
        statuses.append(status)
        places.append(place if status else "")
        assert status in (0, -9), f"a run ended with {status}"
        # Killed behind the last step, it is complete: another run would only say so.
        if status == 0 or (Path(output).exists() and not Path(f"{output}.ledger").exists()):
            break
    return {"statuses": statuses, "places": places, "points": points, "seconds": seconds}


def _run(argv: list[str], kill: Kill | None) -> tuple[int, int, str]:
    """Status of one run, how many points it passed if it came to its end, and else where it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 70
        try:
            count = _arm(int(kill[1]) if kill and kill[0] == "point" else None, writing)
            sys.stdout = sys.stderr
            from ecc_rf.cli import main

            status = main(argv)
            os.write(writing, str(count()).encode())
        finally:
            os._exit(status)
    os.close(writing)
    if kill and kill[0] == "seconds":
        timer = threading.Timer(kill[1], lambda: os.kill(child, signal.SIGKILL))
        timer.start()
        _, status = os.waitpid(child, 0)
        timer.cancel()
    else:
        _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    points = int(told) if told.isdecimal() else 0
    return os.waitstatus_to_exitcode(status), points, "" if told.isdecimal() else told or "moment"


def _arm(point: int | None, telling: int) -> Callable[[], int]:
    """Count the points from now on, and die at one of them."""
    import zarr.storage._local as store

    from ecc_rf.blocks import checkpoint

    checkpoint.COMMIT_SECONDS = 0.0  # every block is noted at once: the more points there are between
    numbers = itertools.count()
    passed = [0]
    lock = threading.Lock()

    def due() -> bool:
        with lock:
            passed[0] = next(numbers)
            return passed[0] == point

    def die(place: str) -> None:
        os.write(telling, place.encode())
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # no other thread goes on in this one's place

    def deadly(name: str) -> None:
        original = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if due():
                die(name)
            return original(*arguments, **options)

        setattr(os, name, call)

    for name in ("fsync", "replace", "rename", "unlink", "rmdir"):
        deadly(name)
    put = store._put

    def half(path: Path, value: Any, *arguments: Any, **options: Any) -> Any:
        if due():
            path.parent.mkdir(parents=True, exist_ok=True)
            content = bytes(value.as_buffer_like())
            path.with_suffix(".killed.partial").write_bytes(content[: len(content) // 2])
            die("chunk write")
        return put(path, value, *arguments, **options)

    store._put = half
    return lambda: passed[0]


if __name__ == "__main__":
    print(json.dumps(_serve(**json.loads(sys.argv[1]))))
