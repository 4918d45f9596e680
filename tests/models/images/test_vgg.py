from dataclasses import replace

import jax
import jax.numpy as jnp

from bigmodel.models.images.named_cnn import VGG


def test_sixteen_layers_for_imagenet_have_the_published_parameters():
    vgg16 = replace(
        VGG,
        widths=(64, 128, 256, 512, 512),
        convolutions=(2, 2, 3, 3, 3),
        dense=(4096, 4096),
    )
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    made = jax.eval_shape(vgg16.build(1000).init, jax.random.key(0), {"image": image})
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == 138_357_544
