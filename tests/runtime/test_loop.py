import dataclasses
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import linear
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from recorded import digest, lines, read, summary

from bigmodel.errors import NotFiniteError
from bigmodel.experiment import WHOLE, Experiment, Mean, Rows
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.history import best_step
from bigmodel.runtime.compilation import Compiled, compile_experiment
from bigmodel.runtime.evaluation import Evaluation, measure, summarize
from bigmodel.runtime.settings import Run
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.training.optimizers import Optimizer


def saved(directory: Path) -> list[int]:
    return Checkpoints(directory / "checkpoints", warn=print).steps()


def evaluated(one: Experiment, compiled: Compiled, state: Any) -> Evaluation:
    splits = measure(compiled.evaluate, state, one.data.splits, place=compiled.place)
    assert splits is not None
    return summarize(one, splits)


def test_metrics_are_those_of_a_bare_loop_over_the_pure_functions(tmp_path: Path) -> None:
    one = linear.experiment()
    assert linear.run(tmp_path, one=one, steps=4, log_every=1) == 0
    root = jax.random.key(0)
    state = one.init(jax.random.fold_in(root, 0))
    for step in range(4):
        key = jax.random.fold_in(jax.random.fold_in(root, 1), step)
        state, metrics, _ = one.train_step(state, one.data.train(0, step), key)
        loss = float(metrics["loss"].total / metrics["loss"].count)
        assert lines(tmp_path, "train/loss")[step + 1] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("layout", [MeshShape(1), MeshShape(8)])
def test_evaluation_is_exact_however_the_data_is_split(layout: MeshShape) -> None:
    found = []
    for size in (8, 16, 56):
        one = linear.experiment()._replace(data=linear.data(size))
        compiled = compile_experiment(one, make_mesh(layout))
        state = compiled.init(jax.random.key(3))
        found.append(evaluated(one, compiled, state).values)
    test = linear.arrays(50, 2)
    logits = test["image"] @ np.asarray(state.params["kernel"])
    assert found[0]["test/accuracy"] == np.mean(logits.argmax(1) == test["label"])
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-6)


@pytest.mark.parametrize("layout", [MeshShape(1), MeshShape(8)])
def test_rows_are_gathered_in_order_without_padding(layout: MeshShape) -> None:
    def summarize(measured: Any) -> dict[str, Any]:
        rows = measured["rows"].values
        return {"rows": len(rows["image"]), "picture": rows["image"], "text": str(rows["label"])}

    test = linear.arrays(50, 2)
    for size in (8, 16, 56):
        one = linear.experiment(summarize=summarize)._replace(data=linear.data(size))
        one = one._replace(eval_step=lambda _, batch: {"rows": Rows(batch, batch["weight"])})
        compiled = compile_experiment(one, make_mesh(layout))
        found = evaluated(one, compiled, compiled.init(jax.random.key(3)))
        assert found.values == {"validation/rows": 40, "test/rows": 50}
        np.testing.assert_array_equal(found.shown["test_picture"], test["image"])
        assert found.shown["test_text"] == str(test["label"])


@pytest.mark.parametrize("larger", [True, False])
def test_a_metric_of_ones_own_decides_as_its_experiment_says(tmp_path: Path, larger: bool) -> None:
    """It is the number of the step, so either the first evaluation is the best or the last."""
    built = linear.experiment()

    def eval_step(state: Any, batch: Any) -> Any:
        step = Mean(state.step.astype(jnp.float32), jnp.ones((), jnp.float32))
        return {**built.eval_step(state, batch), "error": step}

    one = built._replace(eval_step=eval_step, maximize=frozenset({"error"} if larger else ()))
    options = {"best": "validation/error", "patience": 2, "keep": 2}
    assert linear.run(tmp_path, one=one, **options) == 0
    best, last = (40, 40) if larger else (10, 30)
    found = summary(tmp_path)["best"]
    assert (found["step"], found["validation/error"]) == (best, best)
    assert saved(tmp_path) == sorted({best, last - 10, last})
    assert summary(tmp_path)["status"] == ("completed" if larger else "stopped early")
    assert read(tmp_path, "manifest.json")["maximize"] == (["error"] if larger else [])


