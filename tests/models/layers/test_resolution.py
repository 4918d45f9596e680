import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.experiment import InputError
from bigmodel.models.layers.resolution import enlarged, max_pool, mean_pool


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (2, 5, 7, 3), (1, 2, 2, 1)])
def test_max_pool_is_the_windowed_maximum_and_its_gradient(shape):
    def windowed(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    np.testing.assert_array_equal(max_pool(x), windowed(x))
    gradients = [
        jax.grad(lambda x, pool=pool: jnp.sum(jnp.sin(pool(x))))(x) for pool in (max_pool, windowed)
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (1, 5, 7, 2)])
def test_mean_pool_is_the_mean_of_each_window(shape: tuple[int, ...]) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    found = mean_pool(x)
    for i in range(shape[1] // 2):
        for j in range(shape[2] // 2):
            window = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            np.testing.assert_allclose(
                found[:, i, j], window.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6
            )


def test_each_pixel_becomes_a_square_in_the_middle_of_zeros():
    x = np.arange(1, 7, dtype=np.float32).reshape(1, 2, 3, 1)
    found = np.asarray(enlarged(jnp.asarray(x), 7))[0, :, :, 0]
    expected = np.zeros((7, 7), np.float32)
    expected[1:5, :6] = np.kron(x[0, :, :, 0], np.ones((2, 2)))
    np.testing.assert_array_equal(found, expected)


def test_larger_images_are_refused():
    with pytest.raises(InputError, match=r"--model.resolution 4 is smaller than the images, 3x5"):
        enlarged(jnp.zeros((1, 3, 5, 1)), 4)
