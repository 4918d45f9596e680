"""BERT: a transformer encoder that fills in masked tokens or embeds texts (Devlin et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal, TypeAlias

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, Key, Model, Rules
from bigmodel.models.attention.encoder import BLOCK_PARTITION, EncoderBlock
from bigmodel.models.attention.fused import AttentionName
from bigmodel.models.attention.masks import masked_mean, padding_mask
from bigmodel.models.attention.positions import check_learned, sinusoidal
from bigmodel.models.attention.stack import make_blocks, run_blocks, stacked_partition
from bigmodel.models.layers.dense import Dense
from bigmodel.models.layers.feed_forward import Activation
from bigmodel.models.layers.norm import LayerNorm
from bigmodel.models.linen import model
from bigmodel.models.options import (
    check_divides,
    check_dropout,
    check_epsilon,
    check_sizes,
    check_window,
)
from bigmodel.models.texts.logits import Logits, against, scored

PARTITION: Rules = (
    *stacked_partition(BLOCK_PARTITION),
    (r"(embedding|positions|token_types)/embedding$", P(None, "fsdp")),
    (r"(transform|pooler|head)/kernel$", P("fsdp", None)),
    *BLOCK_PARTITION,
    (r"bias$", P()),
)

EMBEDDING_INIT = nn.initializers.normal(0.02)


def _sinusoidal_init(key: Key, shape: tuple[int, int], dtype: DTypeLike) -> Array:
    """:func:`sinusoidal` positions at the scale of the embedding: neighbours begin alike."""
    del key
    length, width = shape
    table = sinusoidal(jnp.arange(length, dtype=jnp.int32), width=width)
    return (0.02 * 2**0.5 * table).astype(dtype)


Tokens = Int[Array, "batch time"]
Lengths = Int[Array, "batch"]
Hidden = Float[Array, "batch time width"]
Pooling: TypeAlias = Literal["first", "mean"]

Special: TypeAlias = Mapping[str, int]
"""Ids of a vocabulary's own tokens: ``first`` before a text, ``mask`` in it, ``separator`` after
each of its parts."""
NONE: Special = MappingProxyType({})


@dataclass(frozen=True)
class Bert:
    """A bidirectional transformer encoder.

    A learned vector before the text stands for the text as a whole. It and the mask are tokens
    beyond the vocabulary, unless that has its own: see :data:`Special`.
    """

    layers: int = 4
    """number of blocks of attention and feed-forward network"""
    width: int = 128
    """number of features of a position"""
    heads: int = 4
    """number of attention heads, which share the width"""
    expansion: int = 4
    """width of the feed-forward network, as a multiple of the width"""
    activation: Activation = "gelu"
    """activation of the feed-forward network"""
    norm: Literal["pre", "post"] = "pre"
    """whether norms stand before each part of a block, or after it as in the paper"""
    biases: bool = False
    """whether attention (but for keys, where they do nothing) and feed-forward network have them"""
    epsilon: float = 1e-6
    """number added to the variance in norms"""
    token_types: int = 0
    """number of vectors that tell the parts of a text apart, of which a separator ends each"""
    pooler: bool = False
    """whether classifiers read tanh(dense(x)) of what is pooled"""
    window: int | None = None
    """number of positions that one attends to beside itself, half of them on either side; by
    default all"""
    global_tokens: int = 0
    """with a window: number of first positions to which all attend, and which attend to all
    (Beltagy et al., 2020); the vector before a text is always one"""
    dropout: float = 0.0
    """probability of dropping a feature of the embedding and of each block's output"""
    attention: AttentionName = "auto"
    """kernel of the attention: cudnn on NVIDIA GPUs, splash on TPUs, xla anywhere; auto takes the
    fastest that fits"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters, softmax and logits are float32"""
    remat: bool = False
    """whether to recompute each block in the backward pass: less memory, a third more work"""
    scan: bool | None = None
    """whether the blocks' parameters are a stack that is looped over, by default from 24 layers on:
    many compile as fast as few, and --mesh.fsdp gathers one at a time"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes that do not fit each other."""
        check_sizes(self, "layers", "width", "heads", "expansion")
        check_divides(self, "heads", "width")
        check_dropout(self.dropout)
        check_epsilon(self.epsilon)
        check_window(self, even=True)
        if self.token_types < 0:
            raise InputError(f"--model.token-types {self.token_types} is too small; use 0 or more")

    def masked(self, *, vocab_size: int, context: int, special: Special = NONE) -> Model:
        """The masked language model, which reads ``tokens``, ``length`` and ``chosen``.

        ``chosen``, int32 ``[batch, masks]``, are the masked positions; the outputs are the logits
        of their tokens, float32 ``[batch, masks, vocabulary]``, or where the vocabulary is large
        and the batch has ``targets``, :class:`~bigmodel.models.texts.scores.Scores`.
        """
        network = MaskedBert(self._encoder(vocab_size, context, special))
        inputs = ("tokens", "length", "chosen")
        return scored(model(network, inputs=inputs, partition=PARTITION), targets="targets")

    def classifier(
        self,
        classes: int,
        *,
        vocab_size: int,
        context: int,
        pooling: Pooling = "mean",
        special: Special = NONE,
    ) -> Model:
        """The classifier: ``tokens`` and ``length`` to logits, float32 ``[batch, class]``.

        Its ``encoder`` has the same parameters as that of the masked language model.
        """
        network = BertClassifier(self._encoder(vocab_size, context, special), classes, pooling)
        return model(network, inputs=("tokens", "length"), partition=PARTITION)

    def vectors(
        self,
        *,
        vocab_size: int,
        context: int,
        pooling: Pooling = "mean",
        normalized: bool = False,
        special: Special = NONE,
    ) -> Model:
        """The encoder of texts: ``tokens`` and ``length`` to vectors, float32 ``[batch, width]``.

        The mean is that over the text and the vector before it (Reimers and Gurevych, 2019).
        Normalized vectors have length 1, so that their product is the cosine.
        """
        network = BertVectors(self._encoder(vocab_size, context, special), pooling, normalized)
        return model(network, inputs=("tokens", "length"), partition=PARTITION)

    def tagger(
        self, labels: int, *, vocab_size: int, context: int, special: Special = NONE
    ) -> Model:
        """The labels of words: ``tokens``, ``length`` and ``chosen``, where words begin, to logits.

        These are float32 ``[batch, words, label]``. Its ``encoder`` has the same parameters as that
        of the masked language model.
        """
        network = BertTagger(self._encoder(vocab_size, context, special), labels)
        return model(network, inputs=("tokens", "length", "chosen"), partition=PARTITION)

    def _encoder(self, vocab_size: int, context: int, special: Special) -> BertEncoder:
        first, separator = special.get("first"), special.get("separator")
        return BertEncoder(self, vocab_size, context, first, separator)


