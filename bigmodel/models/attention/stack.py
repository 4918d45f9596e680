"""The blocks of a transformer: one by one, or as a stack that is looped over."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from bigmodel.experiment import InputError, Key, PyTree, Rules
from bigmodel.models.attention.pipeline import join, pipelined, split
from bigmodel.partition import STACKED, axis_size, unsharded

Features = Float[Array, "batch time width"]

STACKED_FROM = 24
"""The number of layers from which blocks are a stack unless an option says otherwise."""


class Layers(NamedTuple):
    """What differs by layer: parameters, keys of dropout, and the carried state."""

    params: PyTree
    keys: Key | None
    carried: PyTree


def is_stacked(options: Any) -> bool:
    """Whether the blocks of a network with these options are a stack."""
    scan: bool | None = options.scan
    return options.layers >= STACKED_FROM if scan is None else scan


def stacked_partition(rules: Rules, *, layers: str | None = None) -> Rules:
    """The rules of a block for a stack of such blocks, whose layers a mesh axis may split."""
    return tuple((rf"(^|/){STACKED}/.*{pattern}", P(layers, *spec)) for pattern, spec in rules)


class Stack(nn.Module):
    """A loop over blocks, which compiles as fast for many as for few.

    ``block()`` is an unbound module of those that :func:`run_blocks` describes. Its random numbers
    come from the stream ``dropout``.

    Each layer's parameters are gathered over ``fsdp`` when the loop reaches it, and again in the
    backward pass, which computes all but products with parameters again. The mesh axis
    ``pipeline`` splits the layers into stages, through which ``microbatches`` parts of the batch
    go. Dropout draws for each part separately, whatever the mesh, so that it does not depend on
    the mesh.
    """

    block: Callable[[], nn.Module]
    layers: int
    remat: bool
    partition: Rules
    microbatches: int = 1

    @nn.compact
    def __call__(
        self,
        x: Features,
        *arguments: Any,
        carried: PyTree,
        train: bool,
        method: str = "__call__",
    ) -> tuple[Features, PyTree, tuple[PyTree, ...]]:
        """What :func:`run_blocks` returns.

        Raises:
            InputError: The microbatches do not divide the batch, or the parameters are not those
                of a stack.
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
            params = unsharded({"params": own.params}, self.partition)
            rngs = {} if own.keys is None else {"dropout": own.keys}
            given = (x, *arguments, own.carried, train)
            x, *others = block.apply(params, *given, rngs=rngs, method=method)
            return x, tuple(others)

        policy = None if self.remat else _kept
        layer = jax.checkpoint(layer, policy=policy, prevent_cse=False)

        def run(x: Features, own: Layers, number: Int[Array, ""]) -> tuple[Features, PyTree]:
            if own.keys is not None:
                keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(own.keys, number)
                own = own._replace(keys=keys)
            return lax.scan(layer, x, own)

        random = train and self.has_rng("dropout")
        keys = jax.random.split(self.make_rng("dropout"), self.layers) if random else None
        # Not self.param, which would initialise a block on the arguments of any method.
        first = self.is_initializing()
        params = self.param(STACKED, init) if first else self.get_variable("params", STACKED)
        if params is None:
            raise InputError(
                "the parameters are those of blocks one by one, not of a stack: add --model.no-scan"
            )
        own = Layers(params, keys, carried)
        if carried is None and axis_size("pipeline") > 1:
            x, others = pipelined(run, x, own, microbatches=self.microbatches)
        elif not random or self.microbatches == 1:
            x, others = run(x, own, jnp.zeros((), jnp.int32))
        else:
            numbers = jnp.arange(self.microbatches, dtype=jnp.int32)
            each = jax.vmap(run, in_axes=(0, None, 0), out_axes=(0, 1))
            x, others = each(split(x, self.microbatches), own, numbers)
            x, others = join(x), jax.tree.map(jax.vmap(join), others)
        return x, others[0], others[1:]

    def each(self, method: str, *arguments: Any) -> PyTree:
        """What a method of each block returns, stacked by layer."""
        block = self.block()

        def one(own: PyTree) -> PyTree:
            params = unsharded({"params": own}, self.partition)
            return block.apply(params, *arguments, method=method)

        return lax.map(one, self.get_variable("params", STACKED))


def _kept(primitive: Any, *_: Any, **options: Any) -> bool:
    """Keeps the products with parameters for the backward pass, and computes the rest again.

    The scores of attention, whose products have two axes of batch, are large, and all else is
    cheap, but for fused kernels: gathered parameters are gathered again. A loop cannot fuse what
    it keeps into what uses it: with all residuals kept, a step of GPT 12x128 took half more time
    on CPU.
    """
    if primitive is not lax.dot_general_p:
        return primitive.name in ("pallas_call", "dot_product_attention_fwd_wrapper")
    (_, (batch, _)) = options["dimension_numbers"]
    return len(batch) < 2


Blocks: TypeAlias = Stack | Sequence[nn.Module]
"""The blocks of a network, one by one or as a stack."""


def make_blocks(
    kind: type[nn.Module],
    options: Any,
    *fields: Any,
    partition: Rules,
    microbatches: int = 1,
    name: str | None = None,
) -> Blocks:
    """The blocks ``kind(options, *fields)`` of a network.

    Args:
        kind: A module of those that :func:`run_blocks` describes.
        options: Of the network, among them ``layers``, ``remat`` and ``scan``.
        fields: What else a block is made of.
        partition: The rules for the parameters of a block.
        microbatches: See :class:`Stack`.
        name: For a caller that does not assign them in its ``setup``: ``name_0``, and the others.
    """
    if is_stacked(options):
        block = partial(kind, options, *fields, parent=None)
        return Stack(block, options.layers, options.remat, partition, microbatches, name=name)
    if options.remat:
        train = list(inspect.signature(kind.__call__).parameters).index("train")
        kind = nn.remat(kind, static_argnums=(train,))
    names = [name and f"{name}_{i}" for i in range(options.layers)]
    return [kind(options, *fields, name=one) for one in names]


def run_blocks(
    blocks: Blocks,
    x: Features,
    *arguments: Any,
    train: bool,
    carried: PyTree = None,
    method: str = "__call__",
) -> tuple[Features, PyTree, tuple[PyTree, ...]]:
    """The output of the last block, the states of all, and the other outputs of all.

    A block is called as ``(x, *arguments, carried, train)`` and returns its output, its state
    after that, and others.

    Args:
        blocks: The blocks.
        x: Input of the first block.
        arguments: Further inputs of every block.
        train: Whether dropout is on.
        carried: A state for each block: a sequence, or of a stack a tree whose arrays have a
            leading axis of layers; the states after it are alike. None if there are none.
        method: The method that is called instead.

    Returns:
        The last two are stacked by layer, but for the states of blocks one by one.
    """
    if isinstance(blocks, Stack):
        return blocks(x, *arguments, carried=carried, train=train, method=method)
    after, found = [], []
    for block, own in zip(blocks, carried or (None,) * len(blocks), strict=True):
        x, state, *others = getattr(block, method)(x, *arguments, own, train)
        after.append(state)
        found.append(tuple(others))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)
    return x, None if carried is None else tuple(after), stacked


def each_block(blocks: Blocks, method: str, *arguments: Any) -> PyTree:
    """What a method of each block returns: a tuple, or of a stack one tree, stacked by layer."""
    if isinstance(blocks, Stack):
        return blocks.each(method, *arguments)
    return tuple(getattr(block, method)(*arguments) for block in blocks)
