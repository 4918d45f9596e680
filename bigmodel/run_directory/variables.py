"""Which arrays of a checkpoint are the variables that are evaluated.

``assets/variables.json`` says it for each run, so that they can be read without the optimizer's
moments beside them, and without the code that made the state.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bigmodel.experiment import Rules, State, Variables
from bigmodel.partition import fitting, spec_of
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.tree import named_leaves, nested

VARIABLES = "variables.json"


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


def read_variables(
    checkpoints: Checkpoints, step: int, description: bytes, *, mesh: Mesh | None = None
) -> Variables:
    """The variables of a checkpoint, nested, on the first device or split over a mesh.

    Raises:
        StorageError: the checkpoint cannot be read, or lacks one.
    """
    leaves = [Leaf(**leaf) for leaf in json.loads(description)]

    def sharding(leaf: Leaf, shape: tuple[int, ...]) -> jax.sharding.Sharding:
        if mesh is None:
            return jax.sharding.SingleDeviceSharding(jax.devices()[0])
        spec = tuple(tuple(names) if isinstance(names, list) else names for names in leaf.spec)
        return NamedSharding(mesh, fitting(spec, shape, mesh.shape))

    by_name = {leaf.saved: leaf for leaf in leaves}
    arrays = checkpoints.read(step, by_name, lambda name, shape: sharding(by_name[name], shape))
    return nested({leaf.path: arrays[leaf.saved] for leaf in leaves})
