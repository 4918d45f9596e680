"""Fréchet distance between images in the feature space of a classifier (Heusel et al., 2017).

The features of real and of generated images are each summed up as a Gaussian. Its moments
are exact sums over the examples, so any split into batches gives the same distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.data.batches import Batches
from bigmodel.experiment import (
    Batch,
    Experiment,
    Figure,
    Mean,
    Measured,
    Results,
    Rows,
    Variables,
    scalars,
)
from bigmodel.frozen import merged


def moments(
    features: Float[Array, "batch feature"], weight: Float[Array, " batch"], *, name: str
) -> dict[str, Mean]:
    """First and second moments of the features, padding left out.

    A distance between distributions does not change with the origin, and the covariance is
    a difference of these moments. So the features should be centred near zero, where
    float32 holds them exactly enough.

    Returns:
        ``NAME_mean``, a sum of shape [feature], and ``NAME_square``, [feature, feature].
    """
    weight = jnp.asarray(weight, jnp.float32)
    features = features.astype(jnp.float32)
    weighted = features * weight[:, None]
    # Accelerators round the factors of a float32 product unless told not to.
    square = jnp.einsum("bi,bj->ij", weighted, features, precision=jax.lax.Precision.HIGHEST)
    count = jnp.sum(weight)
    return {
        f"{name}_mean": Mean(jnp.sum(weighted, axis=0), count),
        f"{name}_square": Mean(square, count),
    }


def with_distance(
    experiment: Experiment,
    generate: Callable[[Variables, Batch], Float[Array, "batch height width channel"]],
    features: Callable[[Array], Float[Array, "batch feature"]],
    *,
    count: int | None = None,
) -> Experiment:
    """The experiment, whose evaluation also generates images and compares them with real ones.

    Args:
        experiment: one with ``image`` in its evaluation batches.
        generate: as many images as are in the batch, from the variables that are evaluated and
            the batch alone.
        features: images to centred vectors.
        count: how many images are generated at most for a split; all real ones are compared
            with them.
    """

    def split(batches: Sequence[Batch]) -> Batches:
        def make(index: int) -> Batch:
            batch = batches[index]
            weight = np.asarray(batch["weight"], np.float32)
            first = index * len(weight)
            wanted = np.arange(first, first + len(weight)) < (np.inf if count is None else count)
            return {**batch, "generated": weight * wanted.astype(np.float32)}

        return Batches(len(batches), make)

    def eval_step(state: Any, batch: Batch) -> Measured:
        wanted = batch["generated"]
        images = jax.lax.cond(
            jnp.any(wanted > 0),
            lambda: generate(merged(state.evaluated), batch),
            lambda: jnp.zeros_like(batch["image"]),
        )
        return {
            **experiment.eval_step(state, batch),
            **moments(features(batch["image"]), batch["weight"], name="real"),
            **moments(features(images), wanted, name="generated"),
        }

    summary = partial(summarize, rest=experiment.summarize)
    splits = {name: split(part) for name, part in experiment.data.splits.items()}
    data = experiment.data._replace(splits=splits)
    return experiment._replace(eval_step=eval_step, summarize=summary, data=data)


def frechet_distance(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
    """``|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`` between two Gaussians.

    ``C_a C_b`` has the eigenvalues of the symmetric ``C_a^(1/2) C_b C_a^(1/2)``, and the trace
    of its root is the sum of their roots. Eigenvalues that rounding made negative count as 0.
    """
    values, vectors = np.linalg.eigh(np.asarray(covariance_a, np.float64))
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ np.asarray(covariance_b, np.float64) @ root)
    shared = np.sum(np.sqrt(np.maximum(product, 0)))
    difference = np.asarray(mean_a, np.float64) - np.asarray(mean_b, np.float64)
    traces = np.trace(covariance_a, dtype=np.float64) + np.trace(covariance_b, dtype=np.float64)
    return max(0.0, float(difference @ difference + traces - 2 * shared))


def summarize(
    measured: Measured, *, rest: Callable[[Measured], Results] = scalars
) -> dict[str, float | Figure]:
    """The distance from the moments ``real_*`` and ``generated_*``, beside ``rest`` of the others.

    The covariances are those of the population: divided by the number of examples.
    """
    others = {n: m for n, m in measured.items() if not n.startswith(("real_", "generated_"))}
    real, generated = (_gaussian(measured, name) for name in ("real", "generated"))
    return {**rest(others), "frechet_distance": frechet_distance(*real, *generated)}


def _gaussian(measured: Measured, name: str) -> tuple[np.ndarray, np.ndarray]:
    mean, square = (_mean(measured[f"{name}_{moment}"]) for moment in ("mean", "square"))
    return mean, square - np.outer(mean, mean)


def _mean(metric: Mean | Rows) -> np.ndarray:
    assert isinstance(metric, Mean)
    return np.asarray(metric.total, np.float64) / np.asarray(metric.count, np.float64)
