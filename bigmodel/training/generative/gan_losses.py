"""Losses of a generator and a discriminator, and penalties on the discriminator's slope."""

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
    """What each image costs, from its score, which is large where an image seems real.

    The discriminator minimises the means of ``real`` over real images and of ``fake`` over
    generated ones, the generator that of ``generated`` over generated ones.
    """

    real: Callable[[Scores], Scores]
    fake: Callable[[Scores], Scores]
    generated: Callable[[Scores], Scores]


def seems_fake(scores: Scores) -> Scores:
    """``-log sigmoid(score)`` in nats: small where an image seems real."""
    return jax.nn.softplus(-scores)


def seems_real(scores: Scores) -> Scores:
    """``-log(1 - sigmoid(score))`` in nats: small where an image seems generated."""
    return jax.nn.softplus(scores)


LOSSES: Mapping[LossName, GanLoss] = {
    # Goodfellow et al. (2014): one value of the game, and what they do in its place, for the
    # generator's slope vanishes where the discriminator is sure.
    "minimax": GanLoss(seems_fake, seems_real, lambda scores: -seems_real(scores)),
    "non_saturating": GanLoss(seems_fake, seems_real, seems_fake),
    # Arjovsky et al. (2017): of a discriminator with slopes of at most 1, the negative loss is
    # the distance over which the one distribution has to be moved to become the other.
    "wasserstein": GanLoss(jnp.negative, lambda scores: scores, jnp.negative),
}


def scores_and_slopes(
    judge: Callable[[Array], tuple[Scores, PyTree]], images: Float[Array, "batch ..."]
) -> tuple[Scores, PyTree, Float[Array, " batch"]]:
    """What ``judge`` gives for images, and ``|d score / d image|^2`` summed over the pixels."""

    def total(images: Array) -> tuple[Array, tuple[Scores, PyTree]]:
        scores, others = judge(images)
        return jnp.sum(scores), (scores, others)

    slopes, (scores, others) = jax.grad(total, has_aux=True)(images)
    return scores, others, jnp.sum(jnp.square(slopes), axis=tuple(range(1, slopes.ndim)))


def unit_slope(squares: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """``(|slope| - 1)^2`` from the squares of slopes (Gulrajani et al., 2017)."""
    # The root has no derivative at 0.
    return jnp.square(jnp.sqrt(squares + 1e-12) - 1)


def between(
    real: Float[Array, "batch ..."], fake: Float[Array, "batch ..."], *, key: Array
) -> Float[Array, "batch ..."]:
    """A point on the line between each real image and a generated one, uniformly."""
    share = jax.random.uniform(key, (len(real),) + (1,) * (real.ndim - 1), jnp.float32)
    return share * real + (1 - share) * fake
