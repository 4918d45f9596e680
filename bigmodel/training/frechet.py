"""Fréchet distance between images in the feature space of a classifier (Heusel et al., 2017).

The features of real and of generated images are each summed up as a Gaussian. Its moments
are exact sums over the examples, so any split into batches gives the same distance.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.experiment import Mean, Measured, Rows, scalars


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


def summarize(measured: Measured) -> dict[str, float]:
    """The distance from the moments ``real_*`` and ``generated_*``; other means as they are.

    The covariances are those of the population: divided by the number of examples.
    """
    rest = {n: m for n, m in measured.items() if not n.startswith(("real_", "generated_"))}
    real, generated = (_gaussian(measured, name) for name in ("real", "generated"))
    return {**scalars(rest), "frechet_distance": frechet_distance(*real, *generated)}


def _gaussian(measured: Measured, name: str) -> tuple[np.ndarray, np.ndarray]:
    mean, square = (_mean(measured[f"{name}_{moment}"]) for moment in ("mean", "square"))
    return mean, square - np.outer(mean, mean)


def _mean(metric: Mean | Rows) -> np.ndarray:
    assert isinstance(metric, Mean)
    return np.asarray(metric.total, np.float64) / metric.count
