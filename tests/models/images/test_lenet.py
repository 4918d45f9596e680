import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.models.images.named_cnn import LENET
from bigmodel.models.layers.resolution import enlarged

RNG = np.random.default_rng(0)


def test_it_has_the_parameters_of_the_paper_with_a_full_third_layer_and_softmax():
    # Layer by layer: 5 * 5 * 1 * 6 + 6, and so on; each layer reads all of the one before.
    layers = (156, 2416, 400 * 120 + 120, 120 * 84 + 84, 84 * 10 + 10)
    for shape in ((28, 28, 1), (8, 8, 1), (32, 32, 1)):
        image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
        made = jax.eval_shape(LENET.build(10).init, jax.random.key(0), {"image": image})
        assert sum(leaf.size for leaf in jax.tree.leaves(made)) == sum(layers) == 61_706


def test_it_is_its_layers_written_out():
    x = RNG.random((3, 28, 28, 1), np.float32)
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
