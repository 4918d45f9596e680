import jax
import jax.numpy as jnp
import pytest

from bigmodel.models.layers.feed_forward import residual_init


def test_branches_of_all_layers_together_add_the_variance_of_one():
    total = 0.0
    for layer in range(2 * 50):
        kernel = residual_init(50)(jax.random.key(layer), (64, 64), jnp.float32)
        total += 64 * float(jnp.var(kernel))
    assert total == pytest.approx(1.0, rel=0.02)
