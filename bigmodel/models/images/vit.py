"""Vision Transformer: an image as a sequence of patches (Dosovitskiy et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from bigmodel.experiment import InputError, Model, Rules, Variables
from bigmodel.models import linen
from bigmodel.models.attention.encoder import BLOCK_PARTITION, EncoderBlock
from bigmodel.models.attention.fused import AttentionName
from bigmodel.models.attention.stack import make_blocks, run_blocks, stacked_partition
from bigmodel.models.layers.dense import Dense
from bigmodel.models.layers.feed_forward import Activation
from bigmodel.models.layers.norm import LayerNorm, standardized
from bigmodel.models.options import (
    check_divides,
    check_dropout,
    check_epsilon,
    check_normalization,
    check_sizes,
    check_window,
)
from bigmodel.tree import widened

PARTITION: Rules = (
    *stacked_partition(BLOCK_PARTITION),
    *BLOCK_PARTITION,
    (r"embed/kernel$", P(None, "fsdp")),
    (r"head/kernel$", P("fsdp", None)),
    (r"(position|token|bias)$", P()),
)

Images = Float[Array, "batch height width channel"]
Maps = Float[Array, "batch row column"]


@dataclass(frozen=True)
class Vit:
    """A transformer encoder over the patches of an image."""

    patch: int = 2
    """height and width of a patch, in pixels"""
    layers: int = 4
    """number of blocks of attention and feed-forward network"""
    width: int = 64
    """number of features of a patch"""
    heads: int = 4
    """number of attention heads, which share the width"""
    expansion: int = 4
    """width of the feed-forward network, as a multiple of the width"""
    activation: Activation = "gelu"
    """activation of the feed-forward network"""
    pooling: Literal["mean", "token"] = "mean"
    """input of the last layer: the mean over the patches, or a token before them"""
    window: int | None = None
    """number of positions that one attends to beside itself, half of them on either side; by
    default all"""
    global_tokens: int = 0
    """with a window: number of first positions to which all attend, and which attend to all
    (Beltagy et al., 2020); the token before the patches is always one"""
    biases: bool = False
    """whether attention (but for keys, where they do nothing) and feed-forward network have them"""
    epsilon: float = 1e-6
    """number added to the variance in norms"""
    mean: tuple[float, ...] = ()
    """number that is taken from each channel of the images, which are from 0 to 1"""
    deviation: tuple[float, ...] = ()
    """number by which each channel is divided after that"""
    dropout: float = 0.1
    """probability with which a feature of the embedding and of each branch is dropped"""
    attention: AttentionName = "auto"
    """kernel of the attention: cudnn on NVIDIA GPUs, splash on TPUs, xla anywhere; auto takes the
    fastest that fits"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters, norms, softmax and logits are float32"""
    remat: bool = False
    """whether to recompute each block in the backward pass: less memory, a third more work"""
    scan: bool | None = None
    """whether the blocks' parameters are a stack that is looped over, by default from 24 layers on:
    many compile as fast as few, and --mesh.fsdp gathers one at a time"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes that do not fit each other."""
        check_sizes(self, "patch", "layers", "width", "heads", "expansion")
        check_divides(self, "heads", "width")
        check_dropout(self.dropout)
        check_epsilon(self.epsilon)
        check_window(self, even=True)
        check_normalization(self)

    def build(self, classes: int) -> Model:
        """The network: images to logits, float32 ``[batch, class]``."""
        return linen.model(VitNetwork(self, classes), partition=PARTITION)

    def attention_maps(self, classes: int) -> Callable[[Variables, Images], Maps]:
        """The attention weights of the last block by patch, whose sum over an image is 1.

        They are the mean over the heads and over the patches or, with ``pooling`` token, those
        of the token, without its weight for itself.
        """
        network = VitNetwork(self, classes)

        def maps(variables: Variables, image: Images) -> Maps:
            weights: Any = network.apply(widened(variables), image, method="weights")
            weights = weights.mean(axis=2).astype(jnp.float32)
            seen = weights[:, 0, 1:] if self.pooling == "token" else weights.mean(axis=1)
            seen = seen / seen.sum(axis=-1, keepdims=True)
            rows, columns = image.shape[1] // self.patch, image.shape[2] // self.patch
            return seen.reshape(image.shape[0], rows, columns)

        return maps


def patches(x: Images, size: int) -> Float[Array, "batch patch pixel"]:
    """Patches of ``size`` x ``size`` pixels, row by row, each as one vector.

    Raises:
        InputError: The patches do not divide the image.
    """
    batch, height, width, channels = x.shape
    if height % size or width % size:
        fitting = [n for n in range(1, height + 1) if height % n == 0 == width % n]
        raise InputError(
            f"--model.patch {size} does not divide the images of {height}x{width}; use one of "
            f"{', '.join(map(str, fitting))}"
        )
    x = x.reshape(batch, height // size, size, width // size, size, channels)
    return x.swapaxes(2, 3).reshape(batch, -1, size * size * channels)


class VitNetwork(nn.Module):
    """The network that :class:`Vit` describes."""

    options: Vit
    classes: int

    def __call__(self, x: Images, *, train: bool) -> Float[Array, "batch class"]:
        """Images to logits."""
        return self._run(x, train=train)[0]

    def weights(self, x: Images) -> Float[Array, "batch patch heads patch"]:
        """The attention weights of the last block, where a token, if there is one, is a patch."""
        _, (weights,) = self._run(x, train=False, method="weights")
        return weights[-1]

    @nn.compact
    def _run(self, x: Images, *, train: bool, method: str = "__call__") -> tuple[Array, Any]:
        """The logits, and what a method of the blocks gives beside its output."""
        options = self.options
        dtype = jnp.dtype(options.dtype)
        small = nn.initializers.normal(0.02)
        x = patches(standardized(x, options.mean, options.deviation), options.patch)
        x = Dense(options.width, dtype=dtype, name="embed")(x)
        if options.pooling == "token":
            token = self.param("token", small, (options.width,), jnp.float32).astype(dtype)
            token = jnp.broadcast_to(token[None, None], (x.shape[0], 1, options.width))
            x = jnp.concatenate([token, x], axis=1)
        position = self.param("position", small, x.shape[1:], jnp.float32)
        x = x + position.astype(dtype)[None]
        x = nn.Dropout(options.dropout, deterministic=not train)(x)
        near = options.window, max(int(options.pooling == "token"), options.global_tokens)
        fields = (dtype, options.biases, "pre", options.epsilon, *near)
        blocks = make_blocks(
            EncoderBlock, options, *fields, partition=BLOCK_PARTITION, name="block"
        )
        x, _, others = run_blocks(blocks, x, None, train=train, method=method)
        x = LayerNorm(dtype, options.epsilon, name="norm")(x)
        x = x[:, 0] if options.pooling == "token" else x.mean(axis=1)
        head = nn.Dense(self.classes, dtype=dtype, name="head")
        return head(x).astype(jnp.float32), others
