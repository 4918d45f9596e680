import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.experiment import InputError
from bigmodel.models.images.named_cnn import LENET, NETWORKS, NamedCnn
from bigmodel.models.layers.resolution import enlarged

IMAGE = {"image": jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)}


def shapes(options, classes=10):
    variables = jax.eval_shape(options.build(classes).init, jax.random.key(0), IMAGE)
    return jax.tree.map(lambda leaf: leaf.shape, variables)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_name_alone_is_the_network_of_that_name(name):
    assert shapes(NamedCnn(name)) == shapes(NETWORKS[name])


def test_what_is_given_is_in_the_place_of_what_the_network_has():
    params = shapes(NamedCnn("vgg", widths=(4, 8), dense=()))["params"]
    assert params["blocks_1"]["conv_0"]["kernel"] == (3, 3, 4, 8)
    assert params["head"]["kernel"] == (2 * 2 * 8, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (NamedCnn("xception", pooling="max"), "--model.pooling max is no option of .* xception"),
        (NamedCnn("xception", dense=(8,)), r"--model.dense \(8,\) is no option of"),
    ],
)
def test_an_option_that_the_network_does_not_have_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        options.build(10)


def test_lenet_is_its_layers_written_out():
    x = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    model = LENET.build(10)
    variables = model.init(jax.random.key(0), {"image": x})
    params = variables["params"]
    y = enlarged(jnp.asarray(x), 32)
    for i, width in enumerate((6, 16)):
        conv = nn.Conv(width, (5, 5), padding="VALID")
        y = nn.tanh(conv.apply({"params": params[f"blocks_{i}"]["conv_0"]}, y))
        height = y.shape[1] // 2
        y = y.reshape(3, height, 2, height, 2, width).mean(axis=(2, 4))
    y = y.reshape(3, 400)
    for name in ("dense", "dense_1"):
        y = jnp.tanh(y @ params[name]["kernel"] + params[name]["bias"][None])
    y = y @ params["head"]["kernel"] + params["head"]["bias"][None]
    got, _ = model.apply(variables, {"image": x}, train=False)
    np.testing.assert_allclose(got, y, rtol=1e-4, atol=1e-5)