def test_patience_stops_early_and_a_resume_knows_it(tmp_path: Path) -> None:
    worse = linear.experiment(Optimizer("sgd", learning_rate=0.0))
    options = {"steps": 100, "eval_every": 10, "patience": 3}
    assert linear.run(tmp_path, one=worse, **options) == 0
    assert summary(tmp_path)["status"] == "stopped early"
    assert summary(tmp_path)["step"] == 40
    (tmp_path / "summary.json").unlink()
    assert linear.run(tmp_path, one=worse, **options) == 0
    assert summary(tmp_path)["step"] == 40


def test_an_experiment_without_evaluation_splits_runs(tmp_path: Path) -> None:
    one = linear.with_data(linear.experiment(), splits={})
    assert linear.run(tmp_path, one=one) == linear.run(tmp_path, one=one) == 0
    assert list(lines(tmp_path, "train/loss")) == [1, 10, 20, 30, 40]


def test_the_best_of_equal_values_is_the_first() -> None:
    history = [{"step": s, "validation/loss": v} for s, v in ((1, 3.0), (2, 1.0), (3, 1.0))]
    assert best_step(history, "validation/loss", maximize=False) == (2, 1.0, 1)
    assert best_step(history, "validation/loss", maximize=True) == (1, 3.0, 2)


def test_durations_in_epochs() -> None:
    run = Run(epochs=2.5, eval_every_epochs=0.5)
    assert run.total_steps(8) == 20
    assert run.evaluation_steps(8) == 4


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_cause(tmp_path: Path) -> None:
    one = linear.experiment()

    def train_step(state, batch, key):
        state, metrics, gradients = one.train_step(state, batch, key)
        bad = jnp.where(state.step == 14, jnp.nan, 1.0).astype(jnp.float32)
        gradients = {"kernel": gradients["kernel"] * bad}
        loss = metrics["loss"]
        return state, {**metrics, "loss": Mean(loss.total * bad, loss.count)}, gradients

    with pytest.raises(NotFiniteError) as stopped:
        linear.run(tmp_path, one=one._replace(train_step=train_step))
    message = str(stopped.value)
    assert "step 14" in message
    assert "gradient kernel" in message
    assert "checkpoint of step 10 is kept" in message
    assert saved(tmp_path) == [10]
    assert summary(tmp_path)["status"] == "not finite"
    assert summary(tmp_path)["step"] == 14
    assert max(lines(tmp_path, "train/loss")) == 10


def test_steps_that_are_not_finite_are_skipped_and_counted_up_to_so_many(tmp_path: Path) -> None:
    built = linear.experiment(Optimizer("adam", learning_rate=0.05, skip_nonfinite=2))

    def with_bad(*steps: int) -> Any:
        def train(seed: int, step: int, rows: slice = WHOLE) -> Any:
            batch = built.data.train(seed, step, rows)
            return {**batch, "image": batch["image"] * np.float32(np.nan if step in steps else 1)}

        return linear.with_data(built, train=train)

    one = with_bad(4, 5, 11, 19)
    assert linear.run(tmp_path / "a", one=one, log_every=5) == 0
    skipped = lines(tmp_path / "a", "train/skipped")
    assert skipped == {1: 0, 5: 1, 10: 2, 15: 3, 20: 4, 25: 4, 30: 4, 35: 4, 40: 4}
    losses = lines(tmp_path / "a", "train/loss")
    assert [step for step, loss in losses.items() if loss is None] == [5, 20]
    # What goes on from step 10 counts on, to the same bits.
    assert linear.run(tmp_path / "b", one=with_bad(4, 5), steps=40, keep=9) == 0
    for step in (20, 30, 40):
        shutil.rmtree(tmp_path / "b" / "checkpoints" / str(step))
    (tmp_path / "b" / "summary.json").unlink()
    assert linear.run(tmp_path / "b", one=one, keep=9) == 0
    assert digest(tmp_path / "b") == digest(tmp_path / "a")
    with pytest.raises(NotFiniteError, match="not finite at step 9"):
        linear.run(tmp_path / "c", one=with_bad(3, 6, 7, 8))


