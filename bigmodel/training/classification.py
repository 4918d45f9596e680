"""Classifiers: their experiments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bigmodel.experiment import Data, Experiment, Model, Shown, Variables
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
