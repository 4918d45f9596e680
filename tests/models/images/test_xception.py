import functools
import re
from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.models.images.xception import PARTITION, Xception
from bigmodel.tree import named_leaves

RNG = np.random.default_rng(0)
SMALL = Xception(widths=(4, 6), convolutions=(2,))
KEY = jax.random.key(0)


def images(*shape):
    return {"image": RNG.random(shape, np.float32)}


def test_the_network_is_its_layers_written_out():
    batch = images(3, 9, 8, 2)
    model = SMALL.build(5)
    params = model.init(KEY, batch)["params"]

    def conv(x, name, size, groups=1):
        path, _, layer = name.rpartition("/")
        found = params[path][layer] if path else params[layer]
        kernel = found["kernel"] if groups == 1 else found["kernel"][:, :, None]
        options = {"use_bias": groups == 1, "feature_group_count": groups}
        layer = nn.Conv(kernel.shape[-1], (size, size), **options)
        return layer.apply({"params": {**found, "kernel": kernel}}, x)

    x = conv(jnp.asarray(batch["image"]), "stem", 3)
    y = x
    for n in range(2):
        y = conv(nn.relu(y), f"blocks_0/depthwise_{n}", 3, groups=y.shape[-1])
        y = conv(y, f"blocks_0/pointwise_{n}", 1)
    y = y[:, :8].reshape(3, 4, 2, 4, 2, 6).mean(axis=(2, 4))
    y = y + conv(x, "blocks_0/shortcut", 1)[:, :8:2, ::2]
    y = nn.relu(y).mean(axis=(1, 2))
    y = y @ params["head"]["kernel"] + params["head"]["bias"][None]
    got, _ = model.apply({"params": params}, batch, train=False)
    np.testing.assert_allclose(got, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 5, 3, 2)])
def test_any_image_size_gives_float32_logits_and_parameters(shape):
    model = replace(SMALL, widths=(4, 6, 8), batch_norm=True, dtype="bfloat16").build(3)
    batch = images(*shape)
    variables = jax.eval_shape(model.init, KEY, batch)
    training = functools.partial(model.apply, train=True)
    logits, _ = jax.eval_shape(training, variables, batch, key=KEY)
    assert (logits.shape, logits.dtype) == ((shape[0], 3), jnp.float32)
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("batch_norm", [True, False])
def test_every_parameter_has_a_rule_and_no_bias_comes_before_batch_norm(batch_norm):
    model = replace(SMALL, batch_norm=batch_norm).build(3)
    paths = set(named_leaves(model.init(KEY, images(1, 8, 8, 1))["params"]))
    assert all(any(re.search(pattern, path) for pattern, _ in PARTITION) for path in paths)
    biased = {path.split("/")[-2].split("_")[0] for path in paths if path.endswith("/bias")}
    assert biased == {"head", "norm"} if batch_norm else {"head", "stem", "pointwise", "shortcut"}
