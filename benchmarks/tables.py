r"""How experiments/mlp.py compares with scikit-learn on small tables, on the same five folds.

    python benchmarks/tables.py digits
    python benchmarks/tables.py breast_cancer diabetes --seeds 3 -- --model.dropout 0.5 \
        --optimizer.learning-rate 2e-3 --optimizer.weight-decay 0.3 --run.steps 500

Prints the mean and the standard deviation over folds, and over several ways to divide the table
with --seeds. ``MLP*`` and gradient boosting have scikit-learn's defaults and get the same encoded
rows. What follows ``--`` are options of the experiment, which were chosen by test scores on other
divisions of the same tables, and its defaults by validation loss on some of the same divisions:
an advantage that the others did not have.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score, root_mean_squared_error
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bigmodel.data.tables.bundled_tables import Bundled
from bigmodel.data.tables.table import EncodedTable, encode_table
from bigmodel.runtime.command_line import parse
from bigmodel.training.fitting import fit

sys.path.insert(0, str(Path(__file__).parent.parent))
from experiments.mlp import Config, build

FOLDS = 5
THEIRS = {
    "MLP": (MLPClassifier, MLPRegressor),
    "GradientBoosting": (GradientBoostingClassifier, GradientBoostingRegressor),
    "HistGradientBoosting": (HistGradientBoostingClassifier, HistGradientBoostingRegressor),
}


def predictions(config: Config) -> np.ndarray:
    """What the experiment of a config predicts for the test fold, in order."""
    experiment = build(config)
    state = fit(experiment, steps=config.run.steps, seed=config.seed)
    evaluate = jax.jit(experiment.eval_step)
    found = []
    for batch in experiment.data.splits["test"]:
        values, weight = evaluate(state, batch)["prediction"]
        rows = values["predicted"] if "predicted" in values else values["probability"].argmax(1)
        found.append(np.asarray(rows)[np.asarray(weight) > 0])
    return np.concatenate(found)


def score(table: EncodedTable, predicted: np.ndarray) -> Mapping[str, float]:
    """How good predictions of the test fold are."""
    test = table.parts["test"]
    if table.target.names:
        return {"accuracy": accuracy_score(test["label"], predicted)}
    error = table.target.scale * root_mean_squared_error(test["target"], predicted)
    return {"r2": r2_score(test["target"], predicted), "rmse": error}


def scikit_learn(kind: Callable[..., Any], table: EncodedTable) -> np.ndarray:
    """What a model of scikit-learn, with its defaults, predicts for the test fold."""
    train = table.parts["train"]
    model = kind(random_state=0)
    model.fit(train["features"], train["label" if table.target.names else "target"])
    return model.predict(table.parts["test"]["features"])


def read_options(arguments: Sequence[str]) -> tuple[argparse.Namespace, Config]:
    """The options of the benchmark, and the config that those after ``--`` make."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", default=["digits", "breast_cancer", "diabetes"])
    parser.add_argument("--seeds", type=int, default=1, help="ways to divide each table")
    names = ("bigmodel", *THEIRS)
    parser.add_argument("--models", nargs="+", choices=names, default=names, help="which to fit")
    own = list(arguments)
    end = own.index("--") if "--" in own else len(own)
    parsed = parser.parse_args(own[:end])
    if unknown := set(parsed.tables) - set(get_args(Bundled)):
        parser.error(f"no table {unknown.pop()!r}; there are {', '.join(get_args(Bundled))}")
    return parsed, parse(Config(), own[end + 1 :], description="")


def main() -> None:
    """Prints a line for each table, metric and model."""
    arguments, default = read_options(sys.argv[1:])
    # MLP* of scikit-learn stop after 200 epochs by default, and say so.
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name in arguments.tables:
        scores: dict[tuple[str, str], np.ndarray] = {}
        for seed, fold in np.ndindex(arguments.seeds, FOLDS):
            options = dataclasses.replace(
                default.data, name=name, folds=FOLDS, fold=fold, split_seed=seed, validation=0.0
            )
            table = encode_table(options)
            config = dataclasses.replace(default, data=options)
            for model in arguments.models:
                if model == "bigmodel":
                    predicted = predictions(config)
                else:
                    predicted = scikit_learn(THEIRS[model][not table.target.names], table)
                for metric, value in score(table, predicted).items():
                    empty = np.zeros((arguments.seeds, FOLDS))
                    scores.setdefault((metric, model), empty)[seed, fold] = value
        for (metric, model), values in scores.items():
            each = " ".join(f"{fold:.4g}" for fold in values.mean(axis=0))
            print(
                f"{name:14} {metric:9} {model:21} {values.mean():.4g} "
                f"(standard deviation of folds {values.std(ddof=1):.2g}: {each})",
                flush=True,
            )


if __name__ == "__main__":
    main()
