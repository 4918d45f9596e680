"""Which arrays of a checkpoint are the variables that are evaluated.

``assets/variables.json`` says it for each run, so that they can be read without the optimizer's
moments beside them, and without the code that made the state.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bigmodel.errors import StorageError
from bigmodel.experiment import Rules, State, Variables
from bigmodel.frozen import FROZEN, is_frozen
from bigmodel.partition import fitting, spec_of
from bigmodel.run_directory.leaves import reason_of
from bigmodel.tree import named_leaves, nested

if TYPE_CHECKING:
    import tensorstore

VARIABLES = "variables.json"
ALIGNMENT = 64
"""Bytes, of the memory of JAX's arrays on CPUs."""


class Leaf(NamedTuple):
    """An array of the variables: its path among them, and in a checkpoint, and what splits it."""

    path: str
    saved: str
    spec: tuple[Any, ...]


def describe(state: State, rules: Rules) -> bytes:
    """The content of ``variables.json`` for a state, or for its shapes."""
    saved = named_leaves(state)
    named = jax.tree.unflatten(jax.tree.structure(state), list(saved))
    leaves = []
    for path, name in named_leaves(named.evaluated).items():
        spec = spec_of(rules, path, len(saved[name].shape)) or PartitionSpec()
        leaves.append(Leaf(path, name, tuple(spec))._asdict())
    return json.dumps(leaves, indent=1).encode()


def read_variables(path: Path, description: bytes, *, mesh: Mesh | None = None) -> Variables:
    """The variables of a checkpoint, nested, on the first device or split over a mesh.

    They are read chunk by chunk into their own memory: Orbax would have each array twice or more.

    Args:
        path: the folder of the checkpoint's step.
        description: the content of ``variables.json``.
        mesh: the devices, for other than the first alone.

    Raises:
        StorageError: the checkpoint cannot be read, or lacks one.
    """
    import tensorstore  # which no training needs

    # What is read is not read again.
    context = tensorstore.Context({"cache_pool": {"total_bytes_limit": 0}})
    arrays = {}
    for leaf in (Leaf(**each) for each in json.loads(description)):
        where = path.with_name(FROZEN) if is_frozen(leaf.saved) else path
        folder = {"driver": "file", "path": f"{where.resolve()}/"}
        place = {"driver": "ocdbt", "base": folder, "path": f"{leaf.saved}/"}
        specification = {"driver": "zarr", "kvstore": place}
        try:
            stored = tensorstore.open(specification, open=True, read=True, context=context).result()
            arrays[leaf.path] = _placed(stored, leaf, mesh)
        except Exception as error:
            raise StorageError(reason_of(path, error, doing=f"read {leaf.saved} of")) from error
    return nested(arrays)


def _placed(stored: tensorstore.TensorStore, leaf: Leaf, mesh: Mesh | None) -> jax.Array:
    if mesh is None:
        device = jax.local_devices()[0]
        return jax.device_put(_read(stored, (slice(None),) * stored.rank), device, may_alias=True)
    spec = tuple(tuple(names) if isinstance(names, list) else names for names in leaf.spec)
    sharding = NamedSharding(mesh, fitting(spec, stored.shape, mesh.shape))
    return jax.make_array_from_callback(
        stored.shape, sharding, lambda part: _read(stored, part or ())
    )


def _read(stored: tensorstore.TensorStore, part: Sequence[slice]) -> np.ndarray:
    """A part of an array, in memory that JAX's CPU devices take as it is."""
    pieces, shape = [], []
    chunk_shape = stored.chunk_layout.read_chunk.shape or ()
    for each, size, step in zip(part, stored.shape, chunk_shape, strict=True):
        start, stop, _ = each.indices(size)
        step = step or 1
        edges = [start, *range(start - start % step + step, stop, step), stop]
        pieces.append([(slice(*edge), start) for edge in itertools.pairwise(edges)])
        shape.append(stop - start)
    dtype = stored.dtype.numpy_dtype
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    array = memory[begin : begin + size].view(dtype).reshape(shape)
    for chunk in itertools.product(*pieces):
        here = tuple(slice(piece.start - start, piece.stop - start) for piece, start in chunk)
        array[here] = stored[tuple(piece for piece, _ in chunk)].read().result()
    return array
