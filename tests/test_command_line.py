"""The command line for newcomers and for scripts: what mistypings are answered, help, completion, JSON, versions."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ecc_rf import __version__, arguments, cli, export
from ecc_rf.cells import settings as finder
from ecc_rf.cli import main, make_parser
from ecc_rf.completion import FILES, completions, script
from ecc_rf.features import backends
from ecc_rf.parsing import OTHER_WORDS, Parser
from ecc_rf.volumes import pyramid
from ecc_rf.voxel_values import NAN_CHOICES
from tests.conftest import ROOT


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must fail as users' errors do; returns its message."""
    try:
        status = main(words)
    except SystemExit as exit:
        status = exit.code
    message = capsys.readouterr().err
    assert status == 2 and message.startswith("ecc-rf: error: ") and "Traceback" not in message
    assert "\n  where: " in message and "\n  what to do: " in message, message
    return message


def leaves(parser: Parser) -> list[Parser]:
    below = parser.subcommands()
    return [leaf for child in below.values() for leaf in leaves(child)] if below else [parser]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rum a b", "Did you mean run?"),
        ("labels exprot", "Did you mean export?"),
        ("help trian", "Did you mean train?"),
        ("count a.ilp b.h5", "Did you mean run?"),  # another word for it
        ("PV.ilp b.h5", "The command comes first: ecc-rf run PV.ilp"),
        ("labels", "Say ecc-rf labels export or ecc-rf labels import."),
        ("run a.ilp b.h5 -o out --label 2", "Did you mean --level? ecc-rf"),  # and not --help, for its dashes
        ("train a.ilp --labels 0=a 1=b -o c.ilp", "Write --labels before each of its values."),
        ("cells a.h5 -o b c.csv", "-o takes one value"),
        ("run a.ilp b.h5 -o out --thresold 0.5", "Did you mean --threshold?"),
        ("run --thresold 0.5", "Did you mean --threshold?"),  # before what is missing
        ("cells a.h5 -o b.csv --split=watersheds", "Did you mean watershed?"),
        ("classify a.ilp b.h5 -o c.h5 --dtype uint9", "Did you mean uint8"),
        ("run", "Missing: PROJECT, IMAGE, -o/--output."),
        ("cells a.h5 -o b.csv --min-volume few", "--min-volume: 'few' is no whole number."),
        ("cells a.h5 -o b.csv --threshold high", "--threshold: 'high' is no number."),
        ("cells a.h5 -o", "-o/--output needs a value."),
        ("cells a.h5 c.h5 -o b.csv", "Not understood: c.h5."),
        ("cells a.h5 -o b.csv -x", "Not understood: -x."),
        ("cells a.h5 -o b.csv --overwrite=yes", "--overwrite takes no value"),
        ("cells a.h5 -o b.csv --min 4", "--min could be --min-volume, --min-contrast"),
        ("classify a.ilp b.h5 -o c.h5 --resume --restart", "cannot be given together"),
    ],
)
def test_mistyped_arguments(words: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert expected in fails(capsys, *words.split())


def test_negative_numbers_and_dashes_are_no_options(tmp_path: Path) -> None:
    parsed = make_parser().parse_args(["cells", "a", "-o", "b", "--threshold", "-0.5", "--workers", "2"])
    assert parsed.threshold == -0.5
    assert make_parser().parse_args(["info", "--", "--odd.ilp"]).project == "--odd.ilp"
    assert make_parser().parse_args(["cells", "a", "-o", "b", "--overw"]).overwrite  # abbreviations, as argparse's


def test_mistyped_files(
    tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cells.ilp", "brain.h5"):
        shutil.copy(fixtures / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/cells_final.csv").touch()
    assert "Did you mean cells.ilp?" in fails(capsys, "info", "cell.ilp")
    assert "Did you mean brain.h5/data?" in fails(capsys, "run", "cells.ilp", "brian.h5/data", "-o", "out")
    assert "Did you mean data?" in fails(capsys, "run", "cells.ilp", "brain.h5/dat", "-o", "out")
    assert f"Did you mean {tmp_path}/brain.h5?" in fails(capsys, "convert", f"{tmp_path}/brainn.h5", "out.npy")
    message = fails(capsys, "filter", "floder/cells_final.csv", "-o", "out.csv")
    assert "Did you mean folder/cells_final.csv?" in message
    assert "the folder holds cells_final.csv" in fails(capsys, "filter", "folder/x.csv", "-o", "out.csv")
    assert "holds no 'nowhere'" in fails(capsys, "info", "nowhere/at/all.ilp")
    assert "brain.h5" in fails(capsys, "run", "cells.ilp", "brain.h5", "-o", "out", "--mask", "brian.h5")
    message = fails(capsys, "run", "cells.ilp", "folder", "-o", "out")
    assert "This folder is no image." in message and "Check the path; it holds none of HDF5" in message
    shutil.copy("brain.h5", "folder/b.h5")
    assert "Name an image in it: folder/b.h5" in fails(capsys, "run", "cells.ilp", "folder", "-o", "out")
    assert "Name a file in it: b.h5, cells_final.csv." in fails(
        capsys, "evaluate", "folder", "--truth", "folder/cells_final.csv"
    )
    assert "ends in one of .h5" in fails(capsys, "classify", "cells.ilp", "brain.h5", "-o", "out")
    assert "the project first, and then the image." in fails(capsys, "info", "brain.h5")
    assert not (tmp_path / "out").exists()
    assert main(["convert", "brain.h5", "-o", "out.npy"]) == 0 and (tmp_path / "out.npy").exists()
    assert "Two outputs" in fails(capsys, "convert", "brain.h5", "a.npy", "-o", "b.npy")

    def refuse(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)  # root, as which tests may run, is refused nothing
    assert "This folder cannot be read: Permission denied." in fails(
        capsys, "run", "cells.ilp", "folder", "-o", "out", "--no-report"
    )


def test_other_words_for_commands_lead_to_commands() -> None:
    commands = make_parser().subcommands()
    assert set(OTHER_WORDS.values()) <= set(commands) and not set(OTHER_WORDS) & set(commands)


def test_mistyped_names(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project, brain = str(fixtures / "cells.ilp"), str(fixtures / "brain.h5")
    out = str(tmp_path / "out.h5")
    message = fails(capsys, "classify", project, brain, "-o", out, "--labels", "backgruond")
    assert "Did you mean background?" in message and "false signal" in message
    assert "Did you mean brain-data?" in fails(
        capsys, "labels", "export", project, "brain-dta", "-o", str(tmp_path / "l.nii")
    )
    assert "Did you mean hessian?" in fails(
        capsys, "new", str(tmp_path / "n.ilp"), brain, "--features", "hesian:1.0 gaussian:0.3"
    )
    settings = tmp_path / "settings.toml"
    settings.write_text("[cells]\nthreshhold = 0.5\n")
    np.save(tmp_path / "p.npy", np.zeros((9, 9, 9), np.uint8))
    message = fails(
        capsys, "cells", str(tmp_path / "p.npy"), "-o", str(tmp_path / "c.csv"), "--settings", str(settings)
    )
    assert "'threshhold'" in message and "Did you mean threshold" in message


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["run", "cells.ilp", "brian.h5", "-o", "out"], 2, "Did you mean"),
        (["run", "x", "--splt", "a"], 2, "Did you mean"),
        (["info", "cells.ilp"], 0, ""),
    ],
)
def test_nothing_slow_is_imported_for_a_typo_or_a_look(
    words: list[str], status: int, told: str, fixtures: Path
) -> None:
    code = (
        "import sys\nfrom ecc_rf.cli import main\ntry:\n    status = main(sys.argv[1:])\nexcept SystemExit as exit:\n"
        "    status = exit.code\n"
        "slow = {'numba', 'zarr', 'pandas', 'matplotlib', 'joblib', 'scipy', 'sklearn'} & set(sys.modules)\n"
        f"sys.exit(f'imported {{slow}}, {{status}}' if slow or status != {status} else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=fixtures, env=environment
    )
    assert done.returncode == 0 and told in done.stderr, done.stderr


def test_choices_are_those_of_the_modules() -> None:
    from ecc_rf.itksnap import ImportSettings
    from ecc_rf.normalization import writing
    from ecc_rf.preview import PreviewSettings
    from ecc_rf.run_settings import FORMATS

    assert (arguments.SPLITS, arguments.CONNECTIVITIES) == (finder.SPLITS, finder.CONNECTIVITIES)
    assert (arguments.INTENSITIES, arguments.NAN_CHOICES) == (finder.INTENSITIES, NAN_CHOICES)
    assert (arguments.EXPORTS, arguments.DTYPES, arguments.ROUNDINGS) == (export.KINDS, export.DTYPES, export.ROUNDINGS)
    assert (arguments.BACKENDS, arguments.PYRAMIDS) == (backends.BACKENDS, pyramid.METHODS)
    assert arguments.FORMATS == FORMATS and set(arguments.FORMATS) == set(writing.FORMATS)
    for merge in arguments.MERGES:
        ImportSettings(merge=merge)
    for palette in arguments.PALETTES:
        PreviewSettings(palette=palette)


def test_help_lists_every_command_in_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["help"])
    assert exit.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in make_parser().subcommands())
    assert set(make_parser().subcommands()) <= {name for names in cli._GROUPS.values() for name in names}
    assert all(len(line) <= 110 for line in printed.splitlines())
    with pytest.raises(SystemExit):
        main(["help", "labels", "export"])
    assert "usage: ecc-rf labels export PROJECT LANE -o OUT [options]" in capsys.readouterr().out


