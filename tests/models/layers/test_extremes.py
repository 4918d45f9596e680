"""The larger of numbers has the right gradient, whatever a compiler computes once more for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.models.layers.extremes import larger, largest, smaller

RNG = np.random.default_rng(0)
NAN = float("nan")


@pytest.mark.parametrize(("function", "known"), [(larger, np.maximum), (smaller, np.minimum)])
def test_values_are_numpys_and_the_first_of_equal_ones_has_the_gradient(function, known):
    first = np.array([1.0, 2.0, 3.0, NAN, 0.0, NAN], np.float32)
    second = np.array([2.0, 1.0, 3.0, 0.0, NAN, NAN], np.float32)
    one, other = jnp.asarray(first), jnp.asarray(second)
    np.testing.assert_array_equal(function(one, other), known(first, second))
    of_first = jax.grad(lambda x: jnp.sum(function(x, other)))(one)
    expected = [*(known(first, second)[:2] == first[:2]), True]
    np.testing.assert_array_equal(of_first[:3], np.array(expected, np.float32))


def test_the_largest_of_places_is_numpys_and_has_all_of_the_gradient():
    x = jnp.asarray(RNG.standard_normal((2, 5, 3)), jnp.float32)
    np.testing.assert_array_equal(largest(x), np.max(x, axis=1))
    gradient = jax.grad(lambda x: jnp.sum(largest(x)))(x)
    np.testing.assert_array_equal(gradient, (x == x.max(axis=1, keepdims=True)).astype(np.float32))
