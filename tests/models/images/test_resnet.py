import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from bigmodel.models.images.resnet import ResidualBlock, ResNet

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def images(*shape):
    return {"image": RNG.random(shape, np.float32)}


def normalized(x, scale, bias):
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    return (x - mean) / np.sqrt(variance + 1e-5) * np.asarray(scale) + np.asarray(bias)


@pytest.mark.matrix
def test_the_network_in_training_is_its_layers_written_out():
    batch = images(4, 8, 8, 1)
    model = ResNet(8, width=4, zero_init=False).build(3)
    variables = model.init(KEY, batch)
    params = jax.tree.map(lambda p: p + 0.1 * RNG.random(p.shape, np.float32), variables["params"])

    def layer(x, found, conv, norm, stride=1):
        kernel = found[conv]["kernel"]
        module = nn.Conv(kernel.shape[-1], kernel.shape[:2], (stride, stride), use_bias=False)
        x = np.asarray(module.apply({"params": found[conv]}, x), np.float64)
        return normalized(x, found[norm]["scale"], found[norm]["bias"]).astype(np.float32)

    x = np.maximum(layer(batch["image"], params, "stem", "norm"), 0)
    for stage in range(3):
        block, stride = params[f"stage_{stage}_block_0"], 1 if stage == 0 else 2
        y = np.maximum(layer(x, block, "conv_0", "norm_0", stride), 0)
        y = layer(y, block, "conv_1", "norm_1")
        shortcut = layer(x, block, "shortcut", "norm_shortcut", stride) if stage else x
        x = np.maximum(shortcut + y, 0)
    expected = x.mean(axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"][None]
    got, _ = model.apply({**variables, "params": params}, batch, train=True)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bottleneck", [True, False])
def test_a_block_begins_as_the_identity(bottleneck):
    x = jnp.asarray(images(2, 4, 4, 8)["image"])
    block = ResidualBlock(ResNet(8), 2 if bottleneck else 8, 1, bottleneck)
    variables = block.init(KEY, x, True)
    out, _ = block.apply(variables, x, True, mutable=["batch_stats"])
    np.testing.assert_array_equal(out, x)


def test_the_statistics_are_those_of_the_whole_batch_on_any_number_of_devices():
    batch = images(16, 8, 8, 1)
    model = ResNet(8, width=4).build(3)
    variables = model.init(KEY, batch)
    train = jax.jit(lambda v, b: model.apply(v, b, train=True)[1]["batch_stats"])
    expected = train(variables, batch)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    got = train(
        jax.device_put(variables, NamedSharding(mesh, P())),
        jax.device_put(batch, NamedSharding(mesh, P("data"))),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, expected)
    old = variables["batch_stats"]
    moved = jax.tree.map(lambda a, b: not np.allclose(a, b), old["norm"], expected["norm"])
    assert all(jax.tree.leaves(moved))
