import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial

from bigmodel.models.images.autoencoder import Autoencoder
from bigmodel.tree import named_leaves

SHAPES = [(8, 8, 1), (7, 10, 3)]


def small(name: str, **options: object) -> Autoencoder:
    return Autoencoder(name=name, latents=3, hidden=(6, 5), widths=(4, 6), **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["dense", "convolutional"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_codes_and_logits_have_their_shapes(name: str, shape: tuple, dtype: str) -> None:
    encoder, decoder = small(name, dtype=dtype).build(shape, per_latent=2)
    batch = {"image": np.random.default_rng(0).random((5, *shape), np.float32)}
    variables = jax.eval_shape(encoder.init, jax.random.key(0), batch)
    codes, _ = jax.eval_shape(functools.partial(encoder.apply, train=True), variables, batch)
    assert codes.shape == (5, 6)
    latent = {"latent": np.zeros((5, 3), np.float32)}
    logits, _ = jax.eval_shape(functools.partial(decoder.apply, train=True), variables, latent)
    assert logits.shape == (5, *shape)
    assert codes.dtype == logits.dtype == jnp.float32


@pytest.mark.parametrize("name", ["dense", "convolutional"])
def test_every_parameter_has_a_gradient(name: str) -> None:
    encoder, decoder = small(name).build((8, 8, 1))
    batch = {"image": np.random.default_rng(0).random((5, 8, 8, 1), np.float32)}
    variables = initial(encoder.init, jax.random.key(0), batch)

    def loss(params: dict) -> jax.Array:
        codes, _ = encoder.apply({"params": params}, batch, train=True)
        logits, _ = decoder.apply({"params": params}, {"latent": codes}, train=True)
        return jnp.sum(jnp.square(logits - batch["image"]))

    gradients = named_leaves(jax.jit(jax.grad(loss))(variables["params"]))
    assert [path for path, leaf in gradients.items() if not np.any(leaf)] == []
    assert {path.split("/")[0] for path in gradients} == {"encoder", "decoder"}


def test_the_dense_encoder_is_the_formula() -> None:
    encoder, _ = small("dense").build((8, 8, 1))
    batch = {"image": np.random.default_rng(0).random((5, 8, 8, 1), np.float32)}
    variables = initial(encoder.init, jax.random.key(0), batch)
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"]["encoder"])
    x = 2 * batch["image"].reshape(5, 64).astype(np.float64) - 1
    for layer in ("hidden_0", "hidden_1"):
        x = x @ params[layer]["kernel"] + params[layer]["bias"]
        x = x / (1 + np.exp(-x))
    expected = x @ params["code"]["kernel"] + params["code"]["bias"]
    found, _ = encoder.apply(variables, batch, train=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
