"""Transformer from sequence to sequence (Vaswani et al., 2017), pre-norm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from bigmodel.experiment import PyTree, Rules
from bigmodel.models.attention.attention import (
    Attention,
    CausalAttention,
    KeyValues,
    WindowCache,
    empty_cache,
)
from bigmodel.models.attention.encoder import BLOCK_PARTITION, EncoderBlock
from bigmodel.models.attention.fused import AttentionName
from bigmodel.models.attention.masks import padding_mask
from bigmodel.models.attention.positions import sinusoidal
from bigmodel.models.attention.stack import (
    each_block,
    is_stacked,
    make_blocks,
    run_blocks,
    stacked_partition,
)
from bigmodel.models.layers.feed_forward import Activation, FeedForward, residual_init
from bigmodel.models.layers.norm import LayerNorm
from bigmodel.models.options import check_dropout, check_even_heads, check_sizes
from bigmodel.models.texts.beam import Beam
from bigmodel.models.texts.copying import COPYING_PARTITION, Copying, CopySource
from bigmodel.models.texts.logits import Head, Logits, computed
from bigmodel.models.texts.translation import EncodedSource, Translator, translator

PARTITION: Rules = (
    *stacked_partition(BLOCK_PARTITION),
    *COPYING_PARTITION,
    (r"embedding$", P(None, "fsdp")),
    (r"head/kernel$", P("fsdp", "tensor")),
    *BLOCK_PARTITION,
)


@dataclass(frozen=True)
class Transformer:
    """An encoder, and a decoder that attends to it, of equally many layers."""

    layers: int = 3
    """number of blocks of the encoder, and of the decoder"""
    width: int = 128
    """number of features of a position"""
    heads: int = 4
    """number of attention heads, which share the width"""
    expansion: int = 4
    """width of the feed-forward network, as a multiple of the width"""
    activation: Activation = "squared_relu"
    """activation of the feed-forward network; squared_relu is faster on CPU than gelu"""
    copy: bool = False
    """whether tokens are also copied from the source (See et al., 2017): needs --data.shared"""
    dropout: float = 0.1
    """probability of dropping a feature of the embeddings and of each sublayer's output"""
    attention: AttentionName = "auto"
    """kernel of the attention: cudnn on NVIDIA GPUs, splash on TPUs, xla anywhere; auto takes the
    fastest that fits"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters, softmax and logits are float32"""
    remat: bool = False
    """whether to recompute each block in the backward pass: less memory, a third more work"""
    scan: bool | None = None
    """whether the blocks' parameters are stacks that are looped over, by default from 24 layers on:
    many compile as fast as few, and --mesh.fsdp gathers one at a time"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes that do not fit each other."""
        check_sizes(self, "layers", "width", "heads", "expansion")
        check_even_heads(self)
        check_dropout(self.dropout)

    def build(self, *, source_vocab: int, target_vocab: int, length: int, beam: Beam) -> Translator:
        """The translator whose targets have at most ``length`` tokens."""
        network = TransformerNetwork(self, source_vocab, target_vocab, length)
        return translator(network, partition=PARTITION, length=length, beam=beam)


LayerCaches: TypeAlias = tuple[WindowCache, ...] | PyTree
"""A cache for each block; those of a stack are one, whose second axis is that of the layers."""


def _swapped(cache: LayerCaches) -> PyTree:
    """The caches of a stack with their first two axes, of rows and layers, exchanged."""
    return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), cache)


