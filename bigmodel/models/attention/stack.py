"""A stack of equal blocks, whose parameters share arrays with a leading axis of layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, Key, PyTree, Rules
from bigmodel.models.attention.pipeline import join, pipelined, split
from bigmodel.partition import axis_size, gathered

Features = Float[Array, "batch time width"]

STACKED = "stacked"
"""The name of the shared arrays in a parameter's path."""

COPYING = (
    "sharding_constraint",
    "convert_element_type",
    "reshape",
    "transpose",
    "broadcast_in_dim",
)


class Layers(NamedTuple):
    """What differs by layer: parameters, keys of dropout, and the carried state."""

    params: PyTree
    keys: Key | None
    carried: PyTree


def stacked_partition(rules: Rules) -> Rules:
    """The rules of a block for a stack of such blocks, split over ``pipeline``."""
    return tuple((rf"{STACKED}/.*{pattern}", P("pipeline", *spec)) for pattern, spec in rules)


class Stack(nn.Module):
    """A loop over blocks, which compiles as fast for many as for few.

    ``block()`` is an unbound module, called as ``(x, *arguments, carried, train)``. It returns
    its output, and others. Its random numbers come from the stream ``dropout``.

    Each layer's parameters are gathered over ``fsdp`` when the loop reaches it, and again in the
    backward pass. The mesh axis ``pipeline`` splits the layers into stages, through which
    ``microbatches`` parts of the batch go. Dropout draws for each part separately, whatever the
    mesh, so that it does not depend on the mesh.
    """

    block: Callable[[], nn.Module]
    layers: int
    microbatches: int
    remat: bool
    partition: Rules

    @nn.compact
    def __call__(
        self, x: Features, *arguments: Any, carried: PyTree, train: bool
    ) -> tuple[Features, PyTree]:
        """The output of the last block, and the other outputs of all, stacked by layer.

        Args:
            x: Input of the first block.
            arguments: Further inputs of every block.
            carried: A state for each block: a tree with a leading axis of layers.
            train: Whether dropout is on.

        Raises:
            InputError: The microbatches do not divide the batch.
        """
        if carried is None and x.shape[0] % self.microbatches:
            raise InputError(
                f"--model.microbatches {self.microbatches} does not divide the batch of "
                f"{x.shape[0]}; use a divisor of it"
            )
        block = self.block()

        def init(key: Key) -> PyTree:
            def one(key: Key) -> PyTree:
                return block.init({"params": key}, x, *arguments, None, False)["params"]

            return jax.vmap(one)(jax.random.split(key, self.layers))

        def layer(x: Features, own: Layers) -> tuple[Features, PyTree]:
            params = gathered(own.params, self.partition)
            rngs = {} if own.keys is None else {"dropout": own.keys}
            x, *others = block.apply(
                {"params": params}, x, *arguments, own.carried, train, rngs=rngs
            )
            return x, tuple(others)

        if self.remat or axis_size("fsdp") > 1:
            policy = None if self.remat else _kept
            layer = jax.checkpoint(layer, policy=policy, prevent_cse=False)

        def run(x: Features, own: Layers, number: Int[Array, ""]) -> tuple[Features, PyTree]:
            if own.keys is not None:
                keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(own.keys, number)
                own = own._replace(keys=keys)
            return lax.scan(layer, x, own)

        random = train and self.has_rng("dropout")
        keys = jax.random.split(self.make_rng("dropout"), self.layers) if random else None
        own = Layers(self.param(STACKED, init), keys, carried)
        if carried is None and axis_size("pipeline") > 1:
            return pipelined(run, x, own, microbatches=self.microbatches)
        if not random or self.microbatches == 1:
            return run(x, own, jnp.zeros((), jnp.int32))
        numbers = jnp.arange(self.microbatches, dtype=jnp.int32)
        each = jax.vmap(run, in_axes=(0, None, 0), out_axes=(0, 1))
        x, others = each(split(x, self.microbatches), own, numbers)
        return join(x), jax.tree.map(jax.vmap(join), others)


def _kept(primitive: Any, *_: Any, **__: Any) -> bool:
    """Keeps all residuals of a layer but copies, above all those of gathered parameters."""
    return primitive.name not in COPYING
