"""What cannot be a study is refused before anything is written."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import launch
from bigmodel.files import locked, write_json
from bigmodel.script import load_script
from bigmodel.studies.definition.cells import resolve
from bigmodel.studies.study import Cell, Study, read_study, write_study

MLP = Path(__file__).parent.parent.parent / "experiments" / "mlp.py"
TOGETHER = "--vary a=1,2 --with b=3,4 --vary c=5,6"
WRONG_SEEDS = ("x", "1.5", "", ",", "1,1", "-1,2", "1,,2")
RATES = ("--vary", "optimizer.learning-rate=1e-3,1e-2")
STUDY = Study(
    str(MLP), (), (Cell({"model.dropout": "0.1"}), Cell({"model.dropout": "0.2"})), (0, 1)
)


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def nothing_written(refused: Callable[..., str]) -> Callable[..., str]:
    """As ``refused``, for studies of a script; looks whether any file is new or other."""

    def files() -> dict[Path, Any]:
        # A folder is touched by its lock.
        return {path: path.is_file() and path.stat().st_mtime_ns for path in Path(".").rglob("*")}

    def checked(*words: str, script: Path | str = MLP) -> str:
        before = files()
        error = refused("ablate", str(script), *words)
        assert files() == before
        return error

    return checked


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--vary model.dropuot=0.1,0.2", "no option --model.dropuot; did you mean --model.dropout"),
        ("--vary model.dropout=0.1,much", "model.dropout=much: --model.dropout: could not"),
        ("--vary model.dropout=0.1,1.5", "--model.dropout 1.5 must be at least 0 and below 1"),
        ("--vary run.steps=10,1.5", "run.steps=1.5: --run.steps: invalid literal for int()"),
        ("--vary optimizer.name=adam,adamm", "optimizer.name=adamm: invalid choice 'adamm'"),
        ("--vary model.residual=true,yes", "--model.residual is yes; it is true or false"),
        ("--vary model.no-residual=true", "--model.no-residual switches off what can be varied"),
        ("--vary model.widths=32,a", "model.widths=a: --model.widths"),
        ("--vary data.ignore=it's,b", "--data.ignore is it's, where a quotation has no end"),
        (
            "--vary optimizer.learning-rate=1e-3,0.001",
            "the same cell twice: optimizer.learning-rate=1e-3 and optimizer.learning-rate=0.001",
        ),
        ("--vary model.dropout=0.1,0.1", "the same cell twice"),
        ("--vary seed=1,2", "--seed is not for a study: it is chosen by --seeds"),
        ("--vary run.dir=a,b", "--run.dir is not for a study: it is chosen by the study's own"),
        ("-- --seed 3", "--seed is not for a study"),
        ("-- --run.dir=a", "--run.dir is not for a study"),
        ("--vary model.dropout=0.1,0.2 -- --model.dropout 0.3", "is varied and given after --"),
        (
            "--vary model.residual=true,false -- --model.no-residual",
            "--model.residual is varied and given after --",
        ),
        ("-- --data.folds 3", "vary the folds, --vary data.fold=0,1,2"),
        ("--vary data.folds=2,3", "--data.folds in a study: vary the folds"),
        ("-- --model.dropuot 3", "did you mean --model.dropout?"),
        (
            "--at best --vary run.best=validation/loss,test/loss",
            "--run.best chooses its best step by test/loss, and a step is not chosen on test",
        ),
        ("--vary a", "--vary a: write it as OPTION=VALUE,VALUE"),
        (
            "--vary a=1,,2",
            "write it as OPTION=VALUE,VALUE, and a value that is empty",
        ),
        ("--vary =1", "--vary =1: write it as OPTION=VALUE,VALUE"),
        ("--with a=1", "which must stand before"),
        ("--vary a=1,2 --with b=1", "has 1 values and a has 2"),
        ("--vary a.b_c=1 --vary=--a.b-c=2", "a.b-c is varied already"),
        ("--vary a=uniform:0:0.5", "is a range; say how many draws by --random N"),
        ("--one-at-a-time --vary a=log:1:2", "is a range; say how many draws by --random N"),
        ("--random 1 --vary a=log:0:1", "0 < LOW < HIGH"),
        ("--random 1 --vary a=uniform:1:1", "LOW < HIGH"),
        ("--random 1 --vary a=int:8:1", "LOW < HIGH"),
        ("--random 1 --vary a=log:1", "log:LOW:HIGH"),
        ("--random 1 --vary a=uniform:a:b", "uniform:LOW:HIGH"),
        ("--random 1 --vary a=uniform:0:inf", "LOW < HIGH"),
        ("--random 1 --vary a=uniform:nan:1", "LOW < HIGH"),
        ("--random 1 --vary a=int:0.5:3", "whole numbers"),
        ("--random 1 --vary a=log:1:2 --with b=1", "cannot move together with b"),
        (f"--random 5 {TOGETHER}", "--random 5: no more than 4 different cells"),
        ("--random 0 --vary a=1", "--random 0 must be at least 1"),
        ("--random 2", "needs a --vary to draw from"),
        ("--random 2 --one-at-a-time", "two ways; choose one"),
        ("--random 2 --baseline a=1", "leave out --baseline"),
        ("--baseline a=1", "nothing is varied"),
        (f"{TOGETHER} --baseline a", "write it as OPTION=VALUE,OPTION=VALUE"),
        (f"{TOGETHER} --baseline d=1", "d is not varied"),
        (f"{TOGETHER} --baseline a=7", "a is varied over 1, 2"),
        (f"{TOGETHER} --baseline a=1,b=4", "a and b move together"),
        (
            "--vary data.name=digits,csv --vary model.dropout=0,0.1",
            "data.name=csv model.dropout=0: --data.name csv needs --data.path",
        ),
        ("--jobs 0", "--jobs is 0; it must be at least 1"),
        *[(f"--seeds={n}", f"--seeds {n} must be between 1 and 10000") for n in (0, -1, 10001)],
        *[(f"--seeds={text}", f"--seeds {text}: ") for text in WRONG_SEEDS],
        ("--name a/b", "--name is a/b; it must be letters, digits, dots"),
        ("--name ..", "--name is ..; it must be"),
        ("--seeds-by threads", "invalid choice: 'threads'"),
        ("--model.dropout 3", "the options of the experiment come after --"),
    ],
)
def test_bad_input_is_one_line_status_2_and_nothing_written(
    words: str, message: str, nothing_written: Callable[..., str]
) -> None:
    assert message in nothing_written(*words.split())
    assert not any(Path(".").iterdir())


def test_a_script_that_is_not_there_or_no_experiment_is_named(nothing_written) -> None:
    for path in ("no.py", "no.toml"):
        assert path in nothing_written(*RATES, script=path)
    Path("a.py").write_text("x = 1\n")
    assert "a.py has no Config and no build" in nothing_written(*RATES, script="a.py")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--vary model.dropout=0.1,0.3 --seeds 2", "has the cell model.dropout=0.2 too"),
        ("--vary model.dropout=0.1,0.2 --seeds 1", "has more seeds too"),
        ("--vary model.dropout=0.1,0.2 --seeds 2 -- --run.steps 3", "with other options"),
        ("--vary model.dropout=0.1,0.2 --seeds 2 --seeds-by vmap", "with other seeds_by"),
    ],
)
def test_another_study_in_the_folder_is_refused(words, message, nothing_written) -> None:
    write_study(Path("studies/a"), STUDY)
    assert message in nothing_written("--name", "a", *words.split())


def test_a_folder_or_a_file_that_is_no_study_is_refused(nothing_written) -> None:
    write_json(Path("studies/a/mine.json"), {})
    assert "studies/a is no study" in nothing_written("--name", "a")
    Path("studies/b").write_text("")
    assert "studies/b is a file" in nothing_written("--name", "b")


def test_a_second_process_on_a_study_is_refused_and_adds_nothing_to_it(nothing_written) -> None:
    write_study(Path("studies/a"), STUDY)
    with locked(Path("studies/a"), otherwise=""):
        words = ("--name", "a", "--vary", "model.dropout=0.1,0.2", "--seeds", "9")
        error = nothing_written(*words)
    assert "another process is running in studies/a; wait for it" in error
    assert read_study(Path("studies/a")) == STUDY


def test_a_dry_run_prints_the_cells_and_writes_nothing(capsys) -> None:
    words = ["--vary", "model.widths=32 64,64", "--baseline", "model.widths=64", "--seeds", "3"]
    assert launch.main(["ablate", str(MLP), "--dry-run", *words]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "studies/mlp: 2 cells under 3 seeds, 6 runs",
        "  model.widths=32 64",
        "  model.widths=64  (baseline)",
    ]
    assert not any(Path(".").iterdir())


@pytest.mark.parametrize(
    "words",
    [
        "--vary data.path=a.csv,b.csv -- --data.name csv --data.target y",
        "--vary data.target=x,y --with data.path=a.csv,b.csv -- --data.name csv",
        "--one-at-a-time --vary data.path=a.csv,b.csv --vary run.steps=1,2 -- --data.name csv",
        "--random 2 --vary data.path=a.csv,b.csv -- --data.name csv",
    ],
)
def test_options_that_need_each_other_are_checked_together(words: str, capsys) -> None:
    """``--data.name csv`` alone is refused, for it needs a path."""
    assert launch.main(["ablate", str(MLP), "--dry-run", *words.split()]) == 0
    assert "data.path=a.csv" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(MLP.parent.glob("*.toml")), ids=lambda path: path.stem)
def test_study_files_beside_the_experiments_are_studies(path: Path, capsys) -> None:
    assert launch.main(["ablate", str(path), "--dry-run"]) == 0
    assert capsys.readouterr().out.count("(baseline)") == 1


def test_what_is_typed_has_precedence_over_the_options_of_a_file() -> None:
    config = load_script(MLP).Config()
    options = ("--run.steps=300", "--model.widths", "8", "16", "--model.residual")
    typed = ("--run.steps", "30", "--model.widths", "4", "--model.no-residual")
    (found,) = resolve(config, (*options, *typed), [{}])
    assert (found.run.steps, found.model.widths, found.model.residual) == (30, (4,), False)


@pytest.mark.parametrize("empty", ['""', "''"])
def test_a_value_may_be_empty(empty: str) -> None:
    config = load_script(MLP).Config()
    options = ("--teacher.weight", "0.9")
    cells = [{"teacher.run": empty, "model.widths": empty}, {"teacher.run": "runs/a"}]
    without, with_one = resolve(config, options, cells)
    assert (without.teacher.run, without.model.widths) == ("", ())
    assert (with_one.teacher.run, with_one.teacher.weight) == ("runs/a", 0.9)


def test_the_words_of_a_value_may_have_spaces() -> None:
    config = load_script(MLP).Config()
    options = ("--data.name=csv", "--data.path=t.csv", "--data.target=label")
    (found,) = resolve(config, options, [{"data.ignore": "'price, USD' id"}])
    assert found.data.ignore == ("price, USD", "id")


def test_bad_input_leaves_no_process_behind(tmp_path: Path) -> None:
    """The processes for the runs start while the options are still being checked."""
    command = [sys.executable, str(MLP.parent.parent / "launch.py"), "ablate", str(MLP)]
    done = subprocess.run(
        [*command, "--vary", "model.dropuot=0.1", "--jobs", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(MLP.parent.parent)},
        capture_output=True,
        text=True,
        check=False,
        # Where a process were left, it would keep these pipes open.
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_metric_that_no_run_will_have_is_refused_before_any_is_made(nothing_written) -> None:
    error = nothing_written(*RATES, "--metric", "test/acuracy")
    assert "no metric test/acuracy; did you mean test/accuracy" in error