def test_a_checkpoint_never_holds_parameters_that_are_not_finite(tmp_path: Path) -> None:
    one = linear.experiment()

    def train_step(state, batch, key):
        state, metrics, gradients = one.train_step(state, batch, key)
        bad = jnp.where(state.step == 14, jnp.inf, 1.0).astype(jnp.float32)
        params = {"kernel": state.params["kernel"] * bad}
        return dataclasses.replace(state, params=params), metrics, gradients

    with pytest.raises(NotFiniteError, match="not finite at step 14: parameter kernel"):
        linear.run(tmp_path, one=one._replace(train_step=train_step), eval_every=1, keep=20)
    assert saved(tmp_path) == list(range(1, 14))


def test_no_checkpoint_is_made_of_a_stop_after_parameters_became_infinite(tmp_path: Path) -> None:
    """One of them that no loss depends on, which only a look at all of them finds."""

    def init(key: jax.Array, batch: Any) -> Any:
        params = linear.init(key, batch)["params"]
        return {"params": {**params, "unused": jnp.zeros(2, jnp.float32)}}

    model = linear.MODEL._replace(init=init, partition=((".*", P()),))
    built = linear.experiment(model=model)

    def train_step(state, batch, key):
        state, metrics, gradients = built.train_step(state, batch, key)
        bad = jnp.where(state.step == 14, jnp.inf, 0.0).astype(jnp.float32)
        params = {**state.params, "unused": state.params["unused"] + bad}
        return dataclasses.replace(state, params=params), metrics, gradients

    def train(seed: int, step: int, rows: slice = WHOLE) -> Any:
        if step == 30:
            signal.raise_signal(signal.SIGTERM)
        return built.data.train(seed, step, rows)

    one = linear.with_data(built._replace(train_step=train_step), train=train)
    with pytest.raises(NotFiniteError, match="parameter unused; no checkpoint yet"):
        linear.run(tmp_path, one=one, eval_every=100, steps_per_call=1)
    assert saved(tmp_path) == []


def test_batches_are_made_ahead_by_another_thread(tmp_path: Path) -> None:
    elsewhere, built = set(), linear.experiment()

    def train(seed, step, rows=WHOLE):
        if threading.current_thread() is not threading.main_thread():
            elsewhere.add(step)
        return built.data.train(seed, step, rows)

    assert linear.run(tmp_path, one=linear.with_data(built, train=train)) == 0
    assert elsewhere == set(range(40))


def test_an_error_while_a_batch_is_made_comes_out(tmp_path: Path) -> None:
    built = linear.experiment()

    def train(seed, step, rows=WHOLE):
        if step == 5:
            raise OSError("the disk with the images is gone")
        return built.data.train(seed, step, rows)

    with pytest.raises(OSError, match="the disk with the images is gone"):
        linear.run(tmp_path, one=linear.with_data(built, train=train))


@pytest.mark.parametrize("debugger", [jax.disable_jit, lambda: jax.debug_nans(True)])
def test_jaxs_debuggers_may_call_a_step_again(debugger: Any, tmp_path: Path) -> None:
    with debugger():
        assert linear.run(tmp_path, steps=3, eval_every=2) == 0


def test_a_nan_is_found_by_jaxs_debugger_where_it_arises(tmp_path: Path) -> None:
    one = linear.experiment()

    def train_step(state, batch, key):
        return one.train_step(state, {**batch, "image": jnp.log(batch["image"])}, key)

    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="log"):
        linear.run(tmp_path, one=one._replace(train_step=train_step))


def test_rows_with_a_weight_for_each_token_are_refused() -> None:
    rows = Rows(np.zeros((4, 3)), np.ones((4, 3)))
    with pytest.raises(ValueError, match="rows tokens have shape"):
        summarize(linear.experiment(), {"test": {"tokens": rows}})
