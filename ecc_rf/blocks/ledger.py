"""Which blocks are done: kept on disk beside an unfinished output, so that a run can be cut anywhere and gone on with.

A ledger is a folder::

    job.json                     what is computed: the fingerprint, and how the volume is cut into blocks
    STAGE-TOKEN.journal          one per process and stage; blocks that are done, perhaps with what they gave
    owner-TOKEN.json             one per process that is at work (`ecc_rf.blocks.owner`)

Nothing is ever changed in place and nothing is locked. A journal has one writer, which only appends::

    | magic | checksum | block | length | payload |  | magic | checksum | ...
       4         4         8       8      length

The checksum covers the rest of the record and the job, so that a torn or damaged record, or one of another job, is no
proof: reading a journal ends there, and the blocks without proof are computed again. A record is written when the
block's own bytes are on the disk, never before; the order is the caller's (`Journal.append`, `Journal.commit`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from ecc_rf.errors import OutputError, ResumeError

T = TypeVar("T")

_RECORD = struct.Struct("<4sIQQ")
_MAGIC = b"ECB1"
_BODY = struct.Struct("<QQ")
_JOB = "job.json"

_START_AGAIN = "Give the same settings as before to go on, or --restart to begin anew."


class Ledger:
    """The record of one job.

    Parameters
    ----------
    folder : Path
        Of a ledger that is there.

    Raises
    ------
    ResumeError
        If the ledger cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            stored = json.loads((folder / _JOB).read_bytes())
            self.fingerprint: dict[str, Any] = stored["fingerprint"]
            self.layout: dict[str, Any] = stored["layout"]
            sound = stored["checksum"] == _digest(self.fingerprint, self.layout)
        except FileNotFoundError as error:
            raise ResumeError(
                "The unfinished run has no record of what it was.", where=str(folder), do="Give --restart."
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(str(error)) from error
        if not sound:
            raise self._damaged("its checksum is wrong")
        self._salt = zlib.crc32(stored["checksum"].encode())

    def _damaged(self, reason: str) -> ResumeError:
        return ResumeError(
            f"The record of the unfinished run is damaged: {reason}.",
            where=str(self.folder / _JOB),
            do="Give --restart to begin anew.",
        )

    @classmethod
    def create(cls, folder: Path, fingerprint: Mapping[str, Any], layout: Mapping[str, Any]) -> Ledger:
        """A new ledger in a folder that is made.

        Parameters
        ----------
        folder : Path
        fingerprint : mapping
            Everything that the result depends on, JSON-able; a resume must bring the same.
        layout : mapping
            What the resume takes over: how the volume is cut, which of it belongs to whom.
        """
        made, cut = _plain(fingerprint), _plain(layout)
        folder.mkdir(parents=True)
        content = {"fingerprint": made, "layout": cut, "checksum": _digest(made, cut)}
        write_durably(folder / _JOB, json.dumps(content, indent=1).encode())
        return cls(folder)

    def refuse_other(self, fingerprint: Mapping[str, Any]) -> None:
        """Refuse to go on with another job than the one that was begun.

        Raises
        ------
        ResumeError
            The message says what differs.
        """
        different = list(differences(self.fingerprint, _plain(fingerprint)))
        if different:
            raise ResumeError(
                "An unfinished run of other settings lies there: " + "; ".join(different) + ".",
                where=str(self.folder),
                do=_START_AGAIN,
            )

    def is_other(self, fingerprint: Mapping[str, Any]) -> bool:
        """Whether the fingerprint is that of another job."""
        return self.fingerprint != _plain(fingerprint)

    def journal(self, stage: str) -> Journal:
        """The blocks of a stage that are done, by whatever process."""
        return Journal(self.folder, stage, self._salt)


class Journal:
    """Blocks of one stage that are done; use it in a with-block if something is to be added.

    Attributes
    ----------
    stage : str
    done : set of int
        Numbers of the blocks.
    """

    def __init__(self, folder: Path, stage: str, salt: int) -> None:
        self._folder = folder
        self.stage = stage
        self._salt = salt
        self._places: dict[int, tuple[Path, int, int]] = {}
        self._file: BinaryIO | None = None
        self._path = folder / f"{stage}-{uuid.uuid4().hex}.journal"
        self._waiting: list[tuple[int, bytes]] = []
        for path in sorted(folder.glob(f"{stage}-*.journal")):
            for index, start, length in self._records(path):
                self._places[index] = (path, start, length)
        self.done: set[int] = set(self._places)

    def _records(self, path: Path) -> Iterator[tuple[int, int, int]]:
        """Block, place and length of the payload of every record up to the first that is torn or damaged."""
        size = path.stat().st_size
        with path.open("rb") as file:
            while len(head := file.read(_RECORD.size)) == _RECORD.size:
                magic, checksum, index, length = _RECORD.unpack(head)
                start = file.tell()
                if magic != _MAGIC or length > size - start:
                    return
                if self._checksum(index, file.read(length)) != checksum:
                    return
                yield index, start, length

    def _checksum(self, index: int, payload: bytes) -> int:
        return zlib.crc32(payload, zlib.crc32(_BODY.pack(index, len(payload)), self._salt))

    def payload(self, index: int) -> bytes:
        """What was stored with a block that is done."""
        path, start, length = self._places[index]
        with path.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def payloads(self, decode: Callable[[bytes], Iterable[T]]) -> Iterator[T]:
        """What was stored with all blocks that are done, taken apart; nothing for those without."""
        for index, (_, _, length) in sorted(self._places.items()):
            if length:
                yield from decode(self.payload(index))

    def append(self, index: int, payload: bytes = b"") -> None:
        """Note a block as done, on the next `commit`."""
        self._waiting.append((index, payload))

    def commit(self) -> None:
        """Store what was noted; when this returns it is on the disk.

        Raises
        ------
        OutputError
            If it cannot be written, or if the folder has been removed.
        """
        if not self._waiting:
            return
        try:
            if self._file is None:
                self._file = self._path.open("xb")
                _sync_folder(self._folder)
            at = self._file.tell()
            for index, payload in self._waiting:
                checksum = self._checksum(index, payload)
                self._file.write(_RECORD.pack(_MAGIC, checksum, index, len(payload)) + payload)
                self._places[index] = (self._path, at + _RECORD.size, len(payload))
                at += _RECORD.size + len(payload)
            self._file.flush()
            os.fsync(self._file.fileno())
            # A folder that was removed takes what is written and loses it: an open file does not notice.
            if not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno())):
                raise FileNotFoundError(f"{self._path} was replaced")
        except OSError as error:
            raise ledger_error(self._folder, error) from error
        self.done.update(index for index, _ in self._waiting)
        self._waiting.clear()

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # what counts was written and checked by `commit`
                self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ledger_error(folder: Path, error: OSError) -> OutputError:
    """What the operating system says of a ledger's folder, for the user."""
    if isinstance(error, FileNotFoundError):
        return OutputError(
            "The unfinished output was removed or renamed while it was being written.",
            where=str(folder),
            do="Start again; nothing of it can be gone on with.",
        )
    return OutputError(
        f"The record of what is done cannot be written: {error.strerror or error}.",
        where=str(folder),
        do="Make room, mend the permissions or give another folder; then run the same command again to go on.",
    )


def differences(then: Any, now: Any, name: str = "") -> Iterator[str]:
    """What differs between two fingerprints, in words.

    >>> list(differences({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": [2]}}))
    ['b.c was [1] and is [2]']
    """
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted({*then, *now}):
            yield from differences(then.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif then != now:
        yield f"{name} was {_short(then)} and is {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back, so that what was stored can be compared with what is at hand."""
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write_durably(path: Path, content: bytes) -> None:
    """Write a small file as a whole or not at all; it is on the disk when this returns."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    with contextlib.suppress(OSError):  # Windows and some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
