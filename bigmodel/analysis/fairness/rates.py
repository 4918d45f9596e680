"""What is measured of a group: rates of a classifier, its calibration, errors of a regressor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bigmodel.analysis.estimates import Statistics
from bigmodel.analysis.predictions import Predictions
from bigmodel.experiment import InputError
from bigmodel.nearest import nearest_option
from bigmodel.training.class_report import calibration_error

BASE, SELECTION, ACCURACY = "share of the class", "selection rate", "accuracy"
TRUE_POSITIVE, FALSE_POSITIVE = "true positive rate", "false positive rate"
PRECISION = "precision"
CALIBRATION, CHANCE = "calibration error", "calibration error by chance"
SIMULATIONS = 100
MEANING = {
    BASE: "examples that are of the class",
    SELECTION: "examples of which the class is predicted",
    TRUE_POSITIVE: "of the examples of the class, those of which it is predicted",
    FALSE_POSITIVE: "of the other examples, those of which the class is predicted",
    PRECISION: "of the examples of which the class is predicted, those that are of it",
    ACCURACY: "examples of which the right class is predicted",
    CALIBRATION: "mean of |accuracy - probability of the predicted class| over 15 bins of the "
    "latter (Guo et al., 2017)",
    CHANCE: "what that would be if the probabilities were right: a small group has more",
    "log loss": "mean of -log of the probability of the right class, in nats",
    "ROC AUC": "share of the pairs of an example of the class and another in which the first has "
    "the greater probability of it",
    "mean target": "of what is right",
    "mean prediction": "of what is predicted",
    "mean error": "of prediction - target",
    "MAE": "mean of |prediction - target|",
    "RMSE": "root of the mean of (prediction - target)^2",
    "R2": "1 - the mean of (prediction - target)^2 over the variance of the target in the group",
}


class Share(NamedTuple):
    """A share: of the examples ``among`` which, those that are ``hits``."""

    hits: Bool[np.ndarray, " example"]
    among: Bool[np.ndarray, " example"]


class Measures(NamedTuple):
    """Shares by name, and all else as a function of the rows."""

    shares: Mapping[str, Share]
    others: Statistics


def positive_class(predictions: Predictions, asked: str | None) -> int | None:
    """The number of the class whose rates are compared; None where no one of several is asked for.

    Of two classes it is by default the second, as of ``no`` and ``yes`` or 0 and 1.

    Raises:
        InputError: there is no class of that name.
    """
    names = predictions.names
    if asked is None:
        return 1 if len(names) == 2 else None
    if asked not in names:
        classes = ", ".join(names[:20]) or "none, for it predicts numbers"
        near = nearest_option(asked, names)
        raise InputError(f"--positive {asked} is no class; {near}the classes are {classes}")
    return names.index(asked)


def class_shares(predictions: Predictions, positive: int) -> dict[str, Share]:
    """The rates of one class against all others."""
    right = predictions.right == positive
    chosen = predictions.predicted.argmax(axis=1) == positive
    every = np.ones(len(right), bool)
    return {
        SELECTION: Share(chosen, every),
        TRUE_POSITIVE: Share(chosen, right),
        FALSE_POSITIVE: Share(chosen, ~right),
        PRECISION: Share(right, chosen),
        BASE: Share(right, every),
    }


def class_measures(predictions: Predictions, positive: int | None) -> Measures:
    """Of a classifier: accuracy and, where a class is asked for, its rates; and calibration."""
    probability, right = predictions.predicted, predictions.right
    correct = probability.argmax(axis=1) == right
    confident = confidence_of(predictions)
    shares = {} if positive is None else class_shares(predictions, positive)
    shares[ACCURACY] = Share(correct, np.ones(len(right), bool))
    of_right = np.maximum(probability[np.arange(len(right)), right], np.finfo(np.float64).tiny)
    nats = -np.log(of_right)

    def others(rows: Int[np.ndarray, " row"]) -> Mapping[str, float]:
        found = {
            CALIBRATION: calibration_error(confident[rows], (~correct[rows]).astype(np.int64)),
            "log loss": float(nats[rows].mean()),
        }
        if positive is not None:
            found["ROC AUC"] = area(probability[rows, positive], right[rows] == positive)
        return found

    return Measures(shares, others)


def confidence_of(predictions: Predictions) -> Float[np.ndarray, "example 2"]:
    """The probability of the predicted class, as that of the class 0 of two; 1 is less probable.

    Of the calibration error no more matters than it, and whether it is right.
    """
    confidence = predictions.predicted.max(axis=1)
    return np.stack([confidence, np.zeros_like(confidence)], axis=1)


def calibration_by_chance(
    predictions: Predictions, rows: Int[np.ndarray, " row"], rng: np.random.Generator
) -> float:
    """The mean calibration error of rows that are right as often as the probabilities say."""
    confident = confidence_of(predictions)[rows]
    drawn = [
        calibration_error(confident, (rng.random(len(rows)) >= confident[:, 0]).astype(np.int64))
        for _ in range(SIMULATIONS)
    ]
    return float(np.mean(drawn))


def number_measures(predictions: Predictions) -> Measures:
    """Of a regressor: what it predicts in the mean, and its errors."""
    predicted, right = predictions.predicted, predictions.right

    def others(rows: Int[np.ndarray, " row"]) -> Mapping[str, float]:
        target, error = right[rows], predicted[rows] - right[rows]
        square, variance = float(np.square(error).mean()), float(target.var())
        return {
            "mean prediction": float(predicted[rows].mean()),
            "mean target": float(target.mean()),
            "mean error": float(error.mean()),
            "MAE": float(np.abs(error).mean()),
            "RMSE": square**0.5,
            "R2": 1 - square / variance if variance > 0 else float("nan"),
        }

    return Measures({}, others)


def area(scores: Float[np.ndarray, " row"], positive: Bool[np.ndarray, " row"]) -> float:
    """The area under the ROC curve, by the ranks of Mann and Whitney; NaN without both kinds."""
    from scipy.stats import rankdata

    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return float("nan")
    least = count * (count + 1) / 2
    return float((rankdata(scores)[positive].sum() - least) / (count * others))
