"""Convolutional network over sequences (Waibel et al., 1989; Wang et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Model, Rules
from bigmodel.models.attention.masks import masked_mean, padding_mask
from bigmodel.models.layers.norm import LayerNorm
from bigmodel.models.linen import model
from bigmodel.models.options import check_dropout, check_sizes, check_widths

PARTITION: Rules = (
    (r"conv_\d+/kernel$", P(None, None, "fsdp")),
    (r"head/kernel$", P("fsdp", None)),
    (r"(scale|bias)$", P()),
)


@dataclass(frozen=True)
class ConvNet1d:
    """A stack of convolutions over time, the mean over all steps, and a linear layer."""

    widths: tuple[int, ...] = (64, 64, 64)
    """channels of each convolution"""
    size: int = 5
    """number of steps that a kernel spans"""
    dropout: float = 0.1
    """probability with which a channel of a step is dropped after each convolution, in training"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the convolutions; parameters and logits are float32"""

    def __post_init__(self) -> None:
        """Raises InputError for a size that no network has."""
        check_widths(self)
        check_sizes(self, "size")
        check_dropout(self.dropout)

    def build(self, classes: int) -> Model:
        """The network: the batch's ``sequence`` and ``length`` to float32 ``[batch, class]``."""
        network = Cnn1d(options=self, classes=classes)
        return model(network, inputs=("sequence", "length"), partition=PARTITION)


class Cnn1d(nn.Module):
    """The network that :class:`ConvNet1d` describes."""

    options: ConvNet1d
    classes: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time channel"], lengths: Int[Array, "batch"], *, train: bool
    ) -> Float[Array, "batch class"]:
        """Logits of sequences of these lengths; their padding does not matter."""
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        mask = padding_mask(lengths, x.shape[1])
        dropout = nn.Dropout(options.dropout, deterministic=not train)
        for number, width in enumerate(options.widths):
            # Zero padding after the end, as the convolution itself has it before the start.
            x = jnp.where(mask[..., None], x, 0)
            conv = nn.Conv(
                width, (options.size,), use_bias=False, dtype=dtype, name=f"conv_{number}"
            )
            x = LayerNorm(jnp.dtype(jnp.float32), name=f"norm_{number}")(conv(x))
            x = dropout(nn.silu(x))
        return nn.Dense(self.classes, name="head")(masked_mean(x, mask))
