"""Classifiers: their experiments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bigmodel.experiment import Data, Experiment, Model, Shown, Variables
from bigmodel.training.class_report import classification_report
from bigmodel.training.ensemble import SINGLE, Ensemble, classifiers
from bigmodel.training.metrics import accuracy, cross_entropy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised
from bigmodel.training.teaching.distillation import Teaching, distilled
from bigmodel.training.teaching.taught import taught


def classifier(
    model: Model,
    data: Data,
    names: Sequence[str],
    optimizer: Optimizer,
    *,
    steps: int,
    ensemble: Ensemble = SINGLE,
    teaching: Teaching | None = None,
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
        teaching: a network that tells the same classes apart, to learn from.
        show: figures for a person, made of the variables that are evaluated.
    """
    experiment = supervised(
        classifiers(model, ensemble),
        distilled(cross_entropy, teaching),
        {"accuracy": accuracy},
        optimizer,
        data,
        steps=steps,
        show=show,
        **classification_report(names),
    )
    return taught(experiment, teaching)
