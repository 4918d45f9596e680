"""What is gained over biases alone, on several random tenths?

    python benchmarks/recommender.py [any option of experiments/recommender.py]

Trains ``experiments/recommender.py`` on five splits, each with another random tenth of the ratings
as its test set. The baseline is the mean plus a bias for each user and each item, by alternating
least squares to convergence; its penalty is the one that is best on the validation ratings.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, Int

from bigmodel.data.batches import Arrays
from bigmodel.data.ratings import load_ratings
from bigmodel.experiment import Experiment
from bigmodel.runtime.command_line import parse
from bigmodel.training.fitting import fit

sys.path.insert(0, str(Path(__file__).parent.parent))
from experiments.recommender import Config, build

SPLITS = 5
PENALTIES = (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
ROUNDS = 30


def biases(train: Arrays, *, users: int, items: int, penalty: float) -> tuple[np.ndarray, ...]:
    """The mean, and biases that minimise squared errors + penalty * (squares of the biases)."""
    mean = train["target"].mean(dtype=np.float64)
    rest = train["target"] - mean
    user, item = np.zeros(users), np.zeros(items)

    def best(
        numbers: Int[np.ndarray, "row"], errors: Float[np.ndarray, "row"], count: int
    ) -> Float[np.ndarray, "count"]:
        total = np.bincount(numbers, errors, minlength=count)
        return total / (np.bincount(numbers, minlength=count) + penalty)

    for _ in range(ROUNDS):
        item = best(train["item"], rest - user[train["user"]], items)
        user = best(train["user"], rest - item[train["item"]], users)
    return mean, user, item


def rmse(errors: np.ndarray) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(errors, dtype=np.float64))))


def measured_rmse(experiment: Experiment, state: object) -> float:
    """The error of the trained model on the test set."""
    evaluate = jax.jit(experiment.eval_step)
    losses = [evaluate(state, batch)["loss"] for batch in experiment.data.splits["test"]]
    total, count = (sum(float(part) for part in parts) for parts in zip(*losses, strict=True))
    return float(np.sqrt(total / count))


def read_options(arguments: Sequence[str]) -> Config:
    """The config that the options of the experiment make."""
    return parse(Config(), arguments, description=__doc__ or "")


def main() -> None:
    """Prints the test error of the model and of the baseline for each split."""
    config = read_options(sys.argv[1:])
    rows = []
    for split in range(SPLITS):
        data = dataclasses.replace(config.data, split_seed=split)
        one = dataclasses.replace(config, data=data)
        ratings = load_ratings(data)
        sizes = {"users": len(ratings.users), "items": len(ratings.items)}
        errors = {}
        for penalty in PENALTIES:
            mean, user, item = biases(ratings.parts["train"], **sizes, penalty=penalty)
            errors[penalty] = {
                name: rmse(part["target"] - mean - user[part["user"]] - item[part["item"]])
                for name, part in ratings.parts.items()
            }
        best = min(PENALTIES, key=lambda penalty: errors[penalty]["validation"])
        steps = config.run.total_steps(ratings.data.steps_per_epoch)
        experiment = build(one)
        model = measured_rmse(experiment, fit(experiment, steps=steps, seed=config.seed))
        rows.append((model, errors[best]["test"]))
        print(f"split {split}: {model:.4f}, biases alone {rows[-1][1]:.4f} (penalty {best:g})")
    mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
    print(
        f"test RMSE of {config.model.name}: {mean[0]:.4f} +- {spread[0]:.4f}, "
        f"biases alone: {mean[1]:.4f} +- {spread[1]:.4f} ({SPLITS} splits)"
    )


if __name__ == "__main__":
    main()