def test_without_a_command_there_is_brief_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed = capsys.readouterr()
    assert "Example: ecc-rf run" in printed.err and "ecc-rf --help" in printed.err and not printed.out


def test_version_says_what_a_bug_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    printed = capsys.readouterr().out
    assert exit.value.code == 0 and printed.splitlines()[0] == f"ecc-rf {__version__}"
    for part in ("Python", "numpy", "numba", "h5py", "zarr", "scikit-learn", "platform", "processor", "cores"):
        assert part in printed
    assert "unknown" not in printed


def test_options_have_the_same_meaning_everywhere() -> None:
    """One name has one kind of value; where it must have two, that is said here."""
    of_two_kinds = {
        "--cells",
        "--labels",
        "--objects",
        "--mask",
        "--raw",
        "--truth",
        "--scale",
        "--time",
        "--output",
        "--report",
    }
    kinds: dict[str, set[tuple[object, object]]] = {}
    for leaf in leaves(make_parser()):
        for action in leaf.actions():
            for option in action.option_strings:
                if option.startswith("--"):
                    kinds.setdefault(option, set()).add((action.nargs, action.type))
    differing = {option for option, seen in kinds.items() if len(seen) > 1}
    assert differing <= of_two_kinds


def test_every_option_is_explained_and_named_alike() -> None:
    for leaf in leaves(make_parser()):
        names = [option for action in leaf.actions() for option in action.option_strings]
        assert all(action.help for action in leaf.actions()), leaf.prog
        assert ("-o" in names) == ("--output" in names), leaf.prog
        assert ("-q" in names) == ("--quiet" in names) == ("-v" in names), leaf.prog
        for action in leaf.actions():
            if action.option_strings and action.nargs != 0:  # a metavar is not made of the option's name
                assert action.metavar or action.choices, (leaf.prog, action.option_strings)


