"""Several steps in a call are what each is by itself."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import linear
import numpy as np
import pytest
from recorded import digest, logged, summary

from bigmodel.data.ahead import Ahead
from bigmodel.errors import NotFiniteError
from bigmodel.experiment import WHOLE, Mean
from bigmodel.runtime.calls import MOST, steps_of_a_call
from bigmodel.runtime.compilation import Compiled, compile_experiment
from bigmodel.runtime.loop import Plan, step_key
from bigmodel.runtime.settings import Run
from bigmodel.sharding.mesh import MeshShape, make_mesh


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    assert linear.run(folder, steps_per_call=1, log_every=15) == 0
    return folder


@pytest.mark.parametrize("count", [3, 7, None])
def test_bits_and_metrics_are_those_of_one_step_in_a_call(
    count: int | None, one_by_one: Path, tmp_path: Path
) -> None:
    assert linear.run(tmp_path, steps_per_call=count, log_every=15) == 0
    assert digest(tmp_path) == digest(one_by_one)
    assert logged(tmp_path) == logged(one_by_one)


def test_a_signal_is_answered_after_a_call_and_the_run_goes_on_with_another_number(
    one_by_one: Path, tmp_path: Path
) -> None:
    built = linear.experiment()

    def train(seed: int, step: int, rows: slice = WHOLE) -> Any:
        if step == 17:
            signal.raise_signal(signal.SIGTERM)
        return built.data.train(seed, step, rows)

    one = linear.with_data(built, train=train)
    options = {"log_every": 15, "checkpoint_every": 40}
    assert linear.run(tmp_path, one=one, steps_per_call=4, **options) == 0
    assert not (tmp_path / "summary.json").exists()
    assert linear.run(tmp_path, steps_per_call=9, **options) == 0
    assert digest(tmp_path) == digest(one_by_one)
    assert logged(tmp_path) == logged(one_by_one)


def test_what_is_not_finite_within_a_call_is_named_with_its_step(tmp_path: Path) -> None:
    built = linear.experiment()

    def train_step(state: Any, batch: Any, key: Any) -> Any:
        state, metrics, gradients = built.train_step(state, batch, key)
        bad = jnp.where(state.step == 14, jnp.nan, 1.0).astype(jnp.float32)
        loss = metrics["loss"]
        return state, {**metrics, "loss": Mean(loss.total * bad, loss.count)}, gradients

    with pytest.raises(NotFiniteError, match="not finite at step 14: loss; the checkpoint of step"):
        linear.run(tmp_path, one=built._replace(train_step=train_step), log_every=100)
    assert summary(tmp_path)["step"] == 14


def test_calls_end_where_something_is_due() -> None:
    run = Run(steps=20, eval_every=6, checkpoint_every=9, log_every=10)
    plan = Plan.of(run, linear.data())
    ends = [steps.stop for steps in plan.calls(0, 4)]
    assert ends == [1, 5, 6, 9, 10, 12, 16, 18, 20]
    assert [step for steps in plan.calls(7, 4) for step in steps] == list(range(7, 20))


def of_a_call(compiled: Compiled, **options: Any) -> int:
    batch = compiled.place(linear.experiment().data.train(0, 0))
    key, index = compiled.place_scalar(step_key(0)), compiled.place_scalar(np.int32(0))
    plan = Plan.of(Run(log_every=100, **options), linear.data())
    return steps_of_a_call(compiled, plan, batch, key, index)


def test_small_steps_share_a_call_and_large_ones_do_not() -> None:
    compiled = compile_experiment(linear.experiment(), make_mesh(MeshShape(1)))
    assert of_a_call(compiled) == MOST
    assert of_a_call(compiled, steps_per_call=5) == 5
    assert of_a_call(compiled, profile="3:5") == 1
    with jax.debug_nans(True):
        assert of_a_call(compiled) == 1
    large = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((1000, 1000, 3), leaf.dtype, sharding=leaf.sharding),
        compiled.state,
    )
    assert of_a_call(compiled._replace(state=large)) == 1


def test_a_step_with_convolutions_has_a_call_of_its_own_on_cpu() -> None:
    """In a loop XLA computes them to other bits there."""

    def apply(variables: Any, batch: Any, *, train: bool, key: Any) -> tuple[jax.Array, dict]:
        del train, key
        image, kernel = batch["image"][:, :, None], variables["params"]["kernel"][None]
        return jax.lax.conv_general_dilated(
            image, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        ).sum(axis=1), {}

    def init(key: jax.Array, batch: Any) -> dict[str, Any]:
        del key, batch
        return {"params": {"kernel": jnp.ones((1, 3), jnp.float32)}}

    one = linear.experiment(model=linear.MODEL._replace(init=init, apply=apply))
    compiled = compile_experiment(one, make_mesh(MeshShape(1)))
    assert of_a_call(compiled) == of_a_call(compiled, steps_per_call=9) == 1


def test_the_thread_that_makes_batches_ends_with_the_loop() -> None:
    batches = Ahead(lambda step: step + 1, range(100))
    assert [next(batches), next(batches)] == [1, 2]
    batches.close()
    for _ in range(100):
        if not any(thread.name.startswith("ahead") for thread in threading.enumerate()):
            return
        time.sleep(0.05)
    pytest.fail("the thread is still there")
