"""How experiments/mlp.py compares with scikit-learn on small tables, on the same five folds.

    python benchmarks/tables.py [digits breast_cancer diabetes penguins titanic] [--seeds 3]

Prints the mean and the standard deviation over folds, and over several ways to divide the table
with --seeds. ``MLP*`` and gradient boosting have scikit-learn's defaults and get the same encoded
rows; ours has the experiment's defaults, which were chosen on other divisions of these tables.
"""

from __future__ import annotations

import argparse
import dataclasses
import runpy
import warnings
from collections.abc import Callable, Mapping
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

from bigmodel.data.bundled_tables import Bundled
from bigmodel.data.table import EncodedTable, TableData, encode_table
from bigmodel.training.classifier import fit

MINE = runpy.run_path(str(Path(__file__).parent.parent / "experiments" / "mlp.py"))
CONFIG = MINE["Config"]()
FOLDS = 5
THEIRS = {
    "MLP": (MLPClassifier, MLPRegressor),
    "GradientBoosting": (GradientBoostingClassifier, GradientBoostingRegressor),
    "HistGradientBoosting": (HistGradientBoostingClassifier, HistGradientBoostingRegressor),
}


def predictions(options: TableData) -> np.ndarray:
    """What the default config of the experiment predicts for the test fold, in order."""
    config = dataclasses.replace(CONFIG, data=options)
    experiment = MINE["build"](config)
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


def main() -> None:
    """Prints a line for each table, metric and model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", default=["digits", "breast_cancer", "diabetes"])
    parser.add_argument("--seeds", type=int, default=1, help="ways to divide each table")
    arguments = parser.parse_args()
    if unknown := set(arguments.tables) - set(get_args(Bundled)):
        parser.error(f"no table {unknown.pop()!r}; there are {', '.join(get_args(Bundled))}")
    # MLP* of scikit-learn stop after 200 epochs by default, and say so.
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name in arguments.tables:
        scores: dict[tuple[str, str], np.ndarray] = {}
        for seed, fold in np.ndindex(arguments.seeds, FOLDS):
            options = dataclasses.replace(
                CONFIG.data, name=name, folds=FOLDS, fold=fold, split_seed=seed, validation=0.0
            )
            table = encode_table(options)
            models = {"bigmodel": predictions(options)} | {
                model: scikit_learn(kinds[not table.target.names], table)
                for model, kinds in THEIRS.items()
            }
            for model, predicted in models.items():
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
