"""Recommenders, which predict a user's rating of an item.

Matrix factorization (Koren et al., 2009), and two towers (Covington et al., 2016), networks that
map users and items to vectors of one space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, Model, Rules
from bigmodel.models.linen import model
from bigmodel.models.options import check_dropout, check_sizes, check_widths

PARTITION: Rules = (
    (r"(user|item)_bias/embedding$", P("fsdp", None)),
    (r"embedding$", P(None, "fsdp")),
    (r"tags/kernel$", P(None, "fsdp")),
    (r"kernel$", P("fsdp", None)),
    (r"bias$", P()),
)


@dataclass(frozen=True)
class Recommender:
    """Mean, biases of user and item, and the product of a vector of each."""

    name: Literal["matrix", "two_tower"] = "matrix"
    """matrix: the vectors are embeddings; two_tower: networks compute them from the embeddings
    and, for items, from tags"""
    width: int = 32
    """number of features of a vector"""
    hidden: tuple[int, ...] = (64,)
    """two_tower: widths of each tower's hidden layers"""
    dropout: float = 0.0
    """probability of dropping a feature of an embedding, in training"""
    scale: float = 0.1
    """standard deviation of the initial embeddings"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the vectors; parameters, biases and ratings are float32"""

    def __post_init__(self) -> None:
        """Raises InputError for sizes that make no network."""
        check_sizes(self, "width")
        check_widths(self, "hidden", least=0)
        check_dropout(self.dropout)
        if not self.scale > 0:
            raise InputError(f"--model.scale {self.scale} must be above 0")

    def build(self, *, users: int, items: int, mean: float) -> Model:
        """The network, which reads ``user``, ``item`` and ``tags`` and gives ratings.

        Users and items whose index is beyond the tables of ``users`` and ``items`` rows are
        unknown: their embeddings and biases are zero.
        """
        network = RatingNetwork(options=self, users=users, items=items, mean=mean)
        return model(network, inputs=("user", "item", "tags"), partition=PARTITION)


class Table(nn.Module):
    """An embedding of the indices below ``rows``; zeros for those beyond."""

    rows: int
    width: int
    embedding_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, indices: Int[Array, "batch"]) -> Float[Array, "batch width"]:
        """The vectors of indices."""
        table = self.param("embedding", self.embedding_init, (self.rows, self.width))
        return jnp.take(table, indices, axis=0, mode="fill", fill_value=0.0)


class Tower(nn.Module):
    """Hidden layers without biases, so that zeros stay zeros."""

    hidden: tuple[int, ...]
    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch width"]:
        """Features of users or items to their vectors."""
        for n, width in enumerate(self.hidden):
            dense = nn.Dense(width, use_bias=False, dtype=self.dtype, name=f"hidden_{n}")
            x = nn.silu(dense(x))
        return nn.Dense(self.width, use_bias=False, dtype=self.dtype, name="output")(x)


class RatingNetwork(nn.Module):
    """The network that :class:`Recommender` describes."""

    options: Recommender
    users: int
    items: int
    mean: float

    @nn.compact
    def __call__(
        self,
        user: Int[Array, "batch"],
        item: Int[Array, "batch"],
        tags: Float[Array, "batch tag"],
        *,
        train: bool,
    ) -> Float[Array, "batch"]:
        """The predicted rating of each pair."""
        options, dtype = self.options, jnp.dtype(self.options.dtype)
        mean = self.param("bias", nn.initializers.constant(self.mean), (), jnp.float32)
        user_bias = Table(self.users, 1, nn.initializers.zeros, name="user_bias")(user)
        item_bias = Table(self.items, 1, nn.initializers.zeros, name="item_bias")(item)
        normal = nn.initializers.normal(options.scale)
        dropout = nn.Dropout(options.dropout, deterministic=not train)
        of_user = Table(self.users, options.width, normal, name="user")(user)
        of_item = Table(self.items, options.width, normal, name="item")(item)
        of_user, of_item = dropout(of_user.astype(dtype)), dropout(of_item.astype(dtype))
        if options.name == "two_tower":
            if tags.shape[-1]:
                dense = nn.Dense(options.width, use_bias=False, dtype=dtype, name="tags")
                of_item = of_item + dense(tags)
            of_user = Tower(options.hidden, options.width, dtype, name="user_tower")(of_user)
            of_item = Tower(options.hidden, options.width, dtype, name="item_tower")(of_item)
        biases = jnp.squeeze(user_bias + item_bias, axis=-1)
        products = of_user.astype(jnp.float32) * of_item.astype(jnp.float32)
        return mean + biases + jnp.sum(products, axis=-1)
