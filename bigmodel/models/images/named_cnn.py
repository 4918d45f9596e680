"""Convolutional networks by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

from bigmodel.experiment import InputError, Model
from bigmodel.models.images.cnn import ConvNet
from bigmodel.models.images.xception import Xception
from bigmodel.models.layers.activation import Activation

LENET = ConvNet(
    widths=(6, 16),
    convolutions=(1,),
    kernel=5,
    padding="valid",
    dense=(120, 84),
    dropout=0.0,
    activation="tanh",
    pooling="mean",
    resolution=32,
)
"""LeNet-5 (LeCun et al., 1998), but that the second convolution reads all maps of the first, and
that the last layer is linear."""

VGG = ConvNet(
    widths=(24, 48, 96),
    convolutions=(2,),
    dense=(256, 256),
    dropout=0.3,
    activation="relu",
    pooling="max",
)
"""A VGG (Simonyan and Zisserman, 2015) for small images.

The paper's are for images of 224x224; the one of 16 layers has widths 64, 128, 256, 512 and 512,
convolutions 2, 2, 3, 3 and 3, and dense layers of 4096 and 4096.
"""

NETWORKS: Mapping[str, ConvNet | Xception] = {
    # Without kinks and ties, in which rounding would grow until runs on other meshes diverge.
    "convnet": ConvNet(dropout=0.3, activation="silu", pooling="mean"),
    "lenet": LENET,
    "vgg": VGG,
    "xception": Xception(),
}


@dataclass(frozen=True)
class NamedCnn:
    """A network by name. An option that is None has the value of that network."""

    name: Literal["convnet", "lenet", "vgg", "xception"] = "convnet"
    """convnet: small; lenet: LeNet-5; vgg: deeper; xception: depthwise separable, residual"""
    widths: tuple[int, ...] | None = None
    """channels of each block"""
    convolutions: tuple[int, ...] | None = None
    """convolutions in each block; one number is for all blocks"""
    dense: tuple[int, ...] | None = None
    """widths of the dense layers before the last one"""
    dropout: float | None = None
    """probability with which a unit is dropped before each dense layer, in training"""
    activation: Activation | None = None
    """activation after each convolution and dense layer"""
    pooling: Literal["max", "mean"] | None = None
    """pooling of each 2x2 pixels after a block"""
    resolution: int | None = None
    """height and width to which images are enlarged first"""
    batch_norm: bool = False
    """whether batch normalization (Ioffe and Szegedy, 2015) follows each convolution"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters and logits are float32"""

    def build(self, classes: int) -> Model:
        """The network: images to logits, float32 ``[batch, class]``.

        Raises:
            InputError: The network does not have an option, or refuses its value.
        """
        return self.network.build(classes)

    @property
    def network(self) -> ConvNet | Xception:
        """The options of the network of that name.

        Raises:
            InputError: It does not have one of them.
        """
        network = NETWORKS[self.name]
        known = {field.name for field in fields(network)}
        given = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "name" and getattr(self, field.name) is not None
        }
        for name, value in given.items():
            if name not in known:
                raise InputError(
                    f"--model.{name.replace('_', '-')} {value} is no option of --model.name "
                    f"{self.name}; leave it out"
                )
        return replace(network, **given)
