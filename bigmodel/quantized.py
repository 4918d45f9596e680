"""Parameters of eight or four bits: integers, and a scale for each channel.

A kernel ``w`` is kept as ``q = round(w / s)`` with ``s = max |w| / most`` over all that makes one
output channel, or over one row of an embedding; ``most`` is 127 of eight bits and 7 of four. Zeros
stay zeros, for it is symmetric (Jacob et al., 2018; Krishnamoorthi, 2018). In the place of the
array stands a mapping of ``int8``, or of ``int4`` with two integers in a byte, and ``scale``.

A layer may read inputs of eight bits too. The kernel's mapping then has ``inputs``, the lowest and
the highest of them, which contain 0: between them are 255 equal steps, one of which ends at 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from bigmodel.experiment import Array, PyTree, Variables
from bigmodel.tree import dimensions, map_named, named_leaves, path_of, repetitions

Bits: TypeAlias = Literal["int8", "int4"]
MOST = {"int8": 127, "int4": 7}
"""The largest integer of a type; the smallest is its negative."""
SCALE, INPUTS = "scale", "inputs"
STEPS = 255
"""Steps from the lowest input to the highest."""


def becomes_smaller(path: str, leaf: Any, keep: Sequence[str] = ()) -> bool:
    """Whether a parameter is one of two dimensions or more that few bits and scales are less than.

    One that a pattern of ``keep`` finds is not.
    """
    if dimensions(path, leaf) < 2 or any(re.search(pattern, path) for pattern in keep):
        return False
    repeated, channel = repetitions(path), _channel(path, leaf.ndim)
    channels = math.prod(leaf.shape[:repeated]) * leaf.shape[channel]
    return jnp.issubdtype(leaf.dtype, jnp.floating) and 4 * channels < 3 * leaf.size


def on_grid(path: str, leaf: Array, bits: Bits) -> tuple[Array, Array]:
    """A kernel as whole numbers and the scale of each channel, both float32."""
    leaf = leaf.astype(jnp.float32)
    channel = _channel(path, leaf.ndim)
    axes = tuple(axis for axis in range(repetitions(path), leaf.ndim) if axis != channel)
    largest = jnp.max(jnp.abs(leaf), axis=axes, keepdims=True)
    scale = jnp.where(largest > 0, largest, 1.0) / MOST[bits]
    return jnp.round(leaf / scale), scale


def _channel(path: str, axes: int) -> int:
    """The axis of the outputs; of an embedding that of its rows."""
    return repetitions(path) if path.endswith("embedding") else axes - 1


def quantized(variables: Variables, bits: Bits, *, keep: Sequence[str] = ()) -> Variables:
    """The variables, whose kernels and embeddings are of few bits.

    Args:
        variables: Those of a model, merged.
        bits: The type.
        keep: Path patterns of the parameters that stay as they are. So does what would not
            become smaller.
    """

    def one(path: str, leaf: Array) -> Any:
        if not becomes_smaller(path, leaf, keep):
            return leaf
        whole, scale = on_grid(path, leaf, bits)
        if bits == "int8":
            return {bits: whole.astype(jnp.int8), SCALE: scale}
        return {bits: _packed(whole.astype(jnp.int8), _channel(path, leaf.ndim)), SCALE: scale}

    return {**variables, "params": map_named(one, variables["params"])}


def is_stored(node: Any) -> bool:
    """Whether a node of a tree stands for a parameter of few bits."""
    return isinstance(node, dict) and SCALE in node and bool(MOST.keys() & node.keys())


def restored(variables: PyTree) -> PyTree:
    """The variables as the model itself has them: those of few bits as float32.

    What has none comes back as it is.
    """

    def one(key_path: Any, node: Any) -> Any:
        if not is_stored(node):
            return node
        scale = node[SCALE]
        if "int8" in node:
            return node["int8"].astype(jnp.float32) * scale
        channel = _channel(path_of(key_path), scale.ndim)
        return _unpacked(node["int4"], channel, scale.shape[channel]).astype(jnp.float32) * scale

    return jax.tree_util.tree_map_with_path(one, variables, is_leaf=is_stored)


def _packed(whole: Array, axis: int) -> Array:
    """Integers from -7 to 7, those of channels 2i and 2i + 1 in the halves of a byte."""
    shifted = (whole + 8).astype(jnp.uint8)
    if shifted.shape[axis] % 2:
        filling = [(0, int(number == axis)) for number in range(shifted.ndim)]
        shifted = jnp.pad(shifted, filling)
    first, second = (
        lax.slice_in_dim(shifted, start, None, stride=2, axis=axis) for start in range(2)
    )
    return first + 16 * second


def _unpacked(packed: Array, axis: int, channels: int) -> Array:
    """What was packed, without what an odd number of channels was filled up with."""
    # By operations that every format of an export has, and not by bits.
    wide = packed.astype(jnp.int32)
    high = lax.div(wide, jnp.int32(16))
    both = jnp.stack([wide - 16 * high, high], axis=axis + 1) - 8
    shape = (*packed.shape[:axis], 2 * packed.shape[axis], *packed.shape[axis + 1 :])
    return lax.slice_in_dim(both.reshape(shape), 0, channels, axis=axis)


def input_ranges(variables: Variables) -> dict[str, Array]:
    """The lowest and the highest input of layers by their paths, where these are of eight bits."""
    suffix = f"/{INPUTS}"
    found = named_leaves(variables.get("params", {}))
    return {
        path.removesuffix(suffix).rpartition("/")[0]: leaf
        for path, leaf in found.items()
        if path.endswith(suffix)
    }


def rounded_inputs(x: Array, ends: Array) -> Array:
    """Inputs of a layer at the nearest of the steps between two ends, which contain 0."""
    low, high = ends[0], ends[1]
    step = jnp.maximum(high - low, 1e-12) / STEPS
    zero = jnp.round(-low / step)
    whole = jnp.clip(jnp.round(x.astype(jnp.float32) / step) + zero, 0, STEPS)
    return ((whole - zero) * step).astype(x.dtype)