class BertEncoder(nn.Module):
    """Embedding with learned positions, norm, blocks and, unless they end with one, norm."""

    options: Bert
    vocab_size: int
    context: int
    first: int | None = None
    separator: int | None = None

    def setup(self) -> None:
        """Make the parts that the methods share."""
        options = self.options
        dtype = jnp.dtype(options.dtype)
        embed = partial(nn.Embed, features=options.width, dtype=dtype)
        # After a vocabulary without its own come the mask and the vector before each text.
        rows = self.vocab_size + 2 * (self.first is None)
        self.embedding = embed(rows, embedding_init=EMBEDDING_INIT)
        self.positions = embed(self.context + 1, embedding_init=_sinusoidal_init)
        if options.token_types:
            self.token_types = embed(options.token_types, embedding_init=EMBEDDING_INIT)
        near = options.window, max(1, options.global_tokens)
        fields = (dtype, options.biases, options.norm, options.epsilon, *near)
        self.blocks = make_blocks(EncoderBlock, options, *fields, partition=BLOCK_PARTITION)
        # The outputs of the first blocks would outweigh the embedding, which begins at 0.02.
        self.norm_embedding = LayerNorm(dtype, options.epsilon)
        if options.norm == "pre":
            self.norm = LayerNorm(dtype, options.epsilon)
        self.dropout = nn.Dropout(options.dropout)

    def __call__(
        self, tokens: Tokens, length: Lengths, *, train: bool
    ) -> Float[Array, "batch time+1 width"]:
        """Features of the vector before the text, and of each position of the text.

        Positions from the ``length`` of their text on are padding, which is masked.
        """
        check_learned(tokens.shape[1], self.context)
        before = self.vocab_size + 1 if self.first is None else self.first
        first = jnp.full((tokens.shape[0], 1), before, tokens.dtype)
        tokens = jnp.concatenate([first, tokens], axis=1)
        positions = jnp.arange(tokens.shape[1], dtype=jnp.int32)
        x = self.embedding(tokens) + self.positions(positions)[None]
        if self.options.token_types:
            x = x + self.token_types(self._types(tokens))
        x = self.dropout(self.norm_embedding(x), deterministic=not train)
        mask = (positions[None] <= length[:, None])[:, None]
        x, *_ = run_blocks(self.blocks, x, mask, train=train)
        return self.norm(x) if self.options.norm == "pre" else x

    def _types(self, tokens: Tokens) -> Tokens:
        """The number of separators before each token, as far as there are types."""
        if self.separator is None:
            return jnp.zeros_like(tokens)
        ends = (tokens == self.separator).astype(jnp.int32)
        return jnp.minimum(jnp.cumsum(ends, axis=1) - ends, self.options.token_types - 1)

    @property
    def table(self) -> Float[Array, "vocabulary width"]:
        """The vectors of the vocabulary."""
        return self.embedding.embedding[: self.vocab_size]


