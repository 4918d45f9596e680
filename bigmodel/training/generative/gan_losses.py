"""Losses of a generator and a discriminator, and gradient penalties of the discriminator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bigmodel.experiment import PyTree

Scores = Float[Array, " batch"]
LossName = Literal["minimax", "non_saturating", "wasserstein"]


class GanLoss(NamedTuple):
    """The losses of an image by its score, which is large where it is taken for real.

    The discriminator minimises the means of ``real`` over real images and of ``fake`` over
    generated ones, the generator that of ``generated`` over generated ones.
    """

    real: Callable[[Scores], Scores]
    fake: Callable[[Scores], Scores]
    generated: Callable[[Scores], Scores]


def real_loss(scores: Scores) -> Scores:
    """``-log sigmoid(score)`` in nats: small where an image is taken for real."""
    return jax.nn.softplus(-scores)


def fake_loss(scores: Scores) -> Scores:
    """``-log(1 - sigmoid(score))`` in nats: small where an image is taken for generated."""
    return jax.nn.softplus(scores)


LOSSES: Mapping[LossName, GanLoss] = {
    # Goodfellow et al. (2014): the minimax game, and the loss that they use in its place, since
    # the generator's gradient vanishes where the discriminator is sure.
    "minimax": GanLoss(real_loss, fake_loss, lambda scores: -fake_loss(scores)),
    "non_saturating": GanLoss(real_loss, fake_loss, real_loss),
    # Arjovsky et al. (2017): where the discriminator is 1-Lipschitz, its negative loss is the
    # distance over which the one distribution has to be moved to become the other.
    "wasserstein": GanLoss(jnp.negative, lambda scores: scores, jnp.negative),
}


def with_input_gradients(
    discriminate: Callable[[Array], tuple[Scores, PyTree]], images: Float[Array, "batch ..."]
) -> tuple[Scores, PyTree, Float[Array, " batch"]]:
    """What ``discriminate`` gives for images, and ``|d score / d image|^2`` over the pixels."""

    def total(images: Array) -> tuple[Array, tuple[Scores, PyTree]]:
        scores, others = discriminate(images)
        return jnp.sum(scores), (scores, others)

    gradients, (scores, others) = jax.grad(total, has_aux=True)(images)
    return scores, others, jnp.sum(jnp.square(gradients), axis=tuple(range(1, gradients.ndim)))


def unit_norm_penalty(squared_norms: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """``(|gradient| - 1)^2`` from the squares of the norms (Gulrajani et al., 2017)."""
    # The root has no derivative at 0.
    return jnp.square(jnp.sqrt(squared_norms + 1e-12) - 1)


def between(
    real: Float[Array, "batch ..."], fake: Float[Array, "batch ..."], *, key: Array
) -> Float[Array, "batch ..."]:
    """A point on the line between each real image and a generated one, uniformly."""
    share = jax.random.uniform(key, (len(real),) + (1,) * (real.ndim - 1), jnp.float32)
    return share * real + (1 - share) * fake
