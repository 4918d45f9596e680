"""Leaves of a pytree by path, the one spelling of a parameter's name everywhere.

A path reads ``block_0/attention/query/kernel``: decay patterns, partition rules, digests,
checkpoints and error messages all use it.
"""

from __future__ import annotations

from collections.abc import Callable
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


def map_named(function: Callable[[str, Any], Any], tree: PyTree) -> PyTree:
    """The tree with ``function(path, leaf)`` in the place of each leaf."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: function(path_of(path), leaf), tree)


def is_finite(leaf: jax.Array) -> jax.Array:
    """Whether an array has neither NaN nor infinity.

    On CPU its sum is the quickest way to see it. A sum that overflows, of entries beyond some
    1e30, counts as infinity too.
    """
    wide = leaf.dtype if leaf.dtype.itemsize >= 4 else jnp.float32
    return jnp.isfinite(jnp.sum(leaf, dtype=wide))


def all_finite(tree: PyTree) -> jax.Array:
    """Whether no leaf of a tree has NaN or infinity, as :func:`is_finite` sees it."""
    return jnp.all(jnp.stack([is_finite(leaf) for leaf in jax.tree.leaves(tree)]))
