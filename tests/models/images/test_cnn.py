from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import exact

from bigmodel.experiment import InputError
from bigmodel.models.images.cnn import ConvBlock, ConvNet

RNG = np.random.default_rng(0)
SMALL = ConvNet(widths=(4, 6), convolutions=(1,), dense=(5,), dropout=0.5)
KEY = jax.random.key(0)


def images(*shape):
    return {"image": RNG.random(shape, np.float32)}


def make(options, batch):
    model = options.build(3)
    return model, model.init(KEY, batch)


def test_the_network_is_its_layers_written_out():
    batch = images(3, 8, 8, 2)
    model, variables = make(SMALL, batch)
    params = variables["params"]
    x = jnp.asarray(batch["image"])
    for name in ("blocks_0", "blocks_1"):
        conv = params[name]["conv_0"]
        x = nn.Conv(conv["kernel"].shape[-1], (3, 3)).apply({"params": conv}, x)
        x = nn.max_pool(nn.relu(x), (2, 2), (2, 2))
    x = x.reshape(3, -1)
    for name in ("dense", "head"):
        x = nn.Dense(params[name]["kernel"].shape[1]).apply({"params": params[name]}, x)
        x = nn.relu(x) if name == "dense" else x
    np.testing.assert_allclose(
        model.apply(variables, batch, train=False)[0], x, rtol=1e-5, atol=1e-6
    )


def test_the_last_layer_of_the_features_is_the_logits():
    batch = images(3, 8, 8, 1)
    model, variables = make(SMALL, batch)
    features, _ = SMALL.features(3).apply(variables, batch, train=False)
    head = variables["params"]["head"]
    logits, _ = model.apply(variables, batch, train=False)
    assert features.shape == (3, 5)
    np.testing.assert_allclose(logits, features @ head["kernel"] + head["bias"][None], rtol=1e-5)


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_is_the_formula_over_the_batch_or_with_the_running_statistics(train):
    x = jnp.asarray(images(8, 6, 6, 2)["image"])
    block = ConvBlock(ConvNet(batch_norm=True), 4, 1)
    variables = block.init(KEY, x, train=False)
    variables = jax.tree.map(lambda v: v + RNG.random(v.shape, np.float32), variables)
    old = exact(variables["batch_stats"]["norm_0"])
    kernel, norm = variables["params"]["conv_0"]["kernel"], exact(variables["params"]["norm_0"])
    y = exact(nn.Conv(4, (3, 3), use_bias=False).apply({"params": {"kernel": kernel}}, x))
    batch = {"mean": y.mean(axis=(0, 1, 2)), "var": y.var(axis=(0, 1, 2))}
    used = batch if train else old
    y = (y - used["mean"]) / np.sqrt(used["var"] + 1e-5) * norm["scale"] + norm["bias"]
    expected = np.maximum(y, 0).reshape(8, 3, 2, 3, 2, 4).max(axis=(2, 4))
    out, updates = block.apply(variables, x, train=train, mutable=["batch_stats"])
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-4)
    for name, new in updates["batch_stats"]["norm_0"].items():
        after = 0.9 * old[name] + 0.1 * batch[name] if train else old[name]
        np.testing.assert_allclose(new, after, rtol=1e-4)


def test_blocks_have_their_own_counts_and_all_dense_layers_are_read_in_turn():
    batch = images(2, 8, 8, 1)
    options = replace(SMALL, convolutions=(1, 3), dense=(7, 5))
    _, variables = make(options, batch)
    params = variables["params"]
    assert (len(params["blocks_0"]), len(params["blocks_1"])) == (1, 3)
    kernels = [params[name]["kernel"] for name in ("dense", "dense_1", "head")]
    assert [k.shape for k in kernels] == [(2 * 2 * 6, 7), (7, 5), (5, 3)]
    features, _ = options.features(3).apply(variables, batch, train=False)
    assert features.shape == (2, 5)


def test_images_that_a_valid_convolution_uses_up_are_refused():
    with pytest.raises(InputError, match=r"--model.padding valid leaves 2x2 pixels"):
        make(replace(SMALL, padding="valid", kernel=3), images(1, 6, 6, 1))
