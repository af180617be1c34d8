"""Mutants of a project through the commands, and the table of what became of them.

Each run has a process of its own. What must never be: a traceback, a crash of the process, a hang, more than a
gigabyte, planted code that ran, and a result that is not that of the file as an independent reading finds it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import h5py
import numpy as np

from ecc_rf.cli import main
from tests.fuzzing.damage import anchors, damaged
from tests.fuzzing.structure import restructured
from tests.fuzzing.trimming import trimmed
from tests.fuzzing.watch import TRACEBACK, Ending, watched

SECONDS = 10.0
MEMORY = 1 << 30

GOOD = ("equal", "works with a note", "other content", "clear error")
BAD = ("wrong", "unclear error", "traceback", "hang", "crash", "memory", "canary")


@dataclass(frozen=True)
class Base:
    """A good project, with an image that it can classify."""

    name: str
    project: Path
    image: str
    roi: str = ""
    companions: tuple[Path, ...] = ()
    commands: tuple[str, ...] = ("info", "classify", "train")
    lost: bool = False  # whether the image of its lane has to be given, for it is not where the project says


Command = Callable[[Base, Path, Path], list[str]]
"""Arguments of the command line for a base, its mutant and a folder to write into."""


def _info(base: Base, mutant: Path, out: Path) -> list[str]:
    return ["info", str(mutant), "--json"]


def _classify(base: Base, mutant: Path, out: Path) -> list[str]:
    roi = ["--roi", base.roi] if base.roi else []
    return ["classify", str(mutant), base.image, "-o", str(out / "p.npy"), *roi, "--workers", "1", "-q"]


def _train(base: Base, mutant: Path, out: Path) -> list[str]:
    """Labels, lanes and features of the project are read, its images, and all of it copied; three trees are quick."""
    given = ["--image", f"0={base.image}"] if base.lost else []
    return ["train", str(mutant), "-o", str(out / "new.ilp"), "--trees", "3", "--workers", "1", "-q", *given]


COMMANDS: dict[str, Command] = {"info": _info, "classify": _classify, "train": _train}
"""To be extended by every command that reads a project; what it writes into its folder is compared."""


@dataclass
class Table:
    """Outcomes by command, and the mutants that must not be."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    offenders: list[str] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0

    def add(self, command: str, outcome: str, ending: Ending, described: str) -> None:
        self.counts.setdefault(command, Counter())[outcome] += 1
        self.slowest = max(self.slowest, ending.seconds)
        self.largest = max(self.largest, ending.peak)
        if outcome in BAD:
            self.offenders.append(f"{outcome}: {command}: {described}")

    def lines(self) -> list[str]:
        shown = [*GOOD, *BAD]
        rows = [["command", *shown]]
        rows += [[command, *(str(found[name]) for name in shown)] for command, found in self.counts.items()]
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows] + [
            f"slowest {self.slowest:.1f} s, largest {self.largest / 2**20:.0f} MiB"
        ]


def mutants(base: Base, seed: int, work: Path, canary: Path) -> Iterator[tuple[int, Path, str]]:
    """Mutants without end: number, file, what was done. Half are damaged, half restructured."""
    data, places = base.project.read_bytes(), anchors(base.project)
    target = work / base.project.name
    number = 0
    while True:
        random = Random(f"{seed} {base.name} {number}")
        if number % 2:
            target.write_bytes(data)
            done = restructured(target, random, canary)
        else:
            mutant, done = damaged(data, places, random)
            target.write_bytes(mutant)
        yield number, target, done
        number += 1


