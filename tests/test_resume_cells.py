"""Searches for cells that are cut off: killed at any step, interrupted, in parts; the same table at the end."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import h5py
import pytest

from ecc_rf import open_volume
from ecc_rf.blocks import SilentProgress
from ecc_rf.blocks.checkpoint import ledger_folder
from ecc_rf.cell_tables import find_cells
from ecc_rf.cells import CellFinder, read_cells
from ecc_rf.cli import main
from tests.jobs import Job, blobs, hold, limited
from tests.killing import run_killed, tree

TABLE, OBJECTS = "cells.csv", "objects.ome.zarr"
POINTS = 105  # steps between the start and the end, about


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return blobs(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="module")
def job(volumes: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Every pass there is: objects, pieces of large ones, intensities, contrasts."""
    probability, image = map(str, volumes)
    command = ("cells", probability, "--raw", image, "--max-volume", "60", "--contrast")
    return Job(command, tmp_path_factory.mktemp("cells"), "objects")


@pytest.fixture(scope="module")
def whole(job: Job) -> Path:
    """The table, and the volume of objects, made in one go."""
    output = job.output("whole", TABLE)
    assert main([*job.argv(output), "--objects", str(output.with_name(OBJECTS))]) == 0
    return output


@pytest.fixture(scope="module")
def interrupted(job: Job) -> Path:
    """A table that was killed while objects were looked for."""
    output = job.output("killed", TABLE)
    process = job.start(output)
    process.kill()
    process.communicate()
    return output


@pytest.fixture
def left(interrupted: Path, tmp_path: Path) -> Path:
    """The same in a folder of its own."""
    return Path(shutil.copytree(interrupted.parent, tmp_path / "left")) / TABLE


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_table_is_that_of_one_block(whole: Path, volumes: tuple[Path, Path]) -> None:
    finder = CellFinder(max_volume=60, contrast=True)
    cells = finder.find(*volumes, block_shape=(40, 96, 96))
    found = read_cells(whole)
    assert len(found) == len(cells) > 200 and (found["pieces"] > 1).sum() > 30
    assert found["label"].tolist() == cells["label"].tolist()
    assert abs(found["contrast"] - cells["contrast"]).max() < 1e-9  # of 14 digits


