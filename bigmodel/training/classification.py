"""Classifiers: their experiments, and what they predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from bigmodel.experiment import (
    Batch,
    Data,
    Experiment,
    Model,
    Predictor,
    PyTree,
    Ranked,
    Reader,
    Shown,
    Variables,
)
from bigmodel.training.class_report import classification_report
from bigmodel.training.ensemble import SINGLE, Ensemble, classifiers
from bigmodel.training.metrics import accuracy, cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised


def classifier(
    model: Model,
    data: Data,
    names: Sequence[str],
    optimizer: Optimizer,
    *,
    steps: int,
    ensemble: Ensemble = SINGLE,
    show: Callable[[Variables], Shown] | None = None,
) -> Experiment:
    """An experiment that learns the class of an example by cross entropy.

    Args:
        model: reads an example, gives a logit for each class.
        data: batches with ``label``.
        names: the classes, in the order of the logits.
        optimizer: options of the Optax chain.
        steps: length of the run.
        ensemble: how many such networks there are.
        show: figures for a person, made of the variables that are evaluated.
    """
    return supervised(
        classifiers(model, ensemble),
        cross_entropy,
        {"accuracy": accuracy},
        optimizer,
        data,
        steps=steps,
        show=show,
        **classification_report(names),
    )


def class_predictor(
    model: Model, reader: Reader, names: Sequence[str], *, ensemble: Ensemble = SINGLE
) -> Predictor:
    """A predictor of the class of an input, with the probability of each.

    Args:
        model: reads what ``reader`` encodes, gives a logit for each class.
        reader: encodes inputs.
        names: the classes, in the order of the logits.
        ensemble: how many such networks were trained.
    """
    network = classifiers(model, ensemble)

    def apply(variables: Variables, batch: Batch) -> PyTree:
        logits, _ = network.apply(variables, batch, train=False, key=None)
        return jax.nn.softmax(logits, axis=-1)

    def decode(outputs: PyTree) -> list[Any]:
        return [class_answer(row, names) for row in np.asarray(outputs)]

    answer = "a class, and the probability of each"
    return Predictor(reader.encode, apply, decode, reader.kind, reader.inputs, answer)


def class_answer(probabilities: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The likeliest class, and all by falling probability."""
    order = np.argsort(-probabilities, kind="stable")
    ranked = Ranked({names[index]: float(probabilities[index]) for index in order})
    best = next(iter(ranked))
    return {"class": best, "probability": ranked[best], "probabilities": ranked}
