import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.models.pooling import max_pool


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (2, 5, 7, 3), (1, 2, 2, 1)])
def test_max_pool_is_the_windowed_maximum_and_its_gradient(shape):
    def windowed(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(max_pool(x), windowed(x))
    gradients = [
        jax.grad(lambda x, pool=pool: jnp.sum(jnp.sin(pool(x))))(x) for pool in (max_pool, windowed)
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-6)
