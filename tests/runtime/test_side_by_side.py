"""Runs side by side are what each is alone, whatever becomes of the others."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import linear
import pytest

from bigmodel.errors import NotFiniteError, StorageError
from bigmodel.experiment import Experiment
from bigmodel.processes.signals import StopRequest
from bigmodel.run_directory.directory import RunDirectory
from bigmodel.run_directory.history import read_metrics
from bigmodel.runtime.entry import begin
from bigmodel.runtime.loop import drive
from bigmodel.runtime.programs import Programs
from bigmodel.runtime.settings import Run, Settings
from bigmodel.runtime.side_by_side import (
    Ended,
    common_checkpoint,
    drive_together,
    in_lane,
    stacked_step,
)
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.training.optimizers import Optimizer

DIVERGING = 1e38


class Lane(NamedTuple):
    """One of several runs: its learning rate, seed, and what ends it early."""

    rate: float
    seed: int
    patience: int | None = None


LANES = (Lane(0.05, 0), Lane(0.05, 1), Lane(0.2, 0))


def experiment(lane: Lane) -> Experiment:
    """Linear softmax regression whose parameters grow without bounds under a huge rate."""
    return linear.experiment(Optimizer("sgd", learning_rate=lane.rate, weight_decay=0.01))


class Runs:
    """Runs of one program, each in a folder of its own."""

    def __init__(self, stop: StopRequest) -> None:
        self.programs = Programs()
        self.stop = stop

    def begin(self, lane: Lane, directory: Path, *, beside: bool, newest: int | None = None) -> Any:
        """A training, and the functions of its program."""
        one = experiment(lane)
        compiled = self.programs.compile(one, make_mesh(MeshShape(1)))
        run = Run(dir=str(directory), steps=12, eval_every=3, log_every=2, patience=lane.patience)
        training = begin(
            one,
            Settings(seed=lane.seed, mesh=MeshShape(1), run=run),
            in_lane(compiled) if beside else compiled,
            script=Path(linear.__file__),
            stop=self.stop,
            newest=newest,
            drawing=False,
        )
        return training, compiled


def alone(folder: Path, lanes: Sequence[Lane]) -> None:
    """Makes runs in turns in ``folder/0`` and so on."""
    with StopRequest() as stop:
        runs = Runs(stop)
        for number, lane in enumerate(lanes):
            training, compiled = runs.begin(lane, folder / str(number), beside=False)
            assert drive(training, compiled.step) == 0


def together(folder: Path, lanes: Sequence[Lane]) -> dict[int, Ended[int]]:
    """Makes runs side by side in ``folder/0`` and so on; how each has ended."""
    ended: dict[int, Ended[int]] = {}
    folders = [folder / str(number) for number in range(len(lanes))]
    newest = common_checkpoint([RunDirectory(one).checkpoints for one in folders], print)
    with StopRequest() as stop:
        runs = Runs(stop)
        trainings = []
        for lane, directory in zip(lanes, folders, strict=True):
            training, compiled = runs.begin(lane, directory, beside=True, newest=newest)
            trainings.append(training)
        drive_together(trainings, compiled, stacked_step(compiled), ended.__setitem__)
    return ended


def logged(directory: Path) -> list[dict[str, Any]]:
    """The history without what is about time."""
    lines = read_metrics(directory / "metrics.jsonl")
    return [{n: v for n, v in line.items() if "/" in n or n == "step"} for line in lines]


def digest(directory: Path) -> str:
    return json.loads((directory / "summary.json").read_text())["params_digest"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    ended = together(folder, LANES)
    assert {number: how.result for number, how in ended.items()} == {0: 0, 1: 0, 2: 0}
    return folder


def test_metrics_are_within_a_hundred_thousandth_of_each_alone(whole: Path, tmp_path) -> None:
    alone(tmp_path, LANES)
    for name in "012":
        by_itself, beside = logged(tmp_path / name), logged(whole / name)
        assert len(by_itself) == len(beside) == 11
        for ours, theirs in zip(beside, by_itself, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-5)
    assert len({digest(whole / str(number)) for number in range(3)}) == 3


def test_a_lane_that_diverges_says_so_and_leaves_the_others_their_bits(
    whole: Path, tmp_path: Path
) -> None:
    ended = together(tmp_path, (*LANES[:2], Lane(DIVERGING, 0)))
    assert isinstance(ended[2].error, NotFiniteError)
    summary = json.loads((tmp_path / "2" / "summary.json").read_text())
    assert summary["status"] == "not finite"
    for name in "01":
        assert digest(tmp_path / name) == digest(whole / name)
        assert logged(tmp_path / name) == logged(whole / name)


def test_a_lane_that_stops_early_leaves_the_others_their_bits(whole: Path, tmp_path: Path) -> None:
    """With no learning rate no evaluation is better, so its patience is over at the second."""
    ended = together(tmp_path, (*LANES[:2], Lane(0.0, 0, patience=1)))
    assert ended[2].result == 0
    summary = json.loads((tmp_path / "2" / "summary.json").read_text())
    assert (summary["status"], summary["step"]) == ("stopped early", 6)
    for name in "01":
        assert digest(tmp_path / name) == digest(whole / name)


def test_what_cannot_be_written_of_one_lane_is_its_own_failure(tmp_path: Path) -> None:
    (tmp_path / "1" / ".summary.json.partial").mkdir(parents=True)
    ended = together(tmp_path, LANES[:2])
    assert isinstance(ended[1].error, StorageError)
    assert ended[0] == Ended(0, None)


def test_runs_go_on_from_the_newest_step_of_which_all_have_a_checkpoint(
    whole: Path, tmp_path: Path
) -> None:
    """The checkpoints are those of the steps 9 and 12, beside the best; one lane lost its last."""
    shutil.copytree(whole, tmp_path / "a")
    for name in "012":
        (tmp_path / "a" / name / "summary.json").unlink()
    shutil.rmtree(tmp_path / "a" / "1" / "checkpoints" / "12")
    paths = [tmp_path / "a" / name / "checkpoints" for name in "012"]
    assert common_checkpoint(paths, print) == 9
    together(tmp_path / "a", LANES)
    for name in "012":
        assert digest(tmp_path / "a" / name) == digest(whole / name)
        assert logged(tmp_path / "a" / name) == logged(whole / name)


def test_without_a_common_checkpoint_all_begin_anew(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "1")
    paths = [tmp_path / "a" / name / "checkpoints" for name in "012"]
    assert common_checkpoint(paths, print) == 0
