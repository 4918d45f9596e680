import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial
from rare import rare

from bigmodel.models.images.vqvae import Vqvae, nearest, straight_through

RANDOM = np.random.default_rng(0)


def test_the_nearest_code_is_that_of_numpy() -> None:
    vectors, codebook = (RANDOM.standard_normal(s, np.float32) for s in ((5, 2, 3, 4), (7, 4)))
    wide = vectors.astype(np.float64)[..., None, :] - codebook.astype(np.float64)
    expected = np.square(wide).sum(-1).argmin(-1)
    found = nearest(jnp.asarray(vectors), jnp.asarray(codebook))
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(expected)) > 4


def test_gradients_go_past_the_codes() -> None:
    vectors, codes = (jnp.asarray(RANDOM.random((2, 1, 1, 3)), jnp.float32) for _ in range(2))
    np.testing.assert_allclose(straight_through(vectors, codes), codes, rtol=1e-5, atol=1e-6)
    gradients = jax.grad(lambda *both: jnp.sum(straight_through(*both) ** 2), argnums=(0, 1))
    to_vectors, to_codes = gradients(vectors, codes)
    np.testing.assert_allclose(to_vectors, 2 * codes, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(to_codes, 0)


@pytest.mark.parametrize(("shape", "grid"), [rare((8, 8, 1), (2, 2)), ((7, 10, 3), (2, 3))])
def test_the_halves_are_the_whole(shape: tuple, grid: tuple) -> None:
    options = Vqvae(6, 3, widths=(4, 6))
    whole, (encoder, decoder) = options.build(shape), options.halves(shape)
    batch = {"image": jnp.asarray(RANDOM.random((5, *shape)), jnp.float32)}
    variables = initial(whole.init, jax.random.key(0), batch)
    apply = functools.partial(jax.jit, static_argnames=("train",))
    found, _ = apply(whole.apply)(variables, batch, train=False)
    tokens, _ = apply(encoder.apply)(variables, batch, train=False)
    logits, _ = apply(decoder.apply)(variables, {"token": tokens}, train=False)
    assert (tokens.shape, logits.shape) == ((5, *grid), (5, *shape))
    np.testing.assert_array_equal(tokens, found.tokens)
    np.testing.assert_allclose(logits, found.logits, rtol=1e-4, atol=1e-5)
