"""Images as a grid of codes out of a learned codebook: VQ-VAE (van den Oord et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Model, Rules
from bigmodel.models.images.autoencoder import UP_INIT, Shape
from bigmodel.models.images.unet import Block
from bigmodel.models.layers.convolution import Conv, Images, UpConv
from bigmodel.models.linen import model
from bigmodel.models.options import check_sizes, check_widths

PARTITION: Rules = (
    (r"(down_\d+|up_\d+|inner|outer|code|first)/kernel$", P(None, None, None, "fsdp")),
    (r"codebook/embedding$", P("fsdp", None)),
    (r"(bias|scale)$", P()),
)

Vectors = Float[Array, "batch row column feature"]
Tokens = Int[Array, "batch row column"]


class Quantized(NamedTuple):
    """What the encoder gave, the codes next to that, their numbers, and the logits of pixels."""

    code: Vectors
    nearest: Vectors
    tokens: Tokens
    logits: Images


def nearest(vectors: Vectors, codebook: Float[Array, "code feature"]) -> Tokens:
    """The number of the code at the smallest distance, ``argmin_k |z - e_k|^2``."""
    products = jnp.einsum("brcf,kf->brck", vectors, codebook, precision="highest")
    distances = jnp.sum(jnp.square(codebook), axis=1)[None, None, None] - 2 * products
    return jnp.argmin(distances, axis=-1).astype(jnp.int32)


def straight_through(vectors: Vectors, codes: Vectors) -> Vectors:
    """The codes, whose gradients go to the vectors as they are (Bengio et al., 2013)."""
    return vectors + lax.stop_gradient(codes - vectors)


class Encoder(nn.Module):
    """Images to a grid of vectors: convolutions to half the resolution, each with a block."""

    options: Vqvae

    @nn.compact
    def __call__(self, images: Images, *, train: bool) -> Vectors:
        """Vectors, in float32."""
        dtype = jnp.dtype(self.options.dtype)
        x = 2 * images - 1
        for i, width in enumerate(self.options.widths):
            x = Conv(width, size=4, stride=2, dtype=dtype, name=f"down_{i}")(x)
            x = Block(width, 0.0, dtype, name=f"block_{i}")(x, None, train=train)
        return Conv(self.options.features, size=1, dtype=dtype, name="code")(x).astype(jnp.float32)


class Decoder(nn.Module):
    """A grid of codes to the logits of pixels, the way of the encoder back."""

    options: Vqvae
    shape: Shape

    @nn.compact
    def __call__(self, codes: Vectors, *, train: bool) -> Images:
        """Logits, in float32."""
        dtype = jnp.dtype(self.options.dtype)
        height, width, channels = self.shape
        widths = self.options.widths
        x = Conv(widths[-1], dtype=dtype, name="first")(codes)
        for i, (within, after) in enumerate(
            zip(widths[::-1], (*widths[-2::-1], channels), strict=True)
        ):
            x = Block(within, 0.0, dtype, name=f"block_{i}")(x, None, train=train)
            up = UpConv(after, use_bias=True, dtype=dtype, kernel_init=UP_INIT, name=f"up_{i}")
            x = up(nn.silu(x))
        return x[:, :height, :width].astype(jnp.float32)


class VqvaeNetwork(nn.Module):
    """An encoder, a codebook and a decoder."""

    options: Vqvae
    shape: Shape

    def setup(self) -> None:
        """Make the parts that the methods share."""
        options = self.options
        # Near each other, so that what the encoder gives is next to many, and all are trained.
        init = nn.initializers.normal(0.1)
        self.encoder = Encoder(options)
        self.codebook = nn.Embed(options.codes, options.features, embedding_init=init)
        self.decoder = Decoder(options, self.shape)

    def __call__(self, images: Images, *, train: bool) -> Quantized:
        """Images to their codes and the logits of their reconstructions."""
        vectors = self.encoder(images, train=train)
        tokens = nearest(vectors, self.codebook.embedding)
        codes = self.codebook(tokens)
        logits = self.decoder(straight_through(vectors, codes), train=train)
        return Quantized(vectors, codes, tokens, logits)

    def encode(self, images: Images, *, train: bool) -> Tokens:
        """Images to the numbers of their codes."""
        return nearest(self.encoder(images, train=train), self.codebook.embedding)

    def decode(self, tokens: Tokens, *, train: bool) -> Images:
        """The numbers of codes to the logits of pixels."""
        return self.decoder(self.codebook(tokens), train=train)


@dataclass(frozen=True)
class Vqvae:
    """An encoder to a grid of codes, and the decoder that mirrors it."""

    codes: int = 128
    """number of codes in the codebook"""
    features: int = 16
    """number of features of a code"""
    widths: tuple[int, ...] = (64,)
    """channels from the finest grid to the coarsest, each of half the height and width"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters, codes and outputs are float32"""

    def __post_init__(self) -> None:
        """Raises InputError for a size that is not positive."""
        check_sizes(self, "codes", "features")
        check_widths(self)

    def build(self, shape: Shape) -> Model:
        """The network: ``image`` of a height, width and channels to :class:`Quantized`."""
        return model(VqvaeNetwork(self, shape), partition=PARTITION)

    def halves(self, shape: Shape) -> tuple[Model, Model]:
        """Its encoder, ``image`` to the numbers of codes, and its decoder, ``token`` to logits.

        Both have the variables of the whole, which ``init`` of the encoder makes.
        """
        network = VqvaeNetwork(self, shape)
        return (
            model(network, partition=PARTITION, method="encode"),
            model(network, inputs="token", partition=PARTITION, method="decode"),
        )
