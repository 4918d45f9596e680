"""Runs side by side are what each is alone, whatever becomes of the others."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import linear
import numpy as np
import pytest
from recorded import digest, logged, summary

from bigmodel.errors import NotFiniteError, StorageError
from bigmodel.experiment import WHOLE, Experiment, Rows
from bigmodel.processes.signals import StopRequest
from bigmodel.run_directory.directory import RunDirectory
from bigmodel.runtime.compilation import compile_experiment
from bigmodel.runtime.recorder import open_run
from bigmodel.runtime.settings import Run, Settings
from bigmodel.runtime.side_by_side import common_checkpoint, train_side_by_side
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.transfer.beginning import Init, beginning

OPTIONS: dict[str, Any] = {"steps": 12, "eval_every": 3, "log_every": 2}
SEEDS = (0, 1, 2)


def alone(folder: Path, one: Experiment) -> None:
    """Makes a run under each seed in ``folder/0`` and so on."""
    for seed in SEEDS:
        assert linear.run(folder / str(seed), one=one, seed=seed, **OPTIONS) == 0


def together(
    folder: Path, one: Experiment, seeds: Sequence[int] = SEEDS, **options: Any
) -> dict[int, Any]:
    """Makes the runs side by side in ``folder/0`` and so on; how each has ended."""
    ended: dict[int, Any] = {}
    folders = [folder / str(number) for number in range(len(seeds))]
    newest = common_checkpoint([RunDirectory(path).checkpoints for path in folders], print)
    mesh = make_mesh(MeshShape(1))
    compiled = compile_experiment(one, mesh)
    runs = {}
    for number, (path, seed) in enumerate(zip(folders, seeds, strict=True)):
        run = Run(dir=str(path), **{**OPTIONS, **options})
        config = Settings(seed=seed, mesh=MeshShape(1), run=run)
        script = Path(linear.__file__)
        opened = open_run(one, config, compiled, path, script=script, newest=newest, drawing=False)
        assert opened is not None
        runs[number] = opened
    with StopRequest() as stop:
        stop.defer()
        train_side_by_side(one, runs, seeds, mesh=mesh, stop=stop, ended=ended.__setitem__)
    return ended


def experiment(**changes: Any) -> Experiment:
    return linear.experiment(Optimizer("sgd", learning_rate=0.05, weight_decay=0.01), **changes)


def with_seed_2(change: Callable[[Any], Any]) -> Experiment:
    """The experiment whose batches of seed 2 are changed."""
    one = experiment()

    def train(seed: int, step: int, rows: slice = WHOLE) -> Any:
        batch = dict(one.data.train(seed, step, rows))
        return change(batch) if seed == 2 else batch

    return linear.with_data(one, train=train)


def check_same(folder: Path, whole: Path, names: str) -> None:
    """That runs have the bits and the metrics that they have undisturbed."""
    for name in names:
        assert digest(folder / name) == digest(whole / name)
        assert logged(folder / name) == logged(whole / name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    ended = together(folder, experiment())
    assert [ended[number]["status"] for number in SEEDS] == ["completed"] * 3
    return folder


def test_metrics_are_within_a_hundred_thousandth_of_each_alone(whole: Path, tmp_path: Path) -> None:
    alone(tmp_path, experiment())
    for name in "012":
        by_itself, beside = logged(tmp_path / name), logged(whole / name)
        assert len(by_itself) == len(beside) == 11
        for ours, theirs in zip(beside, by_itself, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-5)
    assert len({digest(whole / str(number)) for number in range(3)}) == 3


def test_runs_with_adapters_are_what_each_is_alone(tmp_path: Path) -> None:
    learned = {"params/kernel": np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)}
    init = Init("a", lora_rank=2)
    one = experiment(model=beginning(linear.MODEL, learned, init, sha256="a", tell=print))
    alone(tmp_path / "alone", one)
    together(tmp_path / "beside", one)
    for name in "012":
        ours, theirs = (logged(tmp_path / way / name) for way in ("beside", "alone"))
        for here, there in zip(ours, theirs, strict=True):
            assert here == pytest.approx(there, rel=1e-5)
        assert (tmp_path / "beside" / name / "checkpoints" / "frozen").is_dir()


def test_rows_of_an_evaluation_are_those_of_each_run(tmp_path: Path) -> None:
    """Numbers that no mean gives, from rows of which the last are padding."""

    def summarize(measured: Any) -> dict[str, Any]:
        rows = measured["rows"].values
        return {"rows": len(rows), "median": float(np.median(rows))}

    one = experiment(summarize=summarize)

    def eval_step(state: Any, batch: Any) -> Any:
        return {"rows": Rows((batch["image"] @ state.params["kernel"])[:, 0], batch["weight"])}

    one = one._replace(eval_step=eval_step)
    alone(tmp_path / "alone", one)
    together(tmp_path / "beside", one)
    for name in "012":
        ours, theirs = (logged(tmp_path / way / name)[-1] for way in ("beside", "alone"))
        assert ours["test/rows"] == 50
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_run_that_diverges_says_so_and_leaves_the_others_their_bits(
    whole: Path, tmp_path: Path
) -> None:
    huge = with_seed_2(lambda batch: {**batch, "image": batch["image"] * np.float32(1e30)})
    ended = together(tmp_path, huge)
    assert isinstance(ended[2], NotFiniteError)
    assert summary(tmp_path / "2")["status"] == "not finite"
    check_same(tmp_path, whole, "01")


def test_a_run_that_stops_early_leaves_the_others_their_bits(whole: Path, tmp_path: Path) -> None:
    """Trained on wrong labels, no evaluation is better than the first."""
    wrong = with_seed_2(lambda batch: {**batch, "label": (batch["label"] + 1) % 3})
    ended = together(tmp_path, wrong, patience=1)
    assert (ended[2]["status"], ended[2]["step"]) == ("stopped early", 6)
    check_same(tmp_path, whole, "01")


def test_what_cannot_be_written_of_one_run_is_its_own_failure(tmp_path: Path) -> None:
    (tmp_path / "1" / ".summary.json.partial").mkdir(parents=True)
    ended = together(tmp_path, experiment())
    assert isinstance(ended[1], StorageError)
    assert ended[0]["status"] == ended[2]["status"] == "completed"


@pytest.mark.parametrize(("lost", "common"), [("checkpoints/12", 9), (".", 0)])
def test_runs_go_on_from_the_newest_step_of_which_all_have_a_checkpoint(
    lost: str, common: int, whole: Path, tmp_path: Path
) -> None:
    """The checkpoints are those of the steps 9 and 12, beside the best."""
    folder = tmp_path / "a"
    shutil.copytree(whole, folder)
    for name in "012":
        (folder / name / "summary.json").unlink()
    shutil.rmtree(folder / "1" / lost)
    assert common_checkpoint([folder / name / "checkpoints" for name in "012"], print) == common
    together(folder, experiment())
    check_same(folder, whole, "012")
