from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from bigmodel.training.generative.gan_losses import (
    LOSSES,
    between,
    unit_norm_penalty,
    with_input_gradients,
)

SCORES = np.linspace(-4, 4, 9, dtype=np.float32)
PROBABILITY = 1 / (1 + np.exp(-SCORES.astype(np.float64)))
FORMULAS = {
    "minimax": (-np.log(PROBABILITY), -np.log(1 - PROBABILITY), np.log(1 - PROBABILITY)),
    "non_saturating": (-np.log(PROBABILITY), -np.log(1 - PROBABILITY), -np.log(PROBABILITY)),
    "wasserstein": (-SCORES, SCORES, -SCORES),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_those_of_the_papers(name: Any) -> None:
    for function, expected in zip(LOSSES[name], FORMULAS[name], strict=True):
        np.testing.assert_allclose(function(jnp.asarray(SCORES)), expected, rtol=1e-5)
        check_grads(jax.jit(function), (SCORES,), order=2, modes=["rev"], atol=1e-2, rtol=1e-2)


def test_input_gradients_are_those_of_each_image_alone() -> None:
    images = np.random.default_rng(0).standard_normal((4, 3, 2)).astype(np.float32)

    def discriminate(x: jax.Array) -> tuple[jax.Array, str]:
        return jnp.sum(x**3, axis=(1, 2)), "others"

    scores, others, squares = with_input_gradients(discriminate, jnp.asarray(images))
    assert others == "others"
    np.testing.assert_allclose(scores, (images**3).sum((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(squares, (9 * images**4).sum((1, 2)), rtol=1e-4)


def test_penalty_on_norms_is_zero_at_one_and_has_a_gradient_at_zero() -> None:
    squares = jnp.array([0.0, 1.0, 4.0])
    np.testing.assert_allclose(unit_norm_penalty(squares), [1, 0, 1], atol=1e-5)
    assert np.isfinite(jax.grad(lambda x: unit_norm_penalty(x).sum())(squares)).all()


def test_points_between_lie_on_the_line_from_fake_to_real() -> None:
    real, fake = np.ones((5, 2, 2), np.float32), np.full((5, 2, 2), 3, np.float32)
    found = np.asarray(between(*jax.device_put((real, fake)), key=jax.random.key(0)))
    assert found.min() > 1
    assert found.max() < 3
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1, :1], found.shape))
    assert len(np.unique(found[:, 0, 0])) == 5
