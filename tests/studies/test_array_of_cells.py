"""Studies as job arrays, and the cells that their tasks make. A real one is in ``tests/slurm``."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rare import rare
from seen import wait_for, workers
from written import write_runs

from bigmodel.files import locked
from bigmodel.studies.ablation.board import last_step
from bigmodel.studies.runs import FAILED
from bigmodel.studies.study import Cell, Study, directory_of, read_study, write_study
from launch import main

ROOT = Path(__file__).parent.parent.parent
MLP = str(ROOT / "experiments" / "mlp.py")
RATES = ("1e-1", "1e-2", "1e-3")
CELLS = tuple({"optimizer.learning-rate": rate} for rate in RATES)
NAMES = [f"optimizer.learning-rate={rate}" for rate in RATES]
ABLATE = ["ablate", MLP, "--name=opt", f"--vary=optimizer.learning-rate={','.join(RATES)}"]
OPTIONS = ("--", "--run.steps", "300")
TINY = ("--model.widths", "8", "--run.log-every=5")


@pytest.fixture(autouse=True)
def study(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a study would be, in a directory without any job scheduler."""
    monkeypatch.setenv("PATH", "/nowhere")
    return here / "studies" / "opt"


def write_made(study: Path, seeds: tuple[int, ...], states: dict[tuple[int, int], str]) -> None:
    """Writes a study whose runs have come to their ends, but for some by cell and seed."""
    accuracy = lambda cell, seed, _: states.get((cell, seed), 0.9)  # noqa: E731
    write_runs(study, CELLS, seeds=seeds, accuracy=accuracy)
    write_study(study, dataclasses.replace(read_study(study), script=MLP))


def words(script: str) -> list[str]:
    lines = script.splitlines()
    return lines[lines.index("words=(") + 1 : lines.index(")")]


def test_only_cells_with_missing_runs_are_tasks(study: Path, capsys: pytest.CaptureFixture) -> None:
    write_made(study, (0, 3), {(1, 3): "begun", (2, 0): "failed"})
    found = []
    for more in ([], ["--retry-failed"], ["--seeds=0,3,4"]):
        assert main([*ABLATE, "--seeds=0,3", "--slurm", "--dry-run", *more, *OPTIONS]) == 0
        found.append(words(capsys.readouterr().out))
    assert found == [NAMES[1:2], NAMES[1:], NAMES]
    assert (directory_of(study, Cell(CELLS[2]), 0) / FAILED).exists()


def test_a_study_with_all_its_runs_is_not_submitted(study: Path, capsys, refused) -> None:
    write_made(study, (0,), {})
    ablate = [*ABLATE, "--seeds=1", "--slurm", *OPTIONS]
    assert main(ablate) == 0
    assert "no run is missing" in capsys.readouterr().out
    assert "holds a study with other options" in refused(*ablate, "--run.patience", "2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time=1"], "--time is for SLURM; add --slurm"),
        (["--gpus-per-node=1"], "--gpus-per-node is for SLURM"),
        (["--slurm", "--jobs=2"], "--jobs is for this machine"),
        (["--slurm", "--array-limit=0"], "--array-limit is 0"),
        (["--slurm", "--time=2:00"], "all of it --notice"),
        (["--slurm", "--retries=-1"], "--retries is -1"),
        (["--slurm"], "there is no sbatch here"),
    ],
)
def test_what_cannot_be_submitted_is_one_line_and_nothing_written(
    arguments: list[str], message: str, study: Path, refused: Callable[..., str]
) -> None:
    assert message in refused(*ABLATE, *arguments)
    assert not study.exists()


def test_a_refused_array_leaves_the_study_as_it_was(
    study: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_made(study, (0,), {(2, 0): "failed"})
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    ablate = [*ABLATE, "--seeds=0,3", "--slurm", "--retry-failed", *OPTIONS]
    assert "there is no sbatch here" in refused(*ablate)
    programs = Path("programs")
    programs.mkdir()
    (programs / "sbatch").write_text("#!/bin/sh\necho no such partition >&2\nexit 2\n")
    (programs / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs.resolve()))
    assert "sbatch refuses the job: no such partition" in refused(*ablate)
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before


def written(study: Path, *, steps: int = 20) -> Cell:
    """Writes a study of one seed without any run, and gives its first cell."""
    options = (*TINY, f"--run.steps={steps}")
    write_study(study, Study(MLP, options, tuple(map(Cell, CELLS)), (0,), seeds_by="sequential"))
    return Cell(CELLS[0])


def test_a_cell_that_is_not_there_is_told_the_nearest(study: Path, refused) -> None:
    written(study)
    said = refused("work", "studies/opt", "optimizer.learning_rate=1e-2")
    assert f"did you mean {NAMES[1]}?" in said


@pytest.mark.parametrize("held", ["the cell", "the study"])
def test_no_two_processes_work_on_one_cell(held: str, study: Path, refused) -> None:
    cell = written(study)
    folder = study if held == "the study" else directory_of(study, cell, 0).parent
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, otherwise=""):
        said = refused("work", "studies/opt", NAMES[0])
    assert f"another process is running in {folder.relative_to(Path.cwd())}; " in said
    assert not directory_of(study, cell, 0).exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("moment", [rare("starting"), "training"])
def test_a_signal_that_reaches_the_worker_first_saves_and_marks_no_run_as_failed(
    moment: str, study: Path
) -> None:
    directory = directory_of(study, written(study, steps=100_000), 0)
    work = subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), "work", "studies/opt", NAMES[0]],
        env={**os.environ, "PYTHONPATH": str(ROOT), "BIGMODEL_RESUMES": "1"},
    )
    try:
        wait_for(lambda: workers(Path.cwd()))
        if moment == "training":
            wait_for(lambda: last_step(directory))
        for number in workers(Path.cwd()):
            os.kill(number, signal.SIGTERM)
        assert work.wait(120) == 75
    finally:
        work.kill()
        work.wait()
    assert not (directory / FAILED).exists()
    assert any(directory.glob("checkpoints/*")) == (moment == "training")