def campaign(
    base: Base, counts: Mapping[str, int], seed: int, work: Path, keep: Path | None = None, *, small: bool = False
) -> Table:
    """The first so many mutants through each command; bad ones are kept in a folder, with what was printed.

    They are made from the project itself, or from a small copy.
    """
    counts = {name: count for name, count in counts.items() if count and name in base.commands}
    names = list(counts)
    canary, out, printed = work / "canary", work / "out", work / "printed.txt"
    place = work / "project"
    place.mkdir(parents=True)
    for companion in base.companions:
        (place / companion.name).symlink_to(companion)
    if small:
        (work / "good").mkdir()
        trimmed(base.project, work / "good" / base.project.name)
        base = replace(base, project=work / "good" / base.project.name)
    shutil.copy(base.project, place / base.project.name)
    known: dict[str, tuple[str, str]] = {}
    for name in names:  # in this process first: what is imported and compiled now is there in every child
        _emptied(out)
        arguments = COMMANDS[name](base, place / base.project.name, out)
        ending = watched(lambda: main(arguments), printed, 300)  # noqa: B023 (it runs before the next round)
        if ending.status != 0:
            raise RuntimeError(f"{base.name}: {name} fails on the good project:\n{printed.read_text()}")
        known[name] = _result(name, out, printed), relevant(place / base.project.name)
    table = Table()
    for number, mutant, done in mutants(base, seed, place, canary):
        if number == max(counts.values(), default=0):
            return table
        for name in (name for name in names if number < counts[name]):
            _emptied(out)
            arguments = COMMANDS[name](base, mutant, out)
            ending = watched(lambda: main(arguments), printed, SECONDS)  # noqa: B023
            outcome = _judged(name, ending, canary, out, printed, known[name], mutant)
            described = f"{base.name}, seed {seed}, number {number}: {done}"
            table.add(name, outcome, ending, described)
            if outcome in BAD and keep is not None:
                kept = keep / f"{base.name}-{seed}-{number}-{name}-{outcome.replace(' ', '_')}"
                kept.mkdir(parents=True, exist_ok=True)
                shutil.copy(mutant, kept)
                (kept / "printed.txt").write_text(f"{described}\n{printed.read_text(errors='replace')}")
            canary.unlink(missing_ok=True)
    return table


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _judged(
    command: str, ending: Ending, canary: Path, out: Path, printed: Path, known: tuple[str, str], mutant: Path
) -> str:
    text = printed.read_text(errors="replace")
    if canary.exists():
        return "canary"
    if ending.status is None:
        return "hang"
    if ending.status < 0:
        return "crash"
    if ending.status == TRACEBACK or "Traceback" in text:
        return "traceback"
    if ending.peak > MEMORY:
        return "memory"
    if ending.status != 0:
        clear = ending.status == 2 and is_clear(text)
        return "clear error" if clear and not any(out.iterdir()) else "unclear error"
    if _result(command, out, printed) == known[0]:
        return "equal"
    if _noted(command, text):
        return "works with a note"
    return "other content" if relevant(mutant) != known[1] else "wrong"


def is_clear(text: str) -> bool:
    """Whether what was printed is an error that says what and where, at the most after notes."""
    lines = [line for line in text.splitlines() if not line.startswith("note: ")]
    return bool(lines) and lines[0].startswith("ecc-rf: error: ") and "\n  where: " in text


def _noted(command: str, text: str) -> bool:
    if command != "info":
        return "note" in text.lower()
    described = json.loads(text[text.index("{") :])
    parts = [described["features"], described["forest"], *described["lanes"]]
    return bool(described["notes"] or any(p.get("problem") or p.get("notes") or p.get("stale") for p in parts))


def _result(command: str, out: Path, printed: Path) -> str:
    """A digest of what a command gave: the files that it wrote, or else what it printed."""
    if command == "train":  # the report beside it tells times, and planted code is copied
        return relevant(out / "new.ilp")
    digest = hashlib.sha256()
    files = sorted(path for path in out.rglob("*") if path.is_file())
    for path in files:
        digest.update(str(path.relative_to(out)).encode())
        digest.update(path.read_bytes())
    if not files:
        digest.update(printed.read_bytes())
    return digest.hexdigest()


def relevant(path: Path) -> str:
    """A digest of all that h5py finds in a project: names, types, shapes, values, attributes.

    In a child: h5py may crash on a damaged file, or not end. Then the digest is that of nothing.
    """
    target = path.with_name("content.txt")
    target.unlink(missing_ok=True)
    watched(lambda: _write_contents(path, target), path.with_name("content.log"), 60)
    return target.read_text() if target.exists() else ""


def _write_contents(path: Path, target: Path) -> None:
    digest = hashlib.sha256()

    def visit(name: bytes, info: h5py.h5o.ObjInfo) -> None:
        # the planted bookmark, which is in every second mutant, and the names under which data are linked twice
        if name == b"." or name.startswith(b"PixelClassification/Bookmarks"):
            return
        digest.update(name)
        if info.num_attrs or info.type != h5py.h5o.TYPE_GROUP:  # a forest has hundreds of groups that say no more
            _describe(file[name], digest)

    try:
        with h5py.File(path, "r") as file:
            h5py.h5o.visit(file.id, visit, info=True)
    except Exception as error:  # any damage: other content
        digest.update(repr(error).encode())
    target.write_text(digest.hexdigest())


def _describe(node: h5py.Group | h5py.Dataset, digest: hashlib._Hash) -> None:
    """Attributes, type, shape and values of an object."""
    if h5py.h5a.get_num_attrs(node.id):
        for key, value in sorted(node.attrs.items()):
            digest.update(f"{key}={value!r}".encode(errors="surrogateescape"))
    if isinstance(node, h5py.Dataset):
        digest.update(f"{node.shape} {node.dtype}".encode())
        digest.update(np.asarray(node[()]).tobytes() if node.dtype.kind != "O" else repr(node[()]).encode())