class DecoderBlock(nn.Module):
    """Causal self-attention, cross-attention to the source, and a feed-forward network.

    Each takes the norm of the residual stream and adds to the stream.
    """

    options: Transformer
    window: int

    def setup(self) -> None:
        """Make the parts that the methods share."""
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        init = residual_init(options.layers)
        hidden = options.expansion * options.width
        self.norm_self = LayerNorm(dtype)
        self.self_attention = CausalAttention(
            options.heads, self.window, dtype, init, attention=options.attention
        )
        self.norm_cross = LayerNorm(dtype)
        self.cross_attention = Attention(
            options.heads, options.width, dtype, init, options.attention
        )
        self.norm_feed_forward = LayerNorm(dtype)
        self.feed_forward = FeedForward(hidden, options.activation, dtype, init)
        self.dropout = nn.Dropout(options.dropout)

    def keys_and_values(self, source: Float[Array, "batch source width"]) -> KeyValues:
        """The encoder's output as the keys and values of the cross-attention."""
        return self.cross_attention.keys_and_values(source)

    def __call__(
        self,
        x: Float[Array, "rows time width"],
        positions: Int[Array, "time"],
        source: Float[Array, "batch source width"] | None,
        mask: Bool[Array, "batch 1 source"],
        carried: tuple[KeyValues, WindowCache] | None,
        train: bool,
    ) -> tuple[Float[Array, "rows time width"], WindowCache | None]:
        """The block's output, and its cache updated with these positions (None without a cache).

        What it attends to is the encoder's output or, with a cache, keys and values made of it.
        Several hypotheses for one source are adjacent rows; the cross-attention treats them like
        positions of one row.
        """
        attended, cache = (source, None) if carried is None else carried
        assert attended is not None
        mixed, cache = self.self_attention(
            self.norm_self(x), positions=positions, rotary=None, cache=cache
        )
        x = x + self.dropout(mixed, deterministic=not train)
        normed = self.norm_cross(x).reshape(mask.shape[0], -1, x.shape[-1])
        mixed = self.cross_attention(normed, attended, mask, decoding=cache is not None)
        mixed = mixed.reshape(x.shape)
        x = x + self.dropout(mixed, deterministic=not train)
        inner = self.feed_forward(self.norm_feed_forward(x))
        return x + self.dropout(inner, deterministic=not train), cache

    def weights(
        self,
        x: Float[Array, "batch time width"],
        positions: Int[Array, "time"],
        source: Float[Array, "batch source width"],
        mask: Bool[Array, "batch 1 source"],
        carried: None,
        train: bool,
    ) -> tuple[Float[Array, "rows time width"], None, Float[Array, "batch time heads source"]]:
        """The block's output, and the weights of the cross-attention without dropout."""
        mixed, _ = self.self_attention(
            self.norm_self(x), positions=positions, rotary=None, cache=None
        )
        weights = self.cross_attention.weights(self.norm_cross(x + mixed), source, mask)
        x, _ = self(x, positions, source, mask, carried, train)
        return x, None, weights


