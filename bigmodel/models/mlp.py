"""Multilayer perceptron over a vector of features (Rumelhart et al., 1986)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from bigmodel.experiment import Model, Rules
from bigmodel.models import linen
from bigmodel.models.layers.activation import ACTIVATIONS, Activation
from bigmodel.models.layers.norm import LayerNorm
from bigmodel.models.options import check_dropout, check_widths

PARTITION: Rules = (
    (r"dense_\d+/kernel$", P(None, "fsdp")),
    (r"(head|shortcut)/kernel$", P("fsdp", None)),
    (r"(bias|scale)$", P()),
)


@dataclass(frozen=True)
class Mlp:
    """Hidden layers, each a linear map, a norm, an activation and dropout, then a linear map."""

    widths: tuple[int, ...] = (128, 128)
    """units of each hidden layer; none for a linear model"""
    activation: Activation = "silu"
    """after each hidden layer"""
    norm: Literal["none", "layer"] = "none"
    """layer: layer normalization (Ba et al., 2016) before each activation"""
    residual: bool = False
    """whether a hidden layer that is as wide as its input adds it to what it gives"""
    shortcut: bool = False
    """whether a linear map of the features is added to the output (Cheng et al., 2016)"""
    dropout: float = 0.1
    """probability with which a hidden unit is dropped in training"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation; parameters and outputs are float32"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes and probabilities that no network has."""
        check_widths(self, least=0)
        check_dropout(self.dropout)

    def build(self, classes: int | None) -> Model:
        """The network: ``features`` to float32 logits ``[batch, class]``.

        Without classes it gives one number for each row, ``[batch]``.
        """
        return linen.model(Perceptron(self, classes), inputs="features", partition=PARTITION)


class Perceptron(nn.Module):
    """The network of the options."""

    options: Mlp
    classes: int | None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch feature"], *, train: bool
    ) -> Float[Array, "batch *class"]:
        """Features to outputs."""
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        dense = partial(nn.Dense, dtype=dtype)
        x = features = x.astype(dtype)
        outputs = 1 if self.classes is None else self.classes
        normed = options.norm == "layer"
        for n, width in enumerate(options.widths):
            # A bias before layer normalization would move all units; one after it is its own.
            y = dense(width, use_bias=not normed, name=f"dense_{n}")(x)
            if normed:
                y = LayerNorm(dtype, name=f"norm_{n}")(y)
            y = ACTIVATIONS[options.activation](y)
            y = nn.Dropout(options.dropout, deterministic=not train)(y)
            x = x + y if options.residual and x.shape == y.shape else y
        out = dense(outputs, name="head")(x)
        if options.shortcut:
            out = out + dense(outputs, use_bias=False, name="shortcut")(features)
        out = out.astype(jnp.float32)
        return out[:, 0] if self.classes is None else out
