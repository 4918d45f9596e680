"""Recurrent encoder-decoder with attention (Bahdanau et al., 2015; Luong et al., 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from bigmodel.experiment import Rules
from bigmodel.models.attention.attention import Attention
from bigmodel.models.attention.encoder import BLOCK_PARTITION
from bigmodel.models.attention.masks import padding_mask
from bigmodel.models.layers.cells import CELLS, CellName, State
from bigmodel.models.layers.dense import Dense
from bigmodel.models.layers.recurrent import RECURRENT_PARTITION, Recurrent
from bigmodel.models.options import check_dropout, check_even_heads, check_sizes
from bigmodel.models.texts.beam import Beam
from bigmodel.models.texts.logits import Head, Logits, computed
from bigmodel.models.texts.translation import EncodedSource, Translator, translator

PARTITION: Rules = (
    (r"embedding$", P(None, "fsdp")),
    *RECURRENT_PARTITION,
    *BLOCK_PARTITION,
    (r"(bridge|mix|head)/kernel$", P("fsdp", None)),
    (r"(bridge|mix|head)/bias$", P()),
)


@dataclass(frozen=True)
class Seq2Seq:
    """A bidirectional encoder, and a decoder that attends to it, of equally many layers."""

    cell: CellName = "lstm"
    """cell of the recurrent layers"""
    layers: int = 1
    """number of recurrent layers of the encoder, and of the decoder"""
    width: int = 128
    """width of the embeddings and of the decoder; each direction of the encoder has half of it"""
    heads: int = 1
    """number of attention heads; one in the paper"""
    dropout: float = 0.1
    """probability of dropping an input feature of a layer"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters, states, softmax and logits are float32"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes that do not fit each other."""
        check_sizes(self, "layers", "width", "heads")
        check_even_heads(self)
        check_dropout(self.dropout)

    def build(self, *, source_vocab: int, target_vocab: int, length: int, beam: Beam) -> Translator:
        """The translator whose targets have at most ``length`` tokens."""
        network = Seq2SeqNetwork(self, source_vocab, target_vocab)
        return translator(network, partition=PARTITION, length=length, beam=beam)


class Seq2SeqNetwork(nn.Module):
    """The decoder's outputs ``h`` attend to the encoder's: ``tanh(attention(h) + W h)``.

    The attention of all positions is one product, as in Luong et al., and not a part of the
    recurrence, as in Bahdanau et al.
    """

    options: Seq2Seq
    source_vocab: int
    target_vocab: int

    def setup(self) -> None:
        """Make the parts that the methods share."""
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        normal = nn.initializers.normal(1.0)

        def layers(width: int, *, reverse: bool = False) -> list[Recurrent]:
            return [
                Recurrent(options.cell, width, dtype, reverse=reverse)
                for _ in range(options.layers)
            ]

        embed = partial(nn.Embed, features=options.width, embedding_init=normal, dtype=dtype)
        self.source_embedding = embed(self.source_vocab)
        self.target_embedding = embed(self.target_vocab)
        self.forwards = layers(options.width // 2)
        self.backwards = layers(options.width // 2, reverse=True)
        self.decoder = layers(options.width)
        states = options.layers * CELLS[options.cell].arrays
        self.bridge = nn.Dense(states * options.width, dtype=dtype)
        self.attend = Attention(options.heads, options.width, dtype, nn.initializers.lecun_normal())
        self.mix = Dense(options.width, dtype=dtype)
        self.head = Head(self.target_vocab, dtype, use_bias=True)
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
        encoded, mask, states = self._encode(source, source_length, train=train)
        h, _ = self._decode(target_in, states, train=train)
        return self.head(self._mixed(h, self.attend(h, encoded, mask), train=train))

    def start(
        self,
        source: Int[Array, "batch source"],
        source_length: Int[Array, "batch"],
        *,
        hypotheses: int,
    ) -> tuple[EncodedSource, tuple[tuple[Float[Array, "rows width"], ...], ...]]:
        """The encoded source, and the initial states of its hypotheses."""
        encoded, mask, states = self._encode(source, source_length, train=False)
        repeated = tuple(
            tuple(jnp.repeat(array, hypotheses, axis=0) for array in state) for state in states
        )
        return EncodedSource((self.attend.keys_and_values(encoded),), mask), repeated

    def decode_step(
        self,
        source: EncodedSource,
        tokens: Int[Array, "rows"],
        position: Int[Array, ""],
        states: tuple[State, ...],
    ) -> tuple[Float[Array, "rows vocabulary"], tuple[State, ...]]:
        """The logits of the token after each row's token, and the next states."""
        del position
        h, states = self._decode(tokens[:, None], states, train=False)
        # The attention treats the hypotheses of one source like positions of one row.
        (keys_and_values,), mask, _ = source
        queries = h.reshape(mask.shape[0], -1, self.options.width)
        context = self.attend(queries, keys_and_values, mask).reshape(h.shape)
        return computed(self.head(self._mixed(h, context, train=False)))[:, 0], states

    def attention(
        self,
        source: Int[Array, "batch source"],
        source_length: Int[Array, "batch"],
        target_in: Int[Array, "batch time"],
    ) -> Float[Array, "batch time source"]:
        """The decoder's attention to the source, averaged over its heads."""
        encoded, mask, states = self._encode(source, source_length, train=False)
        h, _ = self._decode(target_in, states, train=False)
        return self.attend.weights(h, encoded, mask).mean(axis=2)

    def _encode(
        self, source: Int[Array, "batch source"], length: Int[Array, "batch"], *, train: bool
    ) -> tuple[
        Float[Array, "batch source width"], Bool[Array, "batch 1 source"], tuple[State, ...]
    ]:
        """The encoder's outputs, their padding mask, and the decoder's initial states."""
        mask = padding_mask(length, source.shape[1])
        x = self.source_embedding(source)
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            x = self.dropout(x, deterministic=not train)
            ahead, (last, *_) = forwards(x, mask)
            behind, (first, *_) = backwards(x, mask)
            x = jnp.concatenate([ahead, behind], axis=-1)
        bridged = self.bridge(jnp.concatenate([last, first], axis=-1))
        bridged = jnp.tanh(bridged.astype(jnp.float32))
        arrays = jnp.split(bridged, bridged.shape[-1] // self.options.width, axis=-1)
        each = CELLS[self.options.cell].arrays
        states = tuple(tuple(arrays[at : at + each]) for at in range(0, len(arrays), each))
        return x, mask[:, None], states

    def _decode(
        self, tokens: Int[Array, "rows time"], states: tuple[State, ...], *, train: bool
    ) -> tuple[Float[Array, "rows time width"], tuple[State, ...]]:
        x = self.target_embedding(tokens)
        after = []
        for layer, state in zip(self.decoder, states, strict=True):
            x, state = layer(
                self.dropout(x, deterministic=not train), jnp.ones(tokens.shape, bool), state
            )
            after.append(state)
        return x, tuple(after)

    def _mixed(
        self,
        h: Float[Array, "rows time width"],
        context: Float[Array, "rows time width"],
        *,
        train: bool,
    ) -> Float[Array, "rows time width"]:
        mixed = jnp.tanh(context + self.mix(h))
        return self.dropout(mixed, deterministic=not train)
