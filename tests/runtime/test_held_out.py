"""Which splits are evaluated when, and the test split of the best checkpoint."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import linear
import pytest
from recorded import digest, lines, logged, summary

from bigmodel.experiment import Experiment, Mean
from bigmodel.training.optimizers import Optimizer

WORSE = linear.experiment(Optimizer("sgd", learning_rate=0.0))
"""Whose first evaluation is its best."""


def known(one: Experiment | None = None, *splits: str) -> Experiment:
    """An experiment with an evaluation metric that is the number of the step."""
    built = one or linear.experiment()

    def eval_step(state: Any, batch: Any) -> Any:
        step = Mean(state.step.astype(jnp.float32), jnp.ones((), jnp.float32))
        return {**built.eval_step(state, batch), "step": step}

    kept = {name: built.data.splits[name] for name in splits or built.data.splits}
    return linear.with_data(built._replace(eval_step=eval_step), splits=kept)


@pytest.mark.parametrize(
    ("splits", "options", "expected"),
    [
        ((), {}, [40]),
        ((), {"test_every": 20}, [20, 40]),
        ((), {"test_every": 15}, [15, 30, 40]),
        (("test",), {}, [10, 20, 30, 40]),
        (("test",), {"test_every": 20}, [20, 40]),
        ((), {"best": "test/loss"}, [10, 20, 30, 40]),
        ((), {"eval_every_epochs": 2.5, "best": "test/loss"}, [20, 40]),
    ],
)
def test_the_test_split_is_left_for_the_end_where_nothing_depends_on_it(
    splits: Sequence[str], options: dict[str, Any], expected: list[int], tmp_path: Path
) -> None:
    assert linear.run(tmp_path, one=known(None, *splits), **options) == 0
    assert list(lines(tmp_path, "test/step")) == expected
    assert list(lines(tmp_path, "test/step").values()) == expected
    validated = [20, 40] if "eval_every_epochs" in options else [10, 20, 30, 40]
    assert list(lines(tmp_path, "validation/step")) == ([] if splits else validated)


@pytest.mark.parametrize("patience", [None, 2])
def test_the_summary_has_the_test_of_the_last_state_and_of_the_best(
    patience: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert linear.run(tmp_path, one=known(WORSE), patience=patience) == 0
    last = 40 if patience is None else 30
    found = summary(tmp_path)
    assert (found["step"], found["test/step"]) == (last, last)
    assert (found["best"]["step"], found["best"]["test/step"]) == (10, 10)
    assert found["best"]["test/loss"] == found["test/loss"]
    assert list(lines(tmp_path, "test/step")) == [last]
    assert "best at step 10: validation/loss" in capsys.readouterr().out


def test_a_test_metric_of_the_best_that_is_not_finite_is_none(tmp_path: Path) -> None:
    def eval_step(state: Any, batch: Any) -> Any:
        nothing = Mean(jnp.full((), jnp.nan, jnp.float32), jnp.ones((), jnp.float32))
        return {**WORSE.eval_step(state, batch), "undefined": nothing}

    assert linear.run(tmp_path, one=WORSE._replace(eval_step=eval_step)) == 0
    found = summary(tmp_path)
    assert (found["test/undefined"], found["best"]["test/undefined"]) == (None, None)
    assert found["best"]["test/loss"] == found["test/loss"]


def test_a_best_checkpoint_that_is_damaged_has_no_test(tmp_path: Path) -> None:
    one = known(WORSE)

    def damage() -> None:
        for path in (tmp_path / "checkpoints" / "10").rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:-1] + b"?")

    batches = one.data.splits["test"]
    one = linear.with_data(one, splits={**one.data.splits, "test": Telling(batches, [damage])})
    assert linear.run(tmp_path, one=one) == 0
    assert set(summary(tmp_path)["best"]) == {"step", "validation/loss"}
    assert summary(tmp_path)["test/step"] == 40


class Telling(list[Any]):
    """Batches of which each whole pass does what is next of some things."""

    def __init__(self, batches: Sequence[Any], things: Sequence[Any]) -> None:
        super().__init__(batches)
        self.things = iter(things)

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            next(self.things, lambda: None)()
        return super().__getitem__(index)


@pytest.mark.parametrize("patience", [None, 2])
@pytest.mark.parametrize("number", [0, 1])
def test_a_signal_while_the_test_is_evaluated_leaves_it_for_the_next_start(
    number: int, patience: int | None, tmp_path: Path
) -> None:
    """In the pass over the last state, or in that over the best one."""
    one, options = known(WORSE), {"patience": patience}
    assert linear.run(tmp_path / "whole", one=one, **options) == 0

    def stop() -> None:
        signal.raise_signal(signal.SIGTERM)

    # With patience the names of the metrics are asked for at first, from a batch of zeros.
    things = [lambda: None] * (number + (patience is not None)) + [stop]
    tests = Telling(one.data.splits["test"], things)
    stopping = linear.with_data(one, splits={**one.data.splits, "test": tests})
    assert linear.run(tmp_path / "run", one=stopping, **options) == 0
    assert not (tmp_path / "run/summary.json").exists()
    assert linear.run(tmp_path / "run", one=one, **options) == 0
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")
    assert summary(tmp_path / "run")["best"] == summary(tmp_path / "whole")["best"]
    assert logged(tmp_path / "run") == logged(tmp_path / "whole")