class MaskedBert(nn.Module):
    """The encoder, and ``norm(gelu(transform(x)))`` against the embedding at chosen positions."""

    encoder: BertEncoder

    @nn.compact
    def __call__(
        self, tokens: Tokens, length: Lengths, chosen: Int[Array, "batch masks"], *, train: bool
    ) -> Logits:
        """The logits of the tokens at the chosen positions."""
        encoder, options = self.encoder, self.encoder.options
        dtype = jnp.dtype(options.dtype)
        x = encoder(tokens, length, train=train)
        x = jnp.take_along_axis(x, chosen[..., None] + 1, axis=1)
        x = Dense(options.width, dtype=dtype, name="transform")(x)
        x = nn.gelu(x, approximate=options.activation != "gelu_exact")
        x = LayerNorm(dtype, options.epsilon, name="norm")(x)
        bias = self.param("bias", nn.initializers.zeros, (encoder.vocab_size,), jnp.float32)
        return against(x, encoder.table, bias)


class BertClassifier(nn.Module):
    """The encoder, and a dense layer on its first position or on the mean over the text."""

    encoder: BertEncoder
    classes: int
    pooling: Pooling

    @nn.compact
    def __call__(
        self, tokens: Tokens, length: Lengths, *, train: bool
    ) -> Float[Array, "batch class"]:
        """The logits of the classes."""
        options = self.encoder.options
        dtype = jnp.dtype(options.dtype)
        x = self.encoder(tokens, length, train=train).astype(jnp.float32)
        pooled = x[:, 0]
        if self.pooling == "mean":
            real = padding_mask(length, tokens.shape[1]).astype(jnp.float32)
            count = jnp.maximum(real.sum(axis=1), 1.0)
            pooled = jnp.einsum("btd,bt->bd", x[:, 1:], real) / count[:, None]
        if options.pooler:
            pooled = nn.tanh(nn.Dense(options.width, dtype=dtype, name="pooler")(pooled))
        pooled = nn.Dropout(options.dropout, deterministic=not train)(pooled)
        head = nn.Dense(self.classes, dtype=dtype, kernel_init=EMBEDDING_INIT, name="head")
        return head(pooled.astype(dtype)).astype(jnp.float32)


class BertVectors(nn.Module):
    """The encoder, and what is pooled over the positions of a text."""

    encoder: BertEncoder
    pooling: Pooling
    normalized: bool

    def __call__(
        self, tokens: Tokens, length: Lengths, *, train: bool
    ) -> Float[Array, "batch width"]:
        """A vector for each text."""
        x = self.encoder(tokens, length, train=train).astype(jnp.float32)
        pooled = x[:, 0]
        if self.pooling == "mean":
            pooled = masked_mean(x, padding_mask(length + 1, x.shape[1]))
        if self.normalized:
            pooled = pooled / jnp.linalg.norm(pooled, axis=1, keepdims=True)
        return pooled


class BertTagger(nn.Module):
    """The encoder, and a dense layer on the first token of each word."""

    encoder: BertEncoder
    labels: int

    @nn.compact
    def __call__(
        self, tokens: Tokens, length: Lengths, chosen: Int[Array, "batch words"], *, train: bool
    ) -> Float[Array, "batch words label"]:
        """The logits of the labels of words that begin at the chosen positions."""
        options = self.encoder.options
        x = self.encoder(tokens, length, train=train)
        x = jnp.take_along_axis(x, chosen[..., None] + 1, axis=1)
        x = nn.Dropout(options.dropout, deterministic=not train)(x)
        dtype = jnp.dtype(options.dtype)
        head = Dense(self.labels, dtype=dtype, kernel_init=EMBEDDING_INIT, name="head")
        return head(x).astype(jnp.float32)
