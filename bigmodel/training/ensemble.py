"""Ensembles: networks that train side by side and share nothing, and predict together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.experiment import Batch, InputError, Key, Mean, Model, PyTree, Variables
from bigmodel.models.layers.convolution import unrolls
from bigmodel.partition import rules_below
from bigmodel.training.metrics import Metric

MEMBERS = "members"
"""The component of a path below which parameters have a leading axis of members."""


@dataclass(frozen=True)
class Ensemble:
    """How many networks there are."""

    members: int = 1
    """networks that train side by side, each from its own initial parameters; in evaluation their
    probabilities, or predicted numbers, are averaged"""

    def __post_init__(self) -> None:
        """Raises InputError for an ensemble without members."""
        if self.members < 1:
            raise InputError(f"--ensemble.members {self.members} is too few; use 1 or more")


SINGLE = Ensemble()
"""No ensemble but one network."""


class Members(NamedTuple):
    """The outputs of all members, on a leading axis."""

    outputs: PyTree


def ensemble(model: Model, options: Ensemble, *, combine: Callable[[PyTree], PyTree]) -> Model:
    """A model of several members, each of which is the given one with variables of its own.

    In training it gives :class:`Members`, which metrics that are made by :func:`per_member` take;
    in evaluation what ``combine`` makes of them. A model of one member is the given one.

    Args:
        model: a single network.
        options: how many.
        combine: from outputs ``[member, batch, ...]`` to outputs ``[batch, ...]``.
    """
    if options.members == 1:
        return model

    def init(key: Key, batch: Batch) -> Variables:
        keys = jax.random.split(key, options.members)
        variables = jax.vmap(lambda key: dict(model.init(key, batch)), axis_name=MEMBERS)(keys)
        return {name: {MEMBERS: tree} for name, tree in variables.items()}

    def apply(
        variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
    ) -> tuple[PyTree, Variables]:
        def member(own: Variables, key: Key | None) -> tuple[PyTree, Variables]:
            return model.apply(own, batch, train=train, key=key)

        own = {name: tree[MEMBERS] for name, tree in variables.items()}
        keys = None if key is None else jax.random.split(key, options.members)
        outputs, updates = _for_each(member, own, keys)
        updates = {name: {MEMBERS: tree} for name, tree in updates.items()}
        return Members(outputs) if train else combine(outputs), updates

    rules = rules_below(MEMBERS, model.partition, None)
    return model._replace(init=init, apply=apply, partition=rules)


def _for_each(member: Callable[..., PyTree], own: Variables, keys: Key | None) -> PyTree:
    """What each member gives, on a leading axis.

    On CPUs networks with convolutions are computed one after the other.
    """
    if not unrolls(own):
        return jax.vmap(member)(own, keys)
    # Traced once; and, as by vmap, layers are inside of something.
    alone = jax.jit(member)
    found = [
        alone(*jax.tree.map(lambda leaf, number=number: leaf[number], (own, keys)))
        for number in range(len(jax.tree.leaves(own)[0]))
    ]
    return jax.tree.map(lambda *each: jnp.stack(each), *found)


def classifiers(model: Model, options: Ensemble) -> Model:
    """An ensemble whose probabilities of the classes are averaged."""
    return ensemble(model, options, combine=log_mean_probability)


def regressors(model: Model, options: Ensemble) -> Model:
    """An ensemble whose predictions are averaged."""
    return ensemble(model, options, combine=lambda predictions: jnp.mean(predictions, axis=0))


def log_mean_probability(
    logits: Float[Array, "member batch classes"],
) -> Float[Array, "batch classes"]:
    """The logarithm of the members' mean probability of each class."""
    log_probability = jax.nn.log_softmax(logits, axis=-1)
    return jax.nn.logsumexp(log_probability, axis=0) - np.float32(np.log(len(logits)))


def per_member(metric: Metric) -> Metric:
    """A metric that is the mean of its values for each of :class:`Members`.

    As a loss it lets each member learn alone. Other outputs it takes as they are.
    """

    def mean(outputs: PyTree, batch: Batch) -> Mean:
        if not isinstance(outputs, Members):
            return metric(outputs, batch)
        total, count = jax.vmap(metric, in_axes=(0, None))(outputs.outputs, batch)
        return Mean(jnp.sum(total), jnp.sum(count))

    return mean


def one_member(variables: Variables, number: int = 0) -> Variables:
    """The variables of one member; of a model that is no ensemble, its own."""
    return {
        name: jax.tree.map(lambda leaf: leaf[number], tree[MEMBERS]) if MEMBERS in tree else tree
        for name, tree in variables.items()
    }
