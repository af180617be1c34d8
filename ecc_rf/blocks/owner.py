"""Who is at work on an output: two runs on one output at once are found out, a dead one stands in nobody's way.

Every process at work keeps a file of its own in the ledger's folder, ``owner-TOKEN.json``, and rewrites it every few
seconds with a number that grows. There is no lock: a lock of a machine that has died hangs for ever.

* On the same machine a process is asked for by its number and the moment of its start.
* On another machine it is watched: if its number does not grow for `SILENCE` seconds it is dead. No clock is compared
  with another, so that one that is wrong, or is set back, does no harm.

Who comes writes its file first and then looks for others; who sees one that is at work leaves. Two that come at the
same moment see each other, and at most one stays::

    write "starting" → is one "running", or "starting" with a smaller token?  → leave
    write "running"  → is there any with a smaller token?                     → leave
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from ecc_rf.blocks.ledger import ledger_error, write_durably
from ecc_rf.errors import OutputBusyError

BEAT = 5.0
"""Seconds between two signs of life."""

SILENCE = 30.0
"""Seconds without one after which a process on another machine is taken for dead: several beats, and what a network
file system keeps in its cache."""

Part = tuple[int, int]
"""Number from 1, and how many there are."""

WHOLE: Part = (1, 1)


@dataclass(frozen=True)
class Sign:
    """What an owner writes of itself."""

    token: str
    host: str
    place: str
    pid: int
    born: str
    part: Part
    state: str
    beat: int

    @classmethod
    def read(cls, path: Path) -> Sign | None:
        """None if the file is gone, or is no owner's."""
        try:
            stored = json.loads(path.read_bytes())
            return cls(**{**stored, "part": tuple(stored["part"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def hinders(self, part: Part) -> bool:
        """Whether the work of this owner and of a part may be the same blocks.

        >>> Sign("", "", "", 0, "", (1, 3), "", 0).hinders((2, 3))
        False
        >>> Sign("", "", "", 0, "", (1, 3), "", 0).hinders((2, 4))
        True
        """
        return self.part == part or self.part[1] != part[1]


class Owner:
    """This process's work on one part of an output; a context manager.

    Parameters
    ----------
    folder : Path
        The ledger's.
    part : (int, int)
        Which part; parts of one number of parts do not hinder each other.
    """

    def __init__(self, folder: Path, part: Part = WHOLE) -> None:
        self._folder = folder
        self._part = part
        self._token = uuid.uuid4().hex
        self._path = folder / f"owner-{self._token}.json"
        self._beat = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="owner", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._write("starting")
            self._refuse(lambda other: other.state == "running" or other.token < self._token)
            self._write("running")
            self._refuse(lambda other: other.token < self._token)
        except BaseException as error:
            self._path.unlink(missing_ok=True)
            if isinstance(error, OSError) and not isinstance(error, OutputBusyError):
                raise ledger_error(self._folder, error) from error
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self, state: str) -> None:
        self._beat += 1
        sign = Sign(
            self._token,
            socket.gethostname(),
            _place(),
            os.getpid(),
            _born(os.getpid()),
            self._part,
            state,
            self._beat,
        )
        write_durably(self._path, json.dumps(asdict(sign)).encode())

    def _keep_beating(self) -> None:
        while not self._stop.wait(BEAT):
            # A full disk or a removed folder is found out, and said, by whoever notes the next block.
            with contextlib.suppress(OSError):
                if self._path.exists():
                    self._write("running")

    def _refuse(self, hinders: Callable[[Sign], bool]) -> None:
        for other in live_owners(self._folder, besides=self._token, part=self._part):
            if hinders(other):
                raise OutputBusyError(
                    f"Another run is at work on this output: process {other.pid} on {other.host}{_named(other.part)}.",
                    where=str(self._folder),
                    do="Wait for it, or stop it; then run the same command again.",
                )


def live_owners(folder: Path, *, besides: str = "", part: Part | None = None) -> list[Sign]:
    """Owners that are alive; files of dead ones are removed.

    Parameters
    ----------
    folder : Path
    besides : str
        Token of an owner that is left out.
    part : (int, int), optional
        Only owners that hinder this part.
    """
    signs = [
        (path, sign)
        for path in sorted(folder.glob("owner-*.json"))
        if (sign := Sign.read(path)) is not None and sign.token != besides and (part is None or sign.hinders(part))
    ]
    alive = []
    away = []
    for path, sign in signs:
        if sign.place != _place() or os.name == "nt":  # there, signal 0 would end the process
            away.append((path, sign))
        elif _is_process(sign):
            alive.append(sign)
        else:
            path.unlink(missing_ok=True)
    return alive + _that_beat(away)


def _that_beat(signs: list[tuple[Path, Sign]]) -> list[Sign]:
    """Those of other machines that give a sign of life; it takes `SILENCE` seconds to know that one does not."""
    waiting = dict(signs)
    alive = []
    until = time.monotonic() + SILENCE
    while waiting and time.monotonic() < until:
        time.sleep(min(BEAT, SILENCE) / 5)
        for path, sign in list(waiting.items()):
            now = Sign.read(path)
            if now is None:
                del waiting[path]  # it has ended
            elif now.beat != sign.beat:
                alive.append(now)
                del waiting[path]
    for path in waiting:
        path.unlink(missing_ok=True)
    return alive


@cache
def _place() -> str:
    """The machine since its last start, and the container: where a process's number means that process."""
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with contextlib.suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return f"{socket.gethostname()} {boot} {namespace}"


def _born(pid: int) -> str:
    """When a process was started, in ticks since the machine was; empty if it is not known or has ended."""
    with contextlib.suppress(OSError, IndexError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]  # ended, only its parent has not asked yet
    return ""


def _is_process(sign: Sign) -> bool:
    if sign.born:
        return _born(sign.pid) == sign.born
    try:
        os.kill(sign.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _named(part: Part) -> str:
    return "" if part == WHOLE else f", part {part[0]} of {part[1]}"
