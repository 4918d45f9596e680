import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial
from jax.test_util import check_grads

from bigmodel.experiment import InputError
from bigmodel.models.images.vit import Vit, patches

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
SMALL = {"patch": 2, "layers": 2, "width": 8, "heads": 2, "expansion": 2, "dropout": 0.0}


def images(*shape):
    return {"image": RNG.random(shape, np.float32)}


def softmax(x):
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def test_base_16_has_the_published_parameters_less_the_biases_of_its_branches():
    model = Vit(patch=16, layers=12, width=768, heads=12, pooling="token").build(1000)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    made = jax.eval_shape(model.init, KEY, {"image": image})
    # torchvision counts 86,567,656. Query, key, value and output have a bias there, and so have
    # both maps of the feed-forward network: 3 + 1 + 4 + 1 widths in each block.
    biases = 12 * 9 * 768
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == 86_567_656 - biases


def test_a_patch_is_a_square_of_pixels_row_by_row():
    x = images(2, 4, 6, 3)["image"]
    found = patches(jnp.asarray(x), 2)
    assert found.shape == (2, 6, 12)
    np.testing.assert_array_equal(found[1, 4].reshape(2, 2, 3), x[1, 2:4, 2:4])


def test_patches_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"--model.patch 3 .* 8x4; use one of 1, 2, 4"):
        patches(jnp.zeros((1, 8, 4, 1)), 3)


@pytest.mark.parametrize("pooling", ["mean", "token"])
def test_one_block_is_the_formula_and_its_map_the_softmax(pooling):
    batch = images(3, 4, 6, 1)
    options = Vit(**{**SMALL, "layers": 1, "heads": 1}, pooling=pooling, activation="relu")
    model = options.build(5)
    variables = initial(model.init, KEY, batch)
    params = jax.tree.map(lambda p: p + 0.3 * RNG.normal(size=p.shape), variables["params"])
    params = jax.tree.map(lambda p: np.asarray(p, np.float32), params)

    def norm(x, name):
        found = params["block_0"][name] if name != "norm" else params[name]
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * found["scale"] + found["bias"]

    embed, block = params["embed"], params["block_0"]
    x = np.asarray(patches(jnp.asarray(batch["image"]), 2)) @ embed["kernel"] + embed["bias"]
    if pooling == "token":
        x = np.concatenate([np.tile(params["token"], (3, 1, 1)), x], axis=1)
    x = x + params["position"]
    read = norm(x, "norm_attention")
    query, key, value = (read @ block["attention"][n]["kernel"] for n in ("query", "key", "value"))
    weights = softmax(query @ key.swapaxes(1, 2) / np.sqrt(8))
    x = x + weights @ value @ block["attention"]["output"]["kernel"]
    inner = np.maximum(norm(x, "norm_feed_forward") @ block["feed_forward"]["up"]["kernel"], 0)
    x = norm(x + inner @ block["feed_forward"]["down"]["kernel"], "norm")
    x = x[:, 0] if pooling == "token" else x.mean(axis=1)
    expected = x @ params["head"]["kernel"] + params["head"]["bias"]
    got, _ = model.apply({"params": params}, batch, train=False)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)

    seen = weights[:, 0, 1:] if pooling == "token" else weights.mean(axis=1)
    seen = seen / seen.sum(axis=-1, keepdims=True)
    maps = options.attention(5)({"params": params}, jnp.asarray(batch["image"]))
    np.testing.assert_allclose(maps, seen.reshape(3, 2, 3), rtol=1e-3, atol=1e-5)


def test_gradients_are_those_of_finite_differences():
    batch = images(2, 4, 4, 1)
    model = Vit(**{**SMALL, "layers": 1}).build(3)
    params = initial(model.init, KEY, batch)["params"]
    logits = jax.jit(lambda p: model.apply({"params": p}, batch, train=False)[0])
    check_grads(logits, (params,), order=1, rtol=2e-2)
