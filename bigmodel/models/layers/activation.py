"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import flax.linen as nn
from jaxtyping import Array

Activation: TypeAlias = Literal["relu", "silu", "tanh"]

ACTIVATIONS: Mapping[Activation, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "silu": nn.silu,
    "tanh": nn.tanh,
}
