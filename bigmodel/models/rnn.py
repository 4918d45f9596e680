"""Recurrent network over sequences of numbers or of tokens (Elman, 1990)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int

from bigmodel.experiment import Model, Rules
from bigmodel.models.attention.lengths import masked_mean, present
from bigmodel.models.layers.recurrent import RECURRENT_PARTITION, CellName, Recurrent
from bigmodel.models.linen import model
from bigmodel.models.options import check_dropout, check_sizes

PARTITION: Rules = (
    *RECURRENT_PARTITION,
    (r"embedding/embedding$", P(None, "fsdp")),
    (r"head/kernel$", P("fsdp", None)),
    (r"head/bias$", P()),
)

Features = Float[Array, "batch time width"]


@dataclass(frozen=True)
class Rnn:
    """Recurrent layers one above the other, and a linear layer."""

    cell: CellName = "gru"
    """plain (Elman, 1990), lstm (Hochreiter and Schmidhuber, 1997), or gru (Cho et al., 2014)"""
    layers: int = 1
    """recurrent layers, each reading the outputs of the one before"""
    width: int = 128
    """units of each layer and direction"""
    bidirectional: bool = False
    """whether each layer also goes over the sequence from its end (Schuster and Paliwal, 1997)"""
    output: Literal["last", "mean", "every"] = "last"
    """what the linear layer reads: the outputs after the last step, their mean over all steps,
    or those of every step, each for a prediction of its own"""
    embedding: int = 64
    """features of a token, where the sequence is text"""
    dropout: float = 0.0
    """probability of dropping a feature of what a layer reads, in training; not of numbers"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the products; parameters, states and outputs are float32"""

    def __post_init__(self) -> None:
        """Raises InputError for a size that no network has."""
        check_sizes(self, "layers", "width", "embedding")
        check_dropout(self.dropout)

    def build(self, outputs: int | None, *, vocab_size: int | None = None) -> Model:
        """The network, which reads the batch's ``length`` and its ``sequence`` or ``tokens``.

        It gives float32 ``[batch, outputs]``, or ``[batch, time, outputs]`` with
        ``output="every"``.

        Args:
            outputs: numbers that are predicted; None for one without an axis of its own.
            vocab_size: number of token ids; None where it reads numbers.
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
        """Predictions from sequences of these lengths; what comes after does not matter."""
        options = self.options
        dropout = nn.Dropout(options.dropout, deterministic=not train)
        mask = present(lengths, x.shape[1])
        if self.vocab_size is not None:
            x = dropout(nn.Embed(self.vocab_size, options.embedding, name="embedding")(x))
        for number in range(options.layers):
            x, last = self._layer(x, mask, number)
            x, last = dropout(x), dropout(last)
        if options.output == "last":
            x = last
        elif options.output == "mean":
            x = masked_mean(x, mask)
        x = nn.Dense(self.outputs or 1, name="head")(x)
        return x if self.outputs else x[..., 0]

    def _layer(
        self, x: Features, mask: Bool[Array, "batch time"], number: int
    ) -> tuple[Features, Float[Array, "batch width"]]:
        """The outputs of a layer after every step and after the last, its directions side by side.

        The last step of the direction that begins at the end is the first one.
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
