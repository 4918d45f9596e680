"""Deep convolutional generator and discriminator (Radford et al., 2015).

The activation is SiLU, not ReLU: a penalty on the discriminator's gradients differentiates twice,
and the jump of ReLU's derivative would make the last bit of an activation matter a hundred times
more in the losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Model, Rules
from bigmodel.models.layers.convolution import Conv, Images, UpConv
from bigmodel.models.layers.norm import batch_norm
from bigmodel.models.linen import model
from bigmodel.models.options import check_dropout, check_sizes, check_widths

PARTITION: Rules = (
    (r"(up|down)_\d+/kernel$", P(None, None, None, "fsdp")),
    (r"(project|class|match)/kernel$", P(None, "fsdp")),
    (r"score/kernel$", P("fsdp", None)),
    (r"(bias|scale)$", P()),
)


class Generator(nn.Module):
    """Latents to images with values in [0, 1]; batch norm before every activation.

    Labels, if given, are embedded and concatenated with the latent.
    """

    shape: tuple[int, int, int]
    classes: int
    widths: tuple[int, ...]
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        latent: Float[Array, "batch latent"],
        label: Int[Array, " batch"] | None = None,
        *,
        train: bool,
    ) -> Images:
        """Images from latents."""
        if label is not None:
            embedded = nn.Dense(
                latent.shape[-1],
                use_bias=False,
                kernel_init=nn.initializers.normal(0.3),
                dtype=self.dtype,
                name="class",
            )(jax.nn.one_hot(label, self.classes, dtype=self.dtype))
            latent = jnp.concatenate([latent.astype(self.dtype), embedded], axis=1)
        height, width, channels = self.shape
        scale = 2 ** len(self.widths)
        start = (ceil(height / scale), ceil(width / scale), self.widths[-1])
        x = nn.Dense(
            start[0] * start[1] * start[2],
            use_bias=False,
            kernel_init=nn.initializers.normal(0.02),
            dtype=self.dtype,
            name="project",
        )(latent)
        x = x.reshape(-1, *start)
        for i, features in enumerate((*self.widths[-2::-1], channels)):
            x = batch_norm(x, name=f"norm_{i}", train=train, dtype=self.dtype)
            last = i == len(self.widths) - 1
            x = UpConv(features, use_bias=last, dtype=self.dtype, name=f"up_{i}")(nn.silu(x))
        return nn.sigmoid(x[:, :height, :width].astype(jnp.float32))


class Discriminator(nn.Module):
    """Images to the logit that they are real.

    There is no normalization: an example's logit depends on that example alone, as a gradient
    penalty requires. With labels, the product of the features and the embedded class is added to
    the logit (Miyato and Koyama, 2018).
    """

    classes: int
    widths: tuple[int, ...]
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        images: Images,
        label: Int[Array, " batch"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, " batch"]:
        """Logits of images."""
        x = (2 * images - 1).astype(self.dtype)
        for i, features in enumerate(self.widths):
            x = Conv(features, size=4, stride=2, dtype=self.dtype, name=f"down_{i}")(x)
            x = nn.silu(x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = x.reshape(x.shape[0], -1)
        logits = nn.Dense(1, dtype=self.dtype, name="score")(x)[:, 0]
        if label is not None:
            embedded = nn.Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name="match")(
                jax.nn.one_hot(label, self.classes, dtype=self.dtype)
            )
            logits = logits + jnp.sum(embedded * x, axis=1) * x.shape[-1] ** -0.5
        return logits.astype(jnp.float32)


@dataclass(frozen=True)
class Dcgan:
    """A generator and the discriminator that mirrors it."""

    latent: int = 64
    """length of the random vector that an image is made from"""
    widths: tuple[int, ...] = (32, 64)
    """channels from the finest grid to the coarsest; each halves height and width"""
    dropout: float = 0.0
    """dropout rate in the discriminator"""
    conditional: bool = False
    """whether both networks are conditioned on the class of an image"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the activations; parameters are float32"""

    def build(self, shape: tuple[int, int, int], classes: int) -> tuple[Model, Model]:
        """Make the generator and the discriminator.

        Args:
            shape: Height, width and channels of an image.
            classes: How many classes there are.

        Returns:
            The generator reads ``latent`` of a batch, the discriminator ``image``, and both
            read ``label`` if they are conditional.

        Raises:
            InputError: A size is not positive, or the dropout is not a rate.
        """
        check_sizes(self, "latent")
        check_widths(self)
        check_dropout(self.dropout)
        dtype = jnp.dtype(self.dtype)
        generator = Generator(shape, classes, self.widths, dtype)
        discriminator = Discriminator(classes, self.widths, self.dropout, dtype)
        also = ("label",) if self.conditional else ()
        return (
            model(generator, inputs=("latent", *also), partition=PARTITION),
            model(discriminator, inputs=("image", *also), partition=PARTITION),
        )
