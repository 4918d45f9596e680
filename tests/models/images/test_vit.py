from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import dense, layer_norm, softmax
from initial import initial
from rare import rare
from stacking import stacked as as_stack

from bigmodel.experiment import InputError
from bigmodel.models.images.vit import Vit, patches

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
SMALL = {"patch": 2, "layers": 2, "width": 8, "heads": 2, "expansion": 2, "dropout": 0.0}


def images(*shape):
    return {"image": RNG.random(shape, np.float32)}


def test_a_patch_is_a_square_of_pixels_row_by_row():
    x = images(2, 4, 6, 3)["image"]
    found = patches(jnp.asarray(x), 2)
    assert found.shape == (2, 6, 12)
    np.testing.assert_array_equal(found[1, 4].reshape(2, 2, 3), x[1, 2:4, 2:4])


def test_patches_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"--model.patch 3 .* 8x4; use one of 1, 2, 4"):
        patches(jnp.zeros((1, 8, 4, 1)), 3)


@pytest.mark.parametrize(
    ("pooling", "window", "first"),
    [rare("mean", None, 0), ("token", 2, 1), rare("token", None, 0), rare("mean", 4, 2)],
)
def test_one_block_is_the_formula_and_its_map_the_softmax(pooling, window, first):
    batch = images(3, 4, 6, 1)
    # The token is a global one without being counted.
    near = {"window": window, "global_tokens": 0 if pooling == "token" else first}
    options = Vit(**{**SMALL, "layers": 1, "heads": 1}, pooling=pooling, activation="relu", **near)
    model = options.build(5)
    variables = initial(model.init, KEY, batch)
    params = jax.tree.map(lambda p: p + 0.3 * RNG.normal(size=p.shape), variables["params"])
    params = jax.tree.map(lambda p: np.asarray(p, np.float32), params)

    block, attention = params["block_0"], params["block_0"]["attention"]
    x = dense(params["embed"], np.asarray(patches(jnp.asarray(batch["image"]), 2)))
    if pooling == "token":
        x = np.concatenate([np.tile(params["token"], (3, 1, 1)), x], axis=1)
    x = x + params["position"]
    read = layer_norm(block["norm_attention"], x)
    query, key, value = (dense(attention[name], read) for name in ("query", "key", "value"))
    at = np.arange(x.shape[1])
    seen = np.abs(at[:, None] - at) <= (window or 100) // 2
    seen = seen | (at < first) | (at < first)[:, None]
    weights = softmax(np.where(seen, query @ key.swapaxes(1, 2) / np.sqrt(8), -np.inf))
    x = x + dense(attention["output"], weights @ value)
    read = layer_norm(block["norm_feed_forward"], x)
    inner = np.maximum(dense(block["feed_forward"]["up"], read), 0)
    x = layer_norm(params["norm"], x + dense(block["feed_forward"]["down"], inner))
    x = x[:, 0] if pooling == "token" else x.mean(axis=1)
    got, _ = model.apply({"params": params}, batch, train=False)
    np.testing.assert_allclose(got, dense(params["head"], x), rtol=1e-3, atol=1e-4)

    seen = weights[:, 0, 1:] if pooling == "token" else weights.mean(axis=1)
    seen = seen / seen.sum(axis=-1, keepdims=True)
    maps = options.attention_maps(5)({"params": params}, jnp.asarray(batch["image"]))
    np.testing.assert_allclose(maps, seen.reshape(3, 2, 3), rtol=1e-3, atol=1e-5)
    stack = replace(options, scan=True).attention_maps(5)
    found = stack({"params": as_stack(params)}, jnp.asarray(batch["image"]))
    np.testing.assert_allclose(found, maps, rtol=1e-5)
