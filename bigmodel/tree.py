"""Leaves of a pytree by path, the one spelling of a parameter's name everywhere.

A path reads ``block_0/attention/query/kernel``: decay patterns, partition rules, digests,
checkpoints and error messages all use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from bigmodel.experiment import PyTree


def path_of(key_path: Any) -> str:
    """The path of a leaf, from the key path that ``jax.tree_util`` gives."""
    return jax.tree_util.keystr(key_path, simple=True, separator="/")


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """All leaves by path, in the order of the tree."""
    return {path_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


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
