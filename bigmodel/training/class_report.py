"""Reports on the predictions of a classifier over a whole split."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from bigmodel.experiment import Batch, Figure, Measured, PyTree, Results, Rows, scalars
from bigmodel.figures.heatmap import draw_confusion
from bigmodel.training.supervision import Report

BINS = 15
LARGER_IS_BETTER = (
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "f1_micro",
    "roc_auc",
    "top_5_accuracy",
)
"""Of the numbers of :func:`describe`; of the calibration error, less is."""


def classification_report(names: Sequence[str]) -> Report:
    """Reports on a classifier, as scikit-learn computes them from all its predictions.

    Metrics are ``precision_macro``, ``recall_macro``, ``f1_macro``, ``f1_micro``, ``roc_auc`` (of
    each class against the rest, macro), ``calibration_error`` and, with more than five classes,
    ``top_5_accuracy``; figures are ``confusion``, and ``report`` with the numbers of each
    class. A class that is never predicted has precision 0. Where not every class is among the
    labels there is no ``roc_auc``: it is nan.

    Args:
        names: the classes, in the order of the logits.
    """

    def prediction(logits: PyTree, batch: Batch) -> PyTree:
        probability = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
        return {"probability": probability, "label": batch["label"]}

    def summarize(measured: Measured) -> Results:
        rows = measured["prediction"]
        assert isinstance(rows, Rows)
        probability = np.asarray(rows.values["probability"], np.float64)
        return {**scalars(measured), **describe(probability, rows.values["label"], names)}

    return Report(
        gathered={"prediction": prediction},
        summarize=summarize,
        maximize=frozenset({"accuracy", *LARGER_IS_BETTER}),
    )


def describe(
    probability: Float[np.ndarray, "example class"],
    label: Int[np.ndarray, " example"],
    names: Sequence[str],
) -> Results:
    """The metrics and figures of :func:`classification_report`."""
    # Imported here, for it takes a second that training need not spend.
    from sklearn import metrics

    classes = np.arange(len(names))
    predicted = probability.argmax(axis=1)
    options = {"labels": classes, "zero_division": 0}
    macro = metrics.precision_recall_fscore_support(label, predicted, average="macro", **options)
    results: dict[str, float | Figure] = {
        "precision_macro": float(macro[0]),
        "recall_macro": float(macro[1]),
        "f1_macro": float(macro[2]),
        # Of single labels all classes together have as many false positives as false negatives.
        "f1_micro": float(np.mean(predicted == label)),
        "roc_auc": _roc_auc(probability, label),
        "calibration_error": calibration_error(probability, label),
    }
    if len(names) > 5:
        best = np.argsort(-probability, axis=1, kind="stable")[:, :5]
        results["top_5_accuracy"] = float(np.mean(np.any(best == label[:, None], axis=1)))
    matrix = metrics.confusion_matrix(label, predicted, labels=classes)
    results["confusion"] = partial(draw_confusion, matrix, names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes without an example
        results["report"] = metrics.classification_report(
            label, predicted, target_names=list(names), digits=4, **options
        )
    return results


def _roc_auc(probability: np.ndarray, label: np.ndarray) -> float:
    """The mean over classes of the area under the curve: the share of pairs in the right order.

    It is the statistic of Mann and Whitney, from the ranks of all examples at once, where
    scikit-learn makes a curve for each class.
    """
    from scipy.stats import rankdata

    positive = label[:, None] == np.arange(probability.shape[1])
    count = positive.sum(axis=0)
    if count.min() == 0 or len(count) < 2:
        return float("nan")
    least = count * (count + 1) / 2
    ranks = np.where(positive, rankdata(probability, axis=0), 0.0).sum(axis=0)
    return float(np.mean((ranks - least) / (count * (len(label) - count))))


def calibration_error(
    probability: Float[np.ndarray, "example class"], label: Int[np.ndarray, " example"]
) -> float:
    """Expected calibration error: the mean of ``|accuracy - confidence|`` (Guo et al., 2017).

    Confidence is the largest probability. Examples are put into 15 bins of equal width by it,
    and bins count by their examples.
    """
    confidence = probability.max(axis=1)
    correct = probability.argmax(axis=1) == label
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(label))
