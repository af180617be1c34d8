#!/usr/bin/env python3
"""Coverage-guided fuzzing of the readers, with atheris (pip install atheris); see tests/fuzzing/readers.py.

    python scripts/fuzz_readers.py --seconds 300
    python scripts/fuzz_readers.py tiff nifti --seconds 60 --keep offenders

Each target runs in a process of its own, which begins with good inputs and keeps what reaches new lines. The exit
status is 1 if a reader raised anything but an error that a user can read, hung, or took more than 2 GB. Without
atheris nothing is run, which is said; `--blind N` does without it: N mutations of the good inputs, by a fixed seed.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def fuzz(name: str, seconds: int, keep: Path) -> None:
    """In the process of a target; never returns."""
    import atheris

    with atheris.instrument_imports(include=["ecc_rf", "tifffile", "nibabel"]):
        from tests.fuzzing.readers import TARGETS, attempt
    target = TARGETS[name]
    corpus = keep / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"]
    options += [f"-artifact_prefix={keep}/{name}-", "-verbosity=1", str(corpus)]
    atheris.Setup([sys.argv[0], *options], lambda data: attempt(target, data))
    atheris.Fuzz()


def run() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; default 60")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep inputs here: the corpus, and what went wrong")
    parser.add_argument("--blind", type=int, metavar="N", help="N mutations of the good inputs instead")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    logging.disable()
    keep = (a.keep or Path(tempfile.mkdtemp(prefix="fuzz-readers-"))).absolute()
    if a.child:
        fuzz(a.targets[0], a.seconds, keep)
    if a.blind is not None:
        return blind(a.targets, a.blind)
    if importlib.util.find_spec("atheris") is None:
        print("skipped: atheris is not installed (pip install atheris); --blind N does without it")
        return 0
    from tests.fuzzing.readers import TARGETS

    bad = []
    for name in a.targets or TARGETS:
        command = [sys.executable, __file__, name, "--child", "--seconds", str(a.seconds), "--keep", str(keep)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        tail = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        how = "good" if done.returncode == 0 else f"BAD (status {done.returncode})"
        print(f"{name}: {how}: {tail[-1] if tail else ''}", flush=True)
        if done.returncode:
            bad.append(name)
            (keep / f"{name}.log").write_text(done.stderr)
    print(f"{len(bad)} bad; inputs in {keep}")
    return 1 if bad else 0


def blind(names: list[str], number: int) -> int:
    """Mutations by a fixed seed; what a reader must not raise ends this with a traceback."""
    from tests.fuzzing.readers import TARGETS, attempt, mutations

    for name in names or TARGETS:
        seeds = TARGETS[name].seeds()
        for data in [*seeds, *mutations(seeds, number, seed=0)]:
            try:
                attempt(TARGETS[name], data)
            except Exception:
                print(f"{name}: BAD: {data[:400]!r}", flush=True)
                raise
        print(f"{name}: good: {number} mutations", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run())
