"""An experiment whose network has a teacher."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bigmodel.data.parts import fingerprint
from bigmodel.experiment import (
    Array,
    Batch,
    Experiment,
    Key,
    Metrics,
    Model,
    PyTree,
    Variables,
)
from bigmodel.models.attention.moe import Routed
from bigmodel.partition import batch_rules, rules_below, unsharded
from bigmodel.training.teaching.distillation import LOGITS, Teaching, unscored
from bigmodel.tree import GIVEN


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Taught:
    """The state of an experiment, and beside it what it is given and never changes.

    ``given`` are the variables of the teacher. No checkpoint has them: see ``bigmodel.tree.GIVEN``.
    """

    student: PyTree
    given: PyTree

    @property
    def params(self) -> PyTree:
        """The student's parameters."""
        return self.student.params

    @property
    def evaluated(self) -> Variables:
        """The student's variables."""
        return self.student.evaluated


def taught(experiment: Experiment, teaching: Teaching | None) -> Experiment:
    """The experiment, each training batch of which has the logits of a teacher.

    They are computed in the step, outside of what is differentiated, from the examples as the
    student sees them; they are the array ``teacher`` of the batch, and the loss is to use them
    (:func:`~bigmodel.training.teaching.distillation.distilled`). Evaluations know no teacher.
    """
    if teaching is None:
        return experiment
    model = teaching.model
    rules = [rule for rule in model.partition if rule not in batch_rules(model.partition)]

    def init(key: Key) -> Taught:
        return Taught(experiment.init(key), jax.tree.map(jnp.asarray, teaching.variables))

    def train_step(state: Taught, batch: Batch, key: Key) -> tuple[Taught, Metrics, PyTree]:
        shown = {**batch, LOGITS: logits(model, state.given, batch)}
        student, metrics, gradients = experiment.train_step(state.student, shown, key)
        return Taught(student, state.given), metrics, gradients

    data = experiment.data
    known = {"data": data.fingerprint.encode(), "teacher": teaching.sha256.encode()}
    return experiment._replace(
        init=init,
        train_step=train_step,
        data=data._replace(fingerprint=fingerprint({}, known), bare=data.alone),
        partition=(*rules_below(GIVEN, rules, *()), *experiment.partition),
    )


def logits(model: Model, variables: Variables, batch: Batch) -> Array:
    """What a teacher thinks of a batch."""
    whole = unsharded(variables, model.partition)
    outputs, _ = model.apply(whole, unscored(batch), train=False, key=None)
    return outputs.logits if isinstance(outputs, Routed) else outputs