class TransformerNetwork(nn.Module):
    """Encoder, decoder, logits."""

    options: Transformer
    source_vocab: int
    target_vocab: int
    length: int

    def setup(self) -> None:
        """Make the parts that the methods share."""
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        normal = nn.initializers.normal(1.0)
        embed = partial(nn.Embed, features=options.width, embedding_init=normal, dtype=dtype)
        self.source_embedding = embed(self.source_vocab)
        self.target_embedding = embed(self.target_vocab)
        small = nn.initializers.normal(0.02)
        self.head = Head(self.target_vocab, dtype, kernel_init=small)
        if options.copy:
            self.copying = Copying(options.width, dtype)
        self.encoder = make_blocks(EncoderBlock, options, dtype, partition=BLOCK_PARTITION)
        self.norm_encoder = LayerNorm(dtype)
        self.decoder = make_blocks(DecoderBlock, options, self.length, partition=BLOCK_PARTITION)
        self.norm_decoder = LayerNorm(dtype)
        self.dropout = nn.Dropout(options.dropout)

    def __call__(
        self,
        source: Int[Array, "batch source"],
        source_length: Int[Array, "batch"],
        target_in: Int[Array, "batch time"],
        *,
        train: bool,
    ) -> Logits:
        """The logits of the token after each token of the target."""
        encoded, mask = self._encode(source, source_length, train=train)
        positions = jnp.arange(target_in.shape[1], dtype=jnp.int32)
        x = self._embed(self.target_embedding, target_in, positions, train=train)
        x, *_ = run_blocks(self.decoder, x, positions, encoded, mask, train=train)
        return self._logits(x, self._copied(encoded, source, mask))

    def start(
        self,
        source: Int[Array, "batch source"],
        source_length: Int[Array, "batch"],
        *,
        hypotheses: int,
    ) -> tuple[EncodedSource, LayerCaches]:
        """The encoded source, and the empty caches of its hypotheses."""
        encoded, mask = self._encode(source, source_length, train=False)
        empty = empty_cache(
            batch=source.shape[0] * hypotheses,
            window=self.length,
            heads=self.options.heads,
            size=self.options.width // self.options.heads,
            dtype=jnp.dtype(self.options.dtype),
        )
        keys_and_values = each_block(self.decoder, "keys_and_values", encoded)
        caches: LayerCaches = (empty,) * self.options.layers
        if is_stacked(self.options):
            caches = jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *caches)
        return EncodedSource(keys_and_values, mask, self._copied(encoded, source, mask)), caches

    def decode_step(
        self,
        source: EncodedSource,
        tokens: Int[Array, "rows"],
        position: Int[Array, ""],
        caches: LayerCaches,
    ) -> tuple[Float[Array, "rows vocabulary"], LayerCaches]:
        """The logits of the token after each row's token at this position, and the next caches."""
        positions = position[None]
        x = self._embed(self.target_embedding, tokens[:, None], positions, train=False)
        stacked, cross = is_stacked(self.options), source.keys_and_values
        carried: Any = (
            (cross, _swapped(caches)) if stacked else tuple(zip(cross, caches, strict=True))
        )
        x, after, _ = run_blocks(
            self.decoder, x, positions, None, source.mask, train=False, carried=carried
        )
        # Hypotheses of one source are like positions of one row, as in the cross-attention.
        rows = x.reshape(source.mask.shape[0], -1, x.shape[-1])
        logits = computed(self._logits(rows, source.copied))
        logits = logits.reshape(tokens.shape[0], logits.shape[-1])
        return logits, _swapped(after) if stacked else after

    def attention(
        self,
        source: Int[Array, "batch source"],
        source_length: Int[Array, "batch"],
        target_in: Int[Array, "batch time"],
    ) -> Float[Array, "batch time source"]:
        """The last block's attention to the source, averaged over its heads."""
        encoded, mask = self._encode(source, source_length, train=False)
        positions = jnp.arange(target_in.shape[1], dtype=jnp.int32)
        x = self._embed(self.target_embedding, target_in, positions, train=False)
        *_, (weights,) = run_blocks(
            self.decoder, x, positions, encoded, mask, train=False, method="weights"
        )
        return weights[-1].mean(axis=2)

    def _copied(
        self,
        encoded: Float[Array, "batch source width"],
        source: Int[Array, "batch source"],
        mask: Bool[Array, "batch 1 source"],
    ) -> CopySource | None:
        return self.copying.source(encoded, source, mask) if self.options.copy else None

    def _logits(self, x: Float[Array, "batch time width"], copied: CopySource | None) -> Logits:
        h = self.norm_decoder(x)
        logits = self.head(h)
        return logits if copied is None else self.copying(computed(logits), h, copied)

    def _encode(
        self, source: Int[Array, "batch source"], length: Int[Array, "batch"], *, train: bool
    ) -> tuple[Float[Array, "batch source width"], Bool[Array, "batch 1 source"]]:
        mask = padding_mask(length, source.shape[1])[:, None]
        positions = jnp.arange(source.shape[1], dtype=jnp.int32)
        x = self._embed(self.source_embedding, source, positions, train=train)
        x, *_ = run_blocks(self.encoder, x, mask, train=train)
        return self.norm_encoder(x), mask

    def _embed(
        self,
        embedding: nn.Embed,
        tokens: Int[Array, "batch time"],
        positions: Int[Array, "time"],
        *,
        train: bool,
    ) -> Float[Array, "batch time width"]:
        width = self.options.width
        x = embedding(tokens)
        x = x + sinusoidal(positions, width=width).astype(x.dtype)[None]
        return self.dropout(x, deterministic=not train)
