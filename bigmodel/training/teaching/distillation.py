"""Distillation: a network learns from the logits of another beside its targets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bigmodel.experiment import Batch, InputError, Mean, Model, PyTree, Variables
from bigmodel.training.metrics import Metric, weighted

LOGITS = "teacher"
"""The array of a batch with what a teacher thinks of it."""
TARGETS = "targets"
"""The array of a batch of which a model of a large vocabulary makes scores instead of logits."""


@dataclass(frozen=True)
class Teacher:
    """A trained network whose logits this one learns from (Hinton et al., 2015)."""

    run: str = ""
    """run directory of a network of any architecture that read the same inputs and told the same
    classes or tokens apart; its best checkpoint teaches this one"""
    weight: float = 0.5
    """share of the loss that compares with the teacher's probabilities; the rest compares with the
    targets"""
    temperature: float = 2.0
    """divisor of the logits of both for that comparison; above 1, small probabilities count more"""

    def __post_init__(self) -> None:
        """Raises InputError for a share that is none, or a temperature that divides nothing."""
        if not 0 <= self.weight <= 1:
            raise InputError(f"--teacher.weight {self.weight} must be from 0 to 1")
        if not 0 < self.temperature < math.inf:
            raise InputError(f"--teacher.temperature {self.temperature} must be above 0")

    def check_unused(self, what: str) -> None:
        """Raises InputError where there is a teacher of an experiment that has no classes."""
        if self.run:
            raise InputError(f"--teacher.run teaches classes, and {what}; leave it out")


class Teaching(NamedTuple):
    """A teacher: the options, a model that gives logits, its variables, and their sha256."""

    options: Teacher
    model: Model
    variables: Variables
    sha256: str


def distilled(loss: Metric, teaching: Teaching | None) -> Metric:
    """The loss, mixed with the distance from a teacher where a batch has its logits.

    ``(1 - weight) * loss + weight * T^2 * KL(softmax(t / T) || softmax(s / T))`` with the logits
    ``t`` of the teacher, ``s`` of the student and the temperature ``T``, whose square keeps the
    share of the gradients that the weight says (Hinton et al., 2015).
    """
    if teaching is None:
        return loss
    share, temperature = teaching.options.weight, teaching.options.temperature

    def mixed(outputs: PyTree, batch: Batch) -> Mean:
        hard = loss(outputs, batch)
        if LOGITS not in batch:
            return hard
        soft = weighted(distance(outputs, batch[LOGITS], temperature), batch)
        return Mean((1.0 - share) * hard.total + share * soft.total, hard.count)

    return mixed


def distance(
    student: Float[Array, "*position classes"],
    teacher: Float[Array, "*position known"],
    temperature: float,
) -> Float[Array, "*position"]:
    """``T^2 * KL(softmax(teacher / T) || softmax(student / T))`` in nats, computed in float32.

    What the teacher knows beyond the student's classes, as the rows that fill up a vocabulary, is
    left out.
    """
    own, wanted = (
        jax.nn.log_softmax(logits.astype(jnp.float32) / temperature, axis=-1)
        for logits in (student, teacher[..., : student.shape[-1]])
    )
    return temperature**2 * jnp.sum(jnp.exp(wanted) * (wanted - own), axis=-1)


def with_logits(model: Model, teaching: Teaching | None) -> Model:
    """The model, which gives all of its logits where a teacher's are to be compared with them.

    Of a large vocabulary they take memory that :mod:`bigmodel.models.texts.logits` saves elsewhere.
    """
    if teaching is None:
        return model

    def apply(variables: Variables, batch: Batch, **options: object) -> tuple[PyTree, Variables]:
        return model.apply(variables, unscored(batch) if LOGITS in batch else batch, **options)

    return model._replace(apply=apply)


def unscored(batch: Batch) -> Batch:
    """The batch without what a model would make scores of."""
    return {name: array for name, array in batch.items() if name != TARGETS}
