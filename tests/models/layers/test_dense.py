import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from bigmodel.models.layers.dense import Dense


def test_parameters_outputs_and_gradients_are_those_of_linen():
    x = jax.random.normal(jax.random.key(1), (3, 5, 4), jnp.float32)
    params = Dense(2).init(jax.random.key(0), x)
    chex.assert_trees_all_equal(params, nn.Dense(2).init(jax.random.key(0), x))

    def loss(layer):
        return lambda params, x: jnp.sum(jnp.sin(layer.apply(params, x)))

    found, expected = (jax.value_and_grad(loss(one), (0, 1)) for one in (Dense(2), nn.Dense(2)))
    chex.assert_trees_all_close(found(params, x), expected(params, x), rtol=1e-5)
