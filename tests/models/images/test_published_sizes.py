"""Networks of papers have as many parameters as is published."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from bigmodel.models.images.named_cnn import LENET, VGG
from bigmodel.models.images.resnet import ResNet
from bigmodel.models.images.vit import Vit

IMAGENET = (224, 224, 3)
CIFAR = (32, 32, 3)
# Layer by layer: 5 * 5 * 1 * 6 + 6, and so on; each layer reads all of the one before. The third
# is full, and the last a softmax.
LENET_COUNT = sum((156, 2416, 400 * 120 + 120, 120 * 84 + 84, 84 * 10 + 10))
VGG_16 = replace(
    VGG, widths=(64, 128, 256, 512, 512), convolutions=(2, 2, 3, 3, 3), dense=(4096, 4096)
)
BASE_16 = Vit(patch=16, layers=12, width=768, heads=12, pooling="token", biases=True)


@pytest.mark.parametrize(
    ("network", "shape", "classes", "count"),
    [
        *((LENET, (size, size, 1), 10, LENET_COUNT) for size in (28, 8, 32)),
        (VGG_16, IMAGENET, 1000, 138_357_544),
        # What torchvision counts.
        (ResNet(18), IMAGENET, 1000, 11_689_512),
        (ResNet(34), IMAGENET, 1000, 21_797_672),
        (ResNet(50), IMAGENET, 1000, 25_557_032),
        (ResNet(101), IMAGENET, 1000, 44_549_160),
        (ResNet(152), IMAGENET, 1000, 60_192_808),
        # The paper says 0.27 and 0.46 million; its shortcuts pad, and those here have weights.
        (ResNet(20), CIFAR, 10, 272_474),
        (ResNet(32), CIFAR, 10, 466_906),
        # Keys have a bias in torchvision.
        (BASE_16, IMAGENET, 1000, 86_567_656 - 12 * 768),
    ],
)
def test_networks_have_the_published_parameters(network, shape, classes, count):
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    made = jax.eval_shape(network.build(classes).init, jax.random.key(0), {"image": image})
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == count
