"""Dropout whose rate is a variable, so that networks which differ in it are one program."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

NUMBERS = "numbers"
"""The collection of numbers that a model is made with and does not learn."""


class Dropout(nn.Module):
    """Sets entries to zero at random and scales up the others (Srivastava et al., 2014).

    The rate is kept in the collection ``numbers`` where the module's variables are made, and is
    a constant of the program inside of loops over layers, which hand on parameters alone. A
    rate of 0 is no dropout, and another program. Random numbers come from the stream
    ``dropout``.
    """

    rate: float
    deterministic: bool | None = None

    @nn.compact
    def __call__(self, x: Array, deterministic: bool | None = None) -> Array:
        """Entries of any array, dropped; as they are where ``deterministic``."""
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        if self.rate == 0:
            return x
        rate = jnp.float32(self.rate)
        if self.has_variable(NUMBERS, "rate") or self.is_mutable_collection(NUMBERS):
            rate = self.variable(NUMBERS, "rate", lambda: rate).value
        if deterministic:
            return x
        kept = 1 - rate
        mask = jax.random.bernoulli(self.make_rng("dropout"), kept, x.shape)
        return jnp.where(mask, x / kept.astype(x.dtype), jnp.zeros_like(x))
