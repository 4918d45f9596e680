"""Leaves of a pytree by path, the one spelling of a parameter's name everywhere.

A path reads ``block_0/attention/query/kernel``: decay patterns, partition rules, digests,
checkpoints and error messages all use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from bigmodel.experiment import PyTree

GIVEN = "given"
"""The part of a state that an experiment was given, such as a teacher: its ``init`` makes it at
every start, and no checkpoint has it."""

REPEATING = ("stacked", "experts", "members")
"""Components of a path by which a model declares that its parameters have a leading axis over
which they are repeated: one for each layer of a stack, expert, or member of an ensemble."""


def path_of(key_path: Any) -> str:
    """The path of a leaf, from the key path that ``jax.tree_util`` gives."""
    return jax.tree_util.keystr(key_path, simple=True, separator="/")


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """All leaves by path, in the order of the tree."""
    return {path_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def saved_leaves(state: PyTree) -> dict[str, Any]:
    """The leaves of a state by path that a checkpoint has: all but those that were given."""
    leaves = named_leaves(state).items()
    return {path: leaf for path, leaf in leaves if not path.startswith(f"{GIVEN}/")}


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves by path as a tree of mappings."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *above, last = path.split("/")
        inner = tree
        for name in above:
            inner = inner.setdefault(name, {})
        inner[last] = leaf
    return tree


def map_named(function: Callable[[str, Any], Any], tree: PyTree) -> PyTree:
    """The tree with ``function(path, leaf)`` in the place of each leaf."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: function(path_of(path), leaf), tree)


def repetitions(path: str) -> int:
    """How many leading axes of a parameter only repeat it: over layers, experts or members."""
    return sum(name in REPEATING for name in path.split("/"))


def dimensions(path: str, parameter: Any) -> int:
    """The dimensions of a parameter: its axes but for those that only repeat it."""
    return parameter.ndim - repetitions(path)


def widened(tree: PyTree) -> PyTree:
    """The tree with its bfloat16 leaves in float32, the type that everything is computed from."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf, tree
    )


def is_finite(leaf: jax.Array, *, leading: int = 0) -> jax.Array:
    """Whether the entries beyond so many leading axes are neither NaN nor infinite.

    On CPU their sum is the quickest way to see it. A sum that overflows, of entries beyond some
    1e30, counts as infinite too.
    """
    wide = leaf.dtype if leaf.dtype.itemsize >= 4 else jnp.float32
    return jnp.isfinite(jnp.sum(leaf, axis=tuple(range(leading, leaf.ndim)), dtype=wide))


def which_finite(leaves: Sequence[jax.Array], *, leading: int = 0) -> jax.Array:
    """:func:`is_finite` of each leaf, on the last axis, for the price of their norm.

    Leaves whose norm is finite are finite, and where the norm is wanted anyway, as that of
    gradients, the compiler has it once. Each leaf is looked at only where it is not, for which
    large squares suffice. On a GPU the host would wait at such a branch, so there the sums are
    taken in the pass of the squares.
    """

    def look(leaves: Sequence[jax.Array]) -> jax.Array:
        return jnp.stack([is_finite(leaf, leading=leading) for leaf in leaves], axis=-1)

    def branch(leaves: Sequence[jax.Array]) -> jax.Array:
        squares = [
            jnp.sum(leaf * leaf, axis=tuple(range(leading, leaf.ndim))).astype(jnp.float32)
            for leaf in leaves
        ]
        whole = jnp.ones((*squares[0].shape, len(leaves)), bool)
        finite = jnp.all(jnp.isfinite(sum(squares)))
        return jax.lax.cond(finite, lambda _: whole, look, leaves)

    return jax.lax.platform_dependent(list(leaves), cuda=look, rocm=look, default=branch)