def test_killed_at_any_step(job: Job, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "a" / TABLE
    argv = job.argv(output, "--objects", str(output.with_name(OBJECTS)))
    random_ = random.Random(7)
    kills = [("point", random_.randrange(POINTS - 15 * i)) for i in range(5)]
    report = run_killed(argv, output, kills)
    assert report["statuses"].count(-9) >= 2
    assert output.read_bytes() == whole.read_bytes()
    assert tree(output.with_name(OBJECTS)) == tree(whole.with_name(OBJECTS))
    assert main(argv) == 2  # it is there; what a kill behind the last step left is swept up
    assert names(output.parent) == [TABLE, OBJECTS]


def test_killed_between_the_names(job: Job, whole: Path, tmp_path: Path) -> None:
    """The volume of objects has its name and the table has not; both have, and only the ledger is left."""
    steps = 0
    for kill, before_the_end in enumerate((0, 6, 12, 18)):
        output = tmp_path / str(kill) / TABLE
        argv = job.argv(output, "--objects", str(output.with_name(OBJECTS)))
        report = run_killed(argv, output, [("point", steps - before_the_end)] if steps else [])
        steps = steps or report["points"]
        assert output.read_bytes() == whole.read_bytes()
        assert tree(output.with_name(OBJECTS)) == tree(whole.with_name(OBJECTS))


def test_ctrl_c_keeps_what_is_done(job: Job, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / TABLE
    process = job.start(output)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "of 27 blocks" in errors and "run the same command again to go on" in errors and "Traceback" not in errors
    assert names(tmp_path) == [f"{TABLE}.ledger"]
    assert main(job.argv(output)) == 0
    assert output.read_bytes() == whole.read_bytes() and names(tmp_path) == [TABLE]


def test_what_is_done_is_not_done_again(left: Path, whole: Path, volumes: tuple[Path, Path]) -> None:
    class Seen(SilentProgress):
        stages: ClassVar[dict[str, tuple[int, int]]] = {}

        def stage(self, name: str, total: int, done: int = 0) -> AbstractContextManager[Callable[[int], None]]:
            self.stages[name] = (total, done)
            return super().stage(name, total, done)

    probability, image = volumes
    finder = CellFinder(max_volume=60, contrast=True)
    find_cells(probability, left, raw=image, finder=finder, progress=Seen())
    assert left.read_bytes() == whole.read_bytes()
    total, done = Seen.stages["objects"]
    assert 0 < done < total == 40 * 96 * 96
    assert Seen.stages["intensity"] == (total, 0)


def test_parts_in_any_order_one_killed(
    job: Job, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / TABLE
    objects = ["--objects", str(tmp_path / OBJECTS)]
    process = hold(job.start(output, *objects, "--part", "2/3"))
    assert main(job.argv(output, *objects, "--part", "3/3")) == 0
    assert "blocks are left to other parts" in capsys.readouterr().out
    assert main(job.argv(output, *objects)) == 2  # the whole of it, while a part is at work
    assert "part 2 of 3" in capsys.readouterr().err
    process.kill()
    process.communicate()
    assert main(["finish", str(output)]) == 2
    assert "parts 1, 2 of 3" in capsys.readouterr().err
    assert main(job.argv(output, *objects, "--part", "1/3")) == 0
    assert main(["finish", str(output), "-q"]) == 2
    assert "part 2 of 3" in capsys.readouterr().err and not output.exists()
    assert main(job.argv(output, *objects, "--part", "2/3")) == 0
    assert output.read_bytes() == whole.read_bytes() and names(tmp_path) == [TABLE, OBJECTS]
    with open_volume(tmp_path / OBJECTS) as drawn, open_volume(whole.with_name(OBJECTS)) as expected:
        assert (drawn.read() == expected.read()).all()
    assert main(["finish", str(output)]) == 0
    assert "complete already" in capsys.readouterr().err


def test_finish_does_the_last_steps(job: Job, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / TABLE
    monkeypatch.setattr("ecc_rf.cells.search.Search.table", interrupt)
    for part in ("1/2", "2/2"):
        main(job.argv(output, "--part", part))
    assert not output.exists()
    monkeypatch.undo()
    assert main(["finish", str(output), "-q"]) == 0
    assert output.read_bytes() == whole.read_bytes() and names(tmp_path) == [TABLE]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--threshold", "0.6"], "settings.threshold was 0.7 and is 0.6"),
        (["--min-sbr", "2"], "limits.min_sbr was null and is 2.0"),
        (["--voxel-size", "1,1,1"], "voxel_size was [4.0, 2.0, 2.0] and is [1.0, 1.0, 1.0]"),
    ],
)
def test_other_settings_are_refused(
    job: Job, left: Path, change: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*job.argv(left), *change]) == 2
    message = capsys.readouterr().err
    assert reason in message and "--restart" in message and not left.exists()
    assert main([*job.argv(left), *change, "--restart"]) == 0
    assert left.exists() and names(left.parent) == [TABLE]


def test_a_changed_image_is_found_out(job: Job, left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = Path(shutil.copy2(job.command[3], tmp_path / "image.h5"))
    argv = ["cells", job.command[1], "--raw", str(image), *job.argv(left)[4:]]
    with h5py.File(image, "r+") as file:
        file["data"][20, 50, 50] += 1
    assert main(argv) == 2
    assert "raw.sample was" in capsys.readouterr().err and not left.exists()


def test_a_damaged_ledger_costs_its_blocks(job: Job, left: Path, whole: Path) -> None:
    for journal in ledger_folder(left).glob("*.journal"):
        content = bytearray(journal.read_bytes())
        content[len(content) // 2] ^= 255
        journal.write_bytes(content)
    assert main(job.argv(left)) == 0
    assert left.read_bytes() == whole.read_bytes()


def test_a_ledger_that_is_removed_under_way(job: Job, tmp_path: Path) -> None:
    output = tmp_path / TABLE
    process = job.start(output)
    ledger_folder(output).rename(tmp_path / "removed")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2 and "removed or renamed while" in errors, errors
    assert not output.exists()


def test_a_full_disk(job: Job, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / TABLE
    done = limited(job.argv(output), 20_000)
    assert done.returncode == 2 and "cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert not output.exists()
    assert main(job.argv(output)) == 0
    assert output.read_bytes() == whole.read_bytes()


def test_an_older_table_stays_until_the_new_one_is_there(job: Job, left: Path, whole: Path) -> None:
    left.write_text("old")
    assert main([*job.argv(left), "--threshold", "0.6", "--overwrite"]) == 2
    assert left.read_text() == "old"
    assert main(job.argv(left, "--overwrite")) == 0
    assert left.read_bytes() == whole.read_bytes()
