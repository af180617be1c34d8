"""Studies: what is run, kept and told, when all goes well and when it does not."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ecc_rf.cli import main
from ecc_rf.errors import EccError, MissingFileError, SettingError
from ecc_rf.studies import Machine, Outcome, plan_study, run_study
from ecc_rf.studies.jobs import Job
from ecc_rf.studies.patterns import matches
from ecc_rf.studies.study import safe_name
from tests.study_files import STUDY, break_image, make_study

NAMES = ["cFos/m1", "cFos/m2", "cFos/treated 3", "PV/m1", "PV/m2", "PV/treated 3"]


def statuses(output: Path) -> dict[str, str]:
    with (output / "study.csv").open(newline="") as file:
        return {f"{row['marker']}/{row['brain']}": row["status"] for row in csv.DictReader(file)}


def test_one_broken_brain(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Five results and one clear failure; then only that is run; mended, all is done."""
    study, output = make_study(tmp_path, fixtures), tmp_path / "out"
    broken = tmp_path / "brains" / "t3_pv.h5"
    whole = break_image(broken)
    command = ["batch", str(study), "-o", str(output), "--workers", "1"]

    assert main(command) == 1
    printed = capsys.readouterr()
    assert statuses(output) == dict.fromkeys(NAMES, "done") | {"PV/treated 3": "failed"}
    assert "cannot be read" in printed.out and "failures.txt" in printed.out and "Traceback" not in printed.out
    failures = (output / "failures.txt").read_text()
    assert failures.count("image:") == 1 and "t3_pv.h5" in failures and "cannot be read" in failures
    assert not (output / "PV" / "treated 3" / "cells.csv").exists()
    page = (output / "study.html").read_text()
    assert "PV/treated 3" in page and "5 of 6" in page and 'href="cFos/treated%203/report.html"' in page
    table = pd.read_csv(output / "study.csv").set_index(["marker", "brain"])
    done = table[table.status == "done"]
    for (marker, brain), row in done.iterrows():
        cells = pd.read_csv(output / str(marker) / str(brain) / "cells.csv")
        assert row.cells == len(cells) > 0 and row.median_intensity == pytest.approx(cells.deltaI.median())
        assert row.density == pytest.approx(len(cells) / (200 * 96 * 96 / 1e9))
    wide = pd.read_csv(output / "study_wide.csv").set_index("brain")
    assert wide.loc["m1", "PV_cells"] == table.loc[("PV", "m1")].cells
    assert pd.isna(wide.loc["treated 3", "PV_cells"])
    before = {path: path.stat().st_mtime_ns for path in output.rglob("cells.csv")}

    assert main(command) == 1
    assert statuses(output) == dict.fromkeys(NAMES, "kept") | {"PV/treated 3": "failed"}
    assert "1 of 6" not in capsys.readouterr().err  # only the sixth was begun
    assert {path: path.stat().st_mtime_ns for path in output.rglob("cells.csv")} == before

    study.write_text("skip_unreadable = true\n" + STUDY)  # nothing had to be skipped in those that are done
    assert main(command) == 0
    assert statuses(output) == dict.fromkeys(NAMES, "kept") | {"PV/treated 3": "done"}
    (outcome,) = [
        o
        for o in json.loads((output / "study.json").read_text())["runs"]
        if o["brain"] == "treated 3" and o["marker"] == "PV"
    ]
    assert any("taken for 0" in note for note in outcome["notes"])

    broken.write_bytes(whole)
    assert main(command) == 0
    assert statuses(output) == dict.fromkeys(NAMES, "kept") | {"PV/treated 3": "done"}
    assert not (output / "failures.txt").exists()
    assert "Failed" not in (output / "study.html").read_text()
    record = json.loads((output / "study.json").read_text())
    assert record["counts"] == {"done": 1, "kept": 5, "failed": 0, "not run": 0}

    # another threshold concerns the runs of one marker
    study.write_text(STUDY.replace("threshold = 0.6", "threshold = 0.8"))
    assert main([*command, "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert planned.count("changed since: settings of cells") == 3 and "3 of 6 would be run" in planned


def test_crash_of_a_process(tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed is a failure of that run."""
    plan = plan_study(make_study(tmp_path, fixtures), tmp_path / "out", only=["PV/m1", "PV/m2"])
    monkeypatch.setattr("ecc_rf.studies.running._carry_out_alone", die_at_m1)
    outcomes = run_study(plan, Machine(isolated=True))
    assert [o.status for o in outcomes] == ["not run"] * 3 + ["failed", "failed", "not run"]
    assert "killed" in outcomes[3].error and "is alive" in outcomes[4].error
    assert "RuntimeError" in outcomes[4].details


def die_at_m1(job: Job, machine: Machine) -> None:
    """In place of a run, in another process."""
    if job.brain.name == "m1":
        os._exit(9)
    raise RuntimeError("this process is alive")


def test_everything_wrong_is_told_at_once(tmp_path: Path, fixtures: Path) -> None:
    path = make_study(tmp_path, fixtures)
    text = STUDY.replace("threshold", "treshold").replace('group = "control"', 'groop = "control"')
    path.write_text(text.replace("[5, 2, 2]", "[5, 2]").replace("PV =", "PVV ="))
    with pytest.raises(SettingError) as caught:
        plan_study(path, tmp_path / "out")
    told = str(caught.value)
    assert "4 things" in told
    for line, what in (
        (2, "voxel_size is [5, 2]; expected [z, y, x] in µm"),
        (14, "'treshold'; did you mean 'threshold'?"),
        (18, "'groop'; did you mean 'group'?"),
        (26, "'PVV'; did you mean 'PV'?"),
    ):
        assert f"line {line}: " in told and what in told
        assert text.splitlines()[line - 1].split(" ")[0].strip("[]") in told
    assert not (tmp_path / "out").exists()


def test_all_missing_files_are_listed(tmp_path: Path, fixtures: Path) -> None:
    path = make_study(tmp_path, fixtures)
    (tmp_path / "cells.ilp").unlink()
    (tmp_path / "brains" / "t3.h5").unlink()
    with pytest.raises(MissingFileError) as caught:
        plan_study(path, tmp_path / "out")
    assert "3 files" in str(caught.value) and str(caught.value).count("cells.ilp") == 2
    assert "line 25: cFos of treated 3: brains/t3.h5/cfos" in str(caught.value)
    for old, new in (("brains/c*.h5", "brains/x*.h5"), ("brains/t3.h5", "nowhere/t3.h5")):
        path.write_text(STUDY.replace(old, new))
        with pytest.raises(MissingFileError):
            plan_study(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "treated 3"', 'name = "m1"', "'m1' occurs twice"),
        ('name = "treated 3"', 'name = "M1"', "both would have the same folder"),
        ('name = "m*"', 'name = "m"', "2 brains match"),
        ('name = "PV"\n', "", "no name"),
        ('image = "brains/c*.h5"', "", "either image"),
        ("threshold = 0.6", "threshold = 6", "threshold is 6"),
        ("threshold = 0.6", 'threshold = "high"', "wrong kind"),
        ("[[brain]]", "[brain]", "no TOML"),
        ("[[brain]]", "[[mouse]]", "has no 'mouse'; known are"),
        ('dataset = "pv"', 'normalize = "yes"', "expected true or false"),
    ],
)
def test_what_is_refused(tmp_path: Path, fixtures: Path, old: str, new: str, told: str) -> None:
    path = make_study(tmp_path, fixtures)
    path.write_text(STUDY.replace(old, new) if new == "[[mouse]]" else STUDY.replace(old, new, 1))
    with pytest.raises(EccError) as caught:
        plan_study(path, tmp_path / "out")
    assert told in str(caught.value)


def test_a_marker_without_a_classifier(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_study(tmp_path, fixtures)
    assert main(["new", str(tmp_path / "new.ilp"), str(fixtures / "brain.h5")]) == 0
    path.write_text(STUDY.replace('project = "cells.ilp"', 'project = "new.ilp"', 1))
    assert main(["batch", str(path), "-o", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "marker cFos" in message and "no trained forest" in message
    assert main(["batch"]) == 2 and main(["batch", str(tmp_path / "absent.toml"), "-o", str(tmp_path)]) == 2
    path.write_text(STUDY)
    assert main(["batch", str(path), "-o", str(tmp_path / "out"), "--only", "PV/m9"]) == 2
    assert "PV/m9" in capsys.readouterr().err


def test_names_stay_in_the_folder() -> None:
    for name in ("../../etc", "/etc/passwd", "..", ".", "a/../../b", "C:\\x", "con", " ", "a\0b", "x" * 500, ". ."):
        safe = safe_name(name)
        assert safe and not {"/", "\\", "\0"} & set(safe) and safe not in (".", "..") and len(safe.encode()) <= 101
        assert (Path("/out") / safe).resolve().parent == Path("/out")


def test_patterns(tmp_path: Path) -> None:
    for name in ("m1/m1_a.h5", "m2/m2_a.h5", "m2/m3_a.h5", "m[3]/m[3]_a.h5", "m4/x_a.h5"):
        (tmp_path / "[data]" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "[data]" / name).touch()
    assert matches("[data]/*/*_a.h5/raw", tmp_path) == ["m1", "m2", "m[3]"]
    assert matches("*/m1/*.h5", tmp_path) == [] and matches("nothing*.h5", tmp_path) == []


def test_the_example_is_a_study(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "--example"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(MissingFileError) as caught:  # nothing but the files is wanting
        plan_study(tmp_path / "study.toml", tmp_path / "out")
    assert "cFos.ilp" in str(caught.value) and "deprived/*" in str(caught.value)
    files = ["m01/cFos.ome.zarr", "m01/PV.h5", "m01/ventricles.nii.gz", "PV.ilp", "cFos.ilp"]
    for name in (*files, "deprived/7/cFos.ome.zarr", "deprived/7/PV.h5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(fixtures / "cells.ilp", tmp_path / name)
    plan = plan_study(tmp_path / "study.toml", tmp_path / "out")
    assert [job.name for job in plan.jobs] == ["cFos/m01", "cFos/sd-7", "PV/m01", "PV/sd-7"]
    assert plan.jobs[0].finder.max_volume == 64 and plan.jobs[1].brain.group == "deprived"


def test_interruption_leaves_the_table(tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_study(make_study(tmp_path, fixtures), tmp_path / "out")

    def stop(job: Job, machine: Machine) -> None:
        if job.name == "cFos/m2":
            raise KeyboardInterrupt
        raise SettingError("nothing is run here")

    monkeypatch.setattr("ecc_rf.studies.running.carry_out", stop)
    with pytest.raises(KeyboardInterrupt, match="run the same command again"):
        run_study(plan)
    assert statuses(tmp_path / "out") == {"cFos/m1": "failed", **dict.fromkeys(NAMES[1:], "not run")}
    assert Outcome(plan.jobs[0], "not run").record == {}


def test_ctrl_c(tmp_path: Path, fixtures: Path) -> None:
    """As a terminal sends it, to all processes: one message, and nobody is left behind."""
    study, output = make_study(tmp_path, fixtures), tmp_path / "out"
    command = [sys.executable, "-m", "ecc_rf", "batch", str(study), "-o", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    told = process.stderr.readline()
    assert "1 of 6: cFos/m1" in told
    os.killpg(process.pid, signal.SIGINT)
    told = process.stderr.read()  # ends when every process has ended that could write to it
    assert process.wait(timeout=60) == 130
    assert "Traceback" not in told and "0 of 6 results are there; run the same command again" in told
    assert statuses(output) == dict.fromkeys(NAMES, "not run")
