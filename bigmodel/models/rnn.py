"""Recurrent network over sequences of numbers or of tokens (Elman, 1990)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from bigmodel.experiment import Model, Rules
from bigmodel.models.attention.masks import masked_mean, padding_mask
from bigmodel.models.layers.cells import CellName
from bigmodel.models.layers.dense import Dense
from bigmodel.models.layers.recurrent import RECURRENT_PARTITION, Recurrent
from bigmodel.models.linen import model
from bigmodel.models.options import check_dropout, check_sizes

PARTITION: Rules = (
    *RECURRENT_PARTITION,
    (r"embedding/embedding$", P(None, "fsdp")),
    (r"head/kernel$", P("fsdp", None)),
    (r"head/bias$", P()),
)


@dataclass(frozen=True)
class Rnn:
    """A stack of recurrent layers, and a linear layer."""

    cell: CellName = "gru"
    """plain (Elman, 1990), lstm (Hochreiter and Schmidhuber, 1997), or gru (Cho et al., 2014)"""
    layers: int = 1
    """number of recurrent layers"""
    width: int = 128
    """number of units of each layer and direction"""
    bidirectional: bool = False
    """whether each layer also runs over the sequence in reverse (Schuster and Paliwal, 1997)"""
    output: Literal["last", "mean", "every"] = "last"
    """input of the linear layer: the outputs after the last step, their mean over all steps, or
    those of every step, for a prediction at each"""
    embedding: int = 64
    """number of features of a token, if the sequence is text"""
    dropout: float = 0.0
    """probability of dropping an input feature of a layer, in training; not of numbers"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the products; parameters, states and outputs are float32"""

    def __post_init__(self) -> None:
        """Raises InputError for a size that no network has."""
        check_sizes(self, "layers", "width", "embedding")
        check_dropout(self.dropout)

    def build(self, outputs: int | None, *, vocab_size: int | None = None) -> Model:
        """The network, which reads the batch's ``length`` and its ``sequence`` or ``tokens``.

        Its outputs are float32 ``[batch, outputs]``, or ``[batch, time, outputs]`` with
        ``output="every"``.

        Args:
            outputs: how many numbers are predicted; None for one without an axis.
            vocab_size: number of token ids; None for sequences of numbers.
        """
        network = RnnNetwork(options=self, outputs=outputs, vocab_size=vocab_size)
        inputs = ("sequence" if vocab_size is None else "tokens", "length")
        return model(network, inputs=inputs, partition=PARTITION)


class RnnNetwork(nn.Module):
    """The network that :class:`Rnn` describes."""

    options: Rnn
    outputs: int | None
    vocab_size: int | None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time feature"] | Int[Array, "batch time"],
        lengths: Int[Array, "batch"],
        *,
        train: bool,
    ) -> Float[Array, "batch *time_output"]:
        """Predictions from sequences of these lengths; their padding does not matter."""
        options = self.options
        dropout = nn.Dropout(options.dropout, deterministic=not train)
        mask = padding_mask(lengths, x.shape[1])
        if self.vocab_size is not None:
            x = dropout(nn.Embed(self.vocab_size, options.embedding, name="embedding")(x))
        for number in range(options.layers):
            x, last = self._layer(x, mask, number)
            x, last = dropout(x), dropout(last)
        if options.output == "last":
            x = last
        elif options.output == "mean":
            x = masked_mean(x, mask)
        x = Dense(self.outputs or 1, name="head")(x)
        return x if self.outputs else x[..., 0]

    def _layer(
        self, x: Float[Array, "batch time feature"], mask: Bool[Array, "batch time"], number: int
    ) -> tuple[Float[Array, "batch time width"], Float[Array, "batch width"]]:
        """A layer's outputs at all steps and at the last, the directions concatenated.

        The last step of the reverse direction is the first one.
        """
        options = self.options
        outputs, states = [], []
        for name, reverse in (("forwards", False), ("backwards", True)):
            if reverse and not options.bidirectional:
                continue
            layer = Recurrent(
                options.cell,
                options.width,
                jnp.dtype(options.dtype),
                reverse=reverse,
                name=f"{name}_{number}",
            )
            output, state = layer(x, mask)
            outputs.append(output)
            states.append(state[0])
        return jnp.concatenate(outputs, axis=-1), jnp.concatenate(states, axis=-1)
