import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.models.images.xception import Xception

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
