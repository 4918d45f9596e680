import jax.numpy as jnp
import numpy as np

from bigmodel.models.attention.positions import sinusoidal


def test_positions_are_the_formula_of_the_paper():
    table = np.asarray(sinusoidal(jnp.arange(7, dtype=jnp.int32), width=6))
    for position in range(7):
        for i in range(3):
            angle = position / 10_000 ** (2 * i / 6)
            np.testing.assert_allclose(table[position, 2 * i], np.sin(angle), atol=1e-6)
            np.testing.assert_allclose(table[position, 2 * i + 1], np.cos(angle), atol=1e-6)
