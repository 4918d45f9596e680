"""What a run predicts of the examples of a split, and what is right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bigmodel.experiment import Experiment, InputError, Rows
from bigmodel.inference.measuring import measure_run
from bigmodel.inference.trained import Trained
from bigmodel.runtime.evaluation import without_padding

PREDICTION = "prediction"
"""The rows that classifiers and regressors gather in an evaluation."""


class Predictions(NamedTuple):
    """Of each example, in order, what is predicted and what is right.

    Of classes, ``predicted`` are probabilities float64 ``[example, class]`` and ``right`` numbers
    of classes; ``names`` are those of the classes. Of numbers both are float64 ``[example]`` in
    the units of the data, and there are no names.
    """

    names: tuple[str, ...]
    predicted: np.ndarray
    right: np.ndarray

    @property
    def examples(self) -> int:
        """The number of examples."""
        return len(self.right)


def predictions_of(run: Trained, experiment: Experiment, split: str) -> Predictions:
    """Evaluates a split.

    Raises:
        InputError: the run predicts neither classes nor numbers, one for each example.
    """
    measured = measure_run(run, experiment, {split: experiment.data.splits[split]})[split]
    gathered = measured.get(PREDICTION)
    rows = without_padding(PREDICTION, gathered) if isinstance(gathered, Rows) else None
    if not isinstance(rows, Rows) or not isinstance(rows.values, dict):
        raise InputError(
            f"{run.path} predicts neither a class nor a number for each example, and so no rates "
            "of groups can be compared"
        )
    values = {name: np.asarray(array) for name, array in rows.values.items()}
    decode = run.predictor.decode
    if "probability" in values:
        probability = values["probability"].astype(np.float64)
        names = tuple(answer["class"] for answer in decode(np.eye(probability.shape[1])))
        return Predictions(names, probability, values["label"].astype(np.int64))
    # Answers are in the units of the data, and have one value each.
    predicted, right = (
        np.array([next(iter(answer.values())) for answer in decode(values[name])], np.float64)
        for name in ("predicted", "target")
    )
    return Predictions((), predicted, right)


def split_of(run: Trained, experiment: Experiment, asked: str | None) -> str:
    """The split that is asked for; by default the last one, which is the test's.

    Raises:
        InputError: there is none, or none of that name.
    """
    splits = list(experiment.data.splits)
    if not splits:
        raise InputError(f"{run.path} held no examples out; give data after --")
    if asked is not None and asked not in splits:
        raise InputError(f"--split {asked}: {run.path} has the splits {', '.join(splits)}")
    return asked or splits[-1]