@pytest.mark.parametrize(
    ("words", "expected", "among"),
    [
        ([""], "classify", True),
        (["cl"], "classify", False),
        (["run", "--sp"], "--split", False),
        (["run", "--split", "w"], "watershed", False),
        (["run", "a.ilp", "b.h5", "--connectivity", ""], "18", True),
        (["run", ""], FILES, False),
        (["run", "a.ilp", "b.h5", "c.h5", ""], FILES, False),
        (["run", "a.ilp", "-o", "r"], FILES, False),
        (["evaluate", "a.csv", "--truth", "a.h5", ""], FILES, False),
        (["labels", "im"], "import", False),
        (["help", "rel"], "relink", False),
        (["completion", "z"], "zsh", False),
    ],
)
def test_completions(words: list[str], expected: str, among: bool) -> None:
    found = [text for text, _ in completions(make_parser(), words)]
    assert expected in found if among else found == [expected]


@pytest.mark.parametrize(
    "words", [["run", "a.ilp", "--workers", ""], ["info", "a.ilp", ""], ["nonsense", ""], ["labels", "h"]]
)
def test_nothing_is_completed_where_nothing_is_known(words: list[str]) -> None:
    assert completions(make_parser(), words) == []


def _folder_with_program(folder: Path) -> str:
    program = folder / "ecc-rf"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ecc_rf "$@"\n')
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_in_bash(tmp_path: Path) -> None:
    test = """
    eval "$(ecc-rf completion bash)"
    COMP_WORDS=(ecc-rf run --split wat); COMP_CWORD=3; _ecc_rf; echo "${COMPREPLY[*]}"
    COMP_WORDS=(ecc-rf cla); COMP_CWORD=1; _ecc_rf; echo "${COMPREPLY[*]}"
    COMP_WORDS=(ecc-rf run ""); COMP_CWORD=2; _ecc_rf; echo "files: ${#COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": _folder_with_program(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-uc", test], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.splitlines() == ["watershed", "classify", "files: 0"], done.stderr


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_completion_in_fish(tmp_path: Path) -> None:
    test = 'ecc-rf completion fish | source; complete -C "ecc-rf run --split wat"; complete -C "ecc-rf cla"'
    environment = {**os.environ, "PATH": _folder_with_program(tmp_path), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run(["fish", "-c", test], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["watershed", "classify"], done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_completion_in_zsh(tmp_path: Path) -> None:
    """At a terminal, for zsh completes nowhere else."""
    import pty  # not everywhere

    environment = {**os.environ, "PATH": _folder_with_program(tmp_path), "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["zsh", "-f", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "HOME": str(tmp_path)},
        cwd=tmp_path,
        start_new_session=True,
    ) as shell:

        def type_in(text: str, until: str) -> None:
            """Type, and wait for what the shell prints."""
            os.write(ours, text.encode())
            printed, deadline = "", time.monotonic() + 60
            while until not in printed:
                assert time.monotonic() < deadline, printed
                if select.select([ours], [], [], 0.1)[0]:
                    printed += os.read(ours, 65536).decode(errors="replace")

        try:
            type_in('autoload -Uz compinit; compinit -u -D; eval "$(ecc-rf completion zsh)"; print rea""dy\n', "ready")
            type_in("ecc-rf run --split wat\t", "watershed ")
            type_in("\x15ecc-rf labels \t\t", "export  -- Labels of a lane")
            type_in("\x15ecc-rf run --workers \t", "--workers \a")  # the bell: nothing is put in where nothing is known
        finally:
            shell.kill()
            os.close(ours)
            os.close(theirs)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_read_by_their_shells(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    (tmp_path / "script").write_text(script(shell))
    done = subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_json_of_every_step(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project, brain, out = str(fixtures / "cells.ilp"), str(fixtures / "brain.h5"), tmp_path
    steps = {
        "run": [project, brain, "-o", f"{out}/run", "--no-report", "--objects"],
        "classify": [project, brain, "-o", f"{out}/p.ome.zarr", "--labels", "1", "--dtype", "uint8", "--roi", "z=0:20"],
        "cells": [f"{out}/p.ome.zarr", "-o", f"{out}/cells.csv"],
        "filter": [f"{out}/run/cells.csv", "-o", f"{out}/few.csv", "--min-sbr", "2.5"],
        "convert": [brain, f"{out}/brain.npy"],
        "info": [project],
        "features": [project],
        "relink": [project, "-o", f"{out}/here.ilp"],
        "new": [f"{out}/new.ilp", brain],
        "labels": ["export", project, "0", "-o", f"{out}/labels.nii.gz"],
        "normalize": [brain, "-o", f"{out}/normalized"],
        "preview": [project, brain, "-o", f"{out}/preview.png", "--size", "40", "--planes", "xy"],
    }
    found = {}
    for command, words in steps.items():
        assert main([command, *words, "--json"]) == 0
        found[command] = json.loads(capsys.readouterr().out)
    (result,) = found["run"]["results"]
    assert result["cells"] > 10 and result["directory"] == f"{out}/run"
    assert found["classify"]["shape"] == [20, 96, 96, 1]
    assert found["cells"]["cells"] > 0 and "Without --raw" in found["cells"]["notes"][-1]
    assert found["filter"]["before"] == result["cells"] > found["filter"]["cells"] > 0
    assert found["convert"]["target"]["shape"] == [40, 96, 96]
    assert found["info"]["labels"][1]["name"] == found["relink"]["labels"][1]["name"] == "false signal"
    assert found["labels"]["files"] == [f"{out}/labels.nii.gz"] and found["labels"]["counts"]["1"] > 0
    assert found["normalize"]["results"][0]["scales"][0] > 0
    assert found["preview"]["output"] == f"{out}/preview.png"
