"""Predictors of what supervised experiments learn: a class, or a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from bigmodel.experiment import Batch, Kind, Model, Predictor, PyTree, Ranked, Variables
from bigmodel.training.ensemble import SINGLE, Ensemble, classifiers, regressors


class Reader(Protocol):
    """What turns inputs into the arrays of a batch."""

    @property
    def kind(self) -> Kind:
        """What an input is."""

    @property
    def inputs(self) -> str:
        """What an input is, in a line."""

    @property
    def encode(self) -> Callable[[Sequence[Any]], Batch]:
        """Inputs to arrays, a row for each."""


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


def number_predictor(
    model: Model,
    reader: Reader,
    name: str,
    *,
    mean: float,
    scale: float,
    ensemble: Ensemble = SINGLE,
) -> Predictor:
    """A predictor of a number for each input, in the units of the data.

    Args:
        model: reads what ``reader`` encodes, gives a number for each row, or one for each step
            of a series, of which the last counts.
        reader: encodes inputs.
        name: what is predicted.
        mean: an output of 0 stands for this number,
        scale: and an output of 1 for this much more.
        ensemble: how many such networks were trained.
    """
    network = regressors(model, ensemble)

    def apply(variables: Variables, batch: Batch) -> PyTree:
        outputs, _ = network.apply(variables, batch, train=False, key=None)
        return outputs if outputs.ndim == 1 else outputs[:, -1]

    def decode(outputs: PyTree) -> list[Any]:
        return [{name: mean + scale * float(value)} for value in np.asarray(outputs)]

    return Predictor(
        reader.encode, apply, decode, reader.kind, reader.inputs, f"{name}, in its units"
    )
