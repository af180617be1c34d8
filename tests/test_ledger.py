"""The ledger by itself: journals that are torn or damaged, owners that live, die, or have a clock of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_rf.blocks import owner
from ecc_rf.blocks.checkpoint import Checkpoint
from ecc_rf.blocks.ledger import Ledger, differences
from ecc_rf.blocks.owner import Owner, Sign, live_owners
from ecc_rf.errors import OutputBusyError, OutputError, OutputExistsError, ResumeError, SettingError

FINGERPRINT = {"image": {"shape": [3, 4]}, "labels": [1]}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "out.ledger", FINGERPRINT, {"blocks": 9})


def note(ledger: Ledger, *blocks: int, stage: str = "a") -> Path:
    """Note blocks as done, in a journal of their own; each with its number as text."""
    before = set(ledger.folder.glob("*.journal"))
    with ledger.journal(stage) as journal:
        for block in blocks:
            journal.append(block, str(block).encode() * block)
        journal.commit()
    (new,) = set(ledger.folder.glob("*.journal")) - before
    return new


def test_what_is_noted_is_known_to_all(ledger: Ledger) -> None:
    note(ledger, 3, 1)
    note(ledger, 2)
    note(ledger, 8, stage="b")
    journal = Ledger(ledger.folder).journal("a")
    assert journal.done == {1, 2, 3}
    assert journal.payload(3) == b"333"


def test_what_is_not_committed_is_not_done(ledger: Ledger) -> None:
    with ledger.journal("a") as journal:
        journal.append(1)
        assert journal.done == set()
    assert ledger.journal("a").done == set()


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 200))
def test_a_torn_journal_proves_what_is_whole(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    ledger = Ledger.create(tmp_path_factory.mktemp("torn") / "x", FINGERPRINT, {})
    path = note(ledger, 1, 2, 3, 4)
    ends = [24 * n + sum(range(n + 1)) for n in range(5)]
    content = path.read_bytes()
    assert len(content) == ends[-1]
    path.write_bytes(content[:cut])
    whole = sum(end <= cut for end in ends) - 1
    assert ledger.journal("a").done == set(range(1, whole + 1))


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 105), bit=st.integers(0, 7))
def test_a_damaged_journal_proves_nothing_wrong(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    ledger = Ledger.create(tmp_path_factory.mktemp("damaged") / "x", FINGERPRINT, {})
    path = note(ledger, 1, 2, 3, 4)
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)
    journal = ledger.journal("a")
    assert journal.done < {1, 2, 3, 4}
    assert all(journal.payload(block) == str(block).encode() * block for block in journal.done)


def test_a_journal_of_another_job_proves_nothing(ledger: Ledger, tmp_path: Path) -> None:
    path = note(ledger, 1, 2)
    other = Ledger.create(tmp_path / "other", {**FINGERPRINT, "labels": [2]}, {"blocks": 9})
    (other.folder / path.name).write_bytes(path.read_bytes())
    assert other.journal("a").done == set()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"fingerprint": {}}', b"\xff"])
def test_a_damaged_job_is_refused(ledger: Ledger, content: bytes) -> None:
    (ledger.folder / "job.json").write_bytes(content)
    with pytest.raises(ResumeError, match=r"damaged.*\n.*\n.*--restart"):
        Ledger(ledger.folder)


def test_a_changed_job_is_refused(ledger: Ledger) -> None:
    job = ledger.folder / "job.json"
    job.write_text(job.read_text().replace('"blocks": 9', '"blocks": 8'))
    with pytest.raises(ResumeError, match="checksum"):
        Ledger(ledger.folder)


def test_another_job_is_refused_with_what_differs(ledger: Ledger) -> None:
    ledger.refuse_other(FINGERPRINT)
    with pytest.raises(ResumeError, match=r"image.shape was \[3, 4\] and is \[3, 5\]; labels was \[1\] and is null"):
        ledger.refuse_other({"image": {"shape": [3, 5]}})


def test_differences_reach_into_tables_only_where_both_are() -> None:
    assert list(differences({"a": {"b": 1}}, {"a": None})) == ['a was {"b": 1} and is null']


def test_a_folder_that_was_removed_is_found_out(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.journal("a") as journal:
        journal.append(1)
        journal.commit()
        ledger.folder.rename(tmp_path / "elsewhere")
        journal.append(2)
        with pytest.raises(OutputError, match="removed or renamed"):
            journal.commit()


# ---- owners


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    with Owner(tmp_path):
        with pytest.raises(OutputBusyError, match=rf"process {os.getpid()} on "), Owner(tmp_path):
            pass
        with pytest.raises(OutputBusyError), Owner(tmp_path, (1, 2)):
            pass
    assert not list(tmp_path.iterdir())
    with Owner(tmp_path):
        pass


def test_parts_of_one_number_do_not_hinder_each_other(tmp_path: Path) -> None:
    with Owner(tmp_path, (1, 3)), Owner(tmp_path, (2, 3)):
        with pytest.raises(OutputBusyError), Owner(tmp_path, (2, 3)):
            pass
        assert len(live_owners(tmp_path)) == 2


def test_of_many_that_come_at_once_at_most_one_stays(tmp_path: Path) -> None:
    together, over = threading.Barrier(8), threading.Barrier(8)
    stayed = []

    def come() -> None:
        together.wait()
        try:
            with Owner(tmp_path):
                stayed.append(1)
                over.wait()
        except OutputBusyError:
            over.wait()

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stayed) <= 1


def killed_owner(folder: Path) -> Path:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom ecc_rf.blocks.owner import Owner\n"
        "with Owner(Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=False)
    (left,) = folder.glob("owner-*.json")
    return left


def test_a_killed_owner_stands_in_nobodys_way(tmp_path: Path) -> None:
    left = killed_owner(tmp_path)
    with Owner(tmp_path):
        assert not left.exists()


def test_the_same_number_of_another_process_is_not_the_owner(tmp_path: Path) -> None:
    """Numbers of processes are given again; the moment of their start is not."""
    left = killed_owner(tmp_path)
    sign = Sign.read(left)
    assert sign is not None
    left.write_text(json.dumps(asdict(replace(sign, pid=os.getpid()))))
    with Owner(tmp_path):
        pass


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "BEAT", 0.05)
    monkeypatch.setattr(owner, "SILENCE", 0.6)


def away(folder: Path, beat: int = 1) -> Path:
    """An owner on another machine."""
    path = folder / "owner-0.json"
    path.write_text(json.dumps(asdict(Sign("0", "node7", "node7 x y", 12, "345", (1, 1), "running", beat))))
    return path


def test_a_silent_owner_on_another_machine_is_dead(tmp_path: Path, fast: None) -> None:
    left = away(tmp_path)
    with Owner(tmp_path):
        assert not left.exists()


@pytest.mark.parametrize("clock", [0, -86400, 86400])
def test_an_owner_on_another_machine_that_beats_is_alive_whatever_the_clocks(
    tmp_path: Path, fast: None, clock: int
) -> None:
    path = away(tmp_path)
    stop = threading.Event()

    def live() -> None:
        beat = 1
        while not stop.wait(0.05):
            beat += 1
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps({**json.loads(path.read_text()), "beat": beat}))
            os.utime(partial, (time.time() + clock, time.time() + clock))
            partial.replace(path)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with pytest.raises(OutputBusyError, match="node7"), Owner(tmp_path):
            pass
    finally:
        stop.set()
        thread.join()


def test_a_damaged_owner_file_hinders_nobody(tmp_path: Path) -> None:
    (tmp_path / "owner-1.json").write_bytes(b"{")
    with Owner(tmp_path):
        pass


# ---- checkpoints


def begin(final: Path, **options: object) -> Checkpoint:
    point = Checkpoint(final, **options)  # type: ignore[arg-type]
    point.open(FINGERPRINT, {"blocks": 2})
    return point


def test_a_checkpoint_in_every_state(tmp_path: Path) -> None:
    final = tmp_path / "out.zarr"
    with begin(final) as point:
        point.own()
        point.unfinished.mkdir()
        point.watch()
        with point.journal("a") as journal:
            journal.append(0)
            point.commit(journal)
    with begin(final) as point:
        assert point.journal("a").done == {0} and not point.complete
        point.mark_complete()
        assert not point.complete
        point.unfinished.rename(final)
        assert point.complete  # cut off here, only the ledger is left
    again = Checkpoint(final)
    assert again.complete
    again.end()
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]
    with pytest.raises(OutputExistsError):
        Checkpoint(final)


def test_what_is_to_be_replaced_is_not_the_result(tmp_path: Path) -> None:
    final = tmp_path / "out.zarr"
    final.mkdir()
    with begin(final, overwrite=True) as point:
        point.unfinished.mkdir()
        point.mark_complete()
        assert not point.complete
        final.rename(tmp_path / "old")
        point.unfinished.rename(final)
        assert point.complete


def test_an_output_that_is_replaced_under_way_is_found_out(tmp_path: Path) -> None:
    with begin(tmp_path / "out.zarr") as point:
        point.unfinished.mkdir()
        point.watch()
        point.unfinished.rename(tmp_path / "elsewhere")
        point.unfinished.mkdir()
        with point.journal("a") as journal, pytest.raises(OutputError, match="removed or renamed"):
            journal.append(0)
            point.commit(journal)


def test_restart_is_for_the_whole_and_when_nobody_works(tmp_path: Path) -> None:
    final = tmp_path / "out.zarr"
    with pytest.raises(SettingError):
        Checkpoint(final, part=(1, 2), restart=True)
    with begin(final) as point:
        point.own()
        with pytest.raises(OutputBusyError):
            Checkpoint(final, restart=True)
    Checkpoint(final, restart=True)
    assert not list(tmp_path.iterdir())


def test_many_parts_make_one_ledger(tmp_path: Path) -> None:
    together = threading.Barrier(6)
    layouts = []

    def come(number: int) -> None:
        together.wait()
        layouts.append(Checkpoint(tmp_path / "out", part=(number, 6)).open(FINGERPRINT, {"by": number}))

    threads = [threading.Thread(target=come, args=(n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(layouts) == 6 and all(layout == layouts[0] for layout in layouts)
    assert [path.name for path in tmp_path.iterdir()] == ["out.ledger"]
