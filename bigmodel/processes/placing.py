"""Arrays of the host on the devices: each process has its rows of a batch, or all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bigmodel.experiment import Batch, PyTree, Rules
from bigmodel.partition import EXAMPLES
from bigmodel.sharding.mesh import batch_shardings

SMALL = 1 << 18
"""Bytes of a batch that is handed over in a call rather than by a transfer."""


class Held(NamedTuple):
    """Rows that a process has of arrays with more: rising slices of ``range(size)``.

    They follow each other on the ``axis`` of its own arrays.
    """

    rows: tuple[slice, ...]
    size: int
    axis: int = 0

    def whole(self, array: np.ndarray) -> jax.ShapeDtypeStruct:
        """The shape and dtype of the array that this one is a part of."""
        shape = array.shape
        shape = (*shape[: self.axis], self.size, *shape[self.axis + 1 :])
        return jax.ShapeDtypeStruct(shape, array.dtype)

    def local(self, index: tuple[slice, ...]) -> tuple[slice, ...]:
        """Where the process has what is at an index of the whole array: within one of the rows."""
        start, stop, _ = index[self.axis].indices(self.size)
        before = (min(start, own.stop) - own.start for own in self.rows if own.start < start)
        at = sum(before)
        return (*index[: self.axis], slice(at, at + stop - start), *index[self.axis + 1 :])


def rows_held(mesh: Mesh, examples: int) -> Held:
    """The rows of a batch that the devices of this process hold, in slices as few as can be."""
    if jax.process_count() == 1:
        return Held((slice(0, examples),), examples)
    spread = tuple(axis for axis in EXAMPLES if axis in mesh.shape)
    sharding = NamedSharding(mesh, PartitionSpec(spread))
    parts = sharding.addressable_devices_indices_map((examples,)).values()
    bounds = sorted({index[0].indices(examples)[:2] for index in parts if index})
    starts, stops = ({bound[end] for bound in bounds} for end in (0, 1))
    firsts, lasts = sorted(starts - stops), sorted(stops - starts)
    return Held(tuple(map(slice, firsts, lasts)), examples)


def placer(mesh: Mesh, rules: Rules, held: Held) -> Callable[..., Batch]:
    """What lays batches out over a mesh: ``place(batch, own=False, stacked=False)``.

    The batch is whole, or where it is ``own`` the rows that are held. Stacked are batches of
    several steps, on the first axis.
    """
    placed: dict[Any, Callable[[Batch], Batch]] = {}

    def place(batch: Batch, *, own: bool = False, stacked: bool = False) -> Batch:
        leaves, structure = jax.tree.flatten(batch)
        shape = (own, stacked, structure, *(leaf.shape for leaf in leaves))
        if shape not in placed:
            part = held._replace(axis=int(stacked)) if own and jax.process_count() > 1 else None
            whole = jax.tree.map(part.whole, batch) if part else batch
            if stacked:
                one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), whole)
                places = jax.tree.map(on_stack, batch_shardings(mesh, rules, one))
            else:
                places = batch_shardings(mesh, rules, whole)
            placed[shape] = placing(batch, places, part)
        return placed[shape](batch)

    return place


def placing(batch: PyTree, shardings: PyTree, held: Held | None) -> Callable[[PyTree], PyTree]:
    """What places batches that are like this one, as :func:`place_batch` does.

    A small one passes through a compiled identity quicker than through ``jax.device_put``, a large
    one does not.
    """
    sizes = [leaf.nbytes for leaf in jax.tree.leaves(batch)]
    one = all(sharding.num_devices == 1 for sharding in jax.tree.leaves(shardings))
    if one and sum(sizes) <= SMALL:
        return jax.jit(lambda same: same, in_shardings=(shardings,), out_shardings=shardings)
    return lambda batch: place_batch(batch, shardings, held)


def place_batch(batch: PyTree, shardings: PyTree, held: Held | None = None) -> PyTree:
    """Global arrays on the devices, of which each process has the rows that are held, or all."""
    if jax.process_count() == 1:
        return jax.device_put(batch, shardings)

    def place(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
        shape = held.whole(array).shape if held else array.shape
        return jax.make_array_from_callback(
            shape, sharding, lambda index: array[held.local(index) if held and index else index]
        )

    return jax.tree.map(place, batch, shardings)


def place_scalar(value: Any, sharding: NamedSharding) -> jax.Array:
    """A value that every process has, or a random key, on all devices."""
    if jax.process_count() == 1:
        return jax.device_put(value, sharding)
    return jax.jit(lambda same: same, out_shardings=sharding)(value)


def on_stack(one: NamedSharding) -> NamedSharding:
    """Where a stack of arrays is that lie so each by itself."""
    return NamedSharding(one.mesh, PartitionSpec(None, *one.spec))
