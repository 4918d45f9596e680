import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import dense, exact, silu
from initial import initial

from bigmodel.models.images.autoencoder import Autoencoder

SHAPES = [(8, 8, 1), (7, 10, 3)]


def small(name: str, **options: object) -> Autoencoder:
    return Autoencoder(name=name, latents=3, hidden=(6, 5), widths=(4, 6), **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["dense", "convolutional"])
def test_codes_and_logits_have_their_shapes(name: str, shape: tuple) -> None:
    encoder, decoder = small(name, dtype="bfloat16").build(shape, per_latent=2)
    batch = {"image": np.random.default_rng(0).random((5, *shape), np.float32)}
    variables = jax.eval_shape(encoder.init, jax.random.key(0), batch)
    codes, _ = jax.eval_shape(functools.partial(encoder.apply, train=True), variables, batch)
    assert codes.shape == (5, 6)
    latent = {"latent": np.zeros((5, 3), np.float32)}
    logits, _ = jax.eval_shape(functools.partial(decoder.apply, train=True), variables, latent)
    assert logits.shape == (5, *shape)
    assert codes.dtype == logits.dtype == jnp.float32


def test_the_dense_encoder_is_the_formula() -> None:
    encoder, _ = small("dense").build((8, 8, 1))
    batch = {"image": np.random.default_rng(0).random((5, 8, 8, 1), np.float32)}
    variables = initial(encoder.init, jax.random.key(0), batch)
    params = exact(variables["params"]["encoder"])
    x = 2 * batch["image"].reshape(5, 64).astype(np.float64) - 1
    for layer in ("hidden_0", "hidden_1"):
        x = silu(dense(params[layer], x))
    found, _ = encoder.apply(variables, batch, train=False)
    np.testing.assert_allclose(found, dense(params["code"], x), rtol=1e-4, atol=1e-5)
