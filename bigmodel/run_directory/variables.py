"""Which arrays of a checkpoint are the variables that are evaluated.

``assets/variables.json`` says it for each run, so that they can be read without the optimizer's
moments beside them, and without the code that made the state.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bigmodel.errors import StorageError
from bigmodel.experiment import Rules, State, Variables
from bigmodel.partition import fitting, spec_of
from bigmodel.run_directory.checkpoints import reason_of
from bigmodel.tree import named_leaves, nested

VARIABLES = "variables.json"
GROUP = 16 << 20
"""Bytes that are read at once."""


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

    Beside them there is little more in memory at any time than the largest of them.

    Args:
        path: the folder of the checkpoint's step.
        description: the content of ``variables.json``.
        mesh: the devices, for other than the first alone.

    Raises:
        StorageError: the checkpoint cannot be read, or lacks one.
    """
    # Orbax warns of what is meant here: that a part of a checkpoint is read.
    import orbax.checkpoint as ocp  # which takes long, and no training needs it

    logging.getLogger("absl").setLevel(logging.CRITICAL)
    leaves = [Leaf(**leaf) for leaf in json.loads(description)]

    def sharding(leaf: Leaf, shape: tuple[int, ...]) -> jax.sharding.Sharding:
        if mesh is None:
            return jax.sharding.SingleDeviceSharding(jax.devices()[0])
        spec = tuple(tuple(names) if isinstance(names, list) else names for names in leaf.spec)
        return NamedSharding(mesh, fitting(spec, shape, mesh.shape))

    arrays: dict[str, Any] = {}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        try:
            saved = dict(reader.metadata(path).item_metadata.tree)
            if lacking := [leaf.saved for leaf in leaves if leaf.saved not in saved]:
                raise StorageError(f"cannot read checkpoint {path}: it has no {lacking[0]}")
            for some in _groups(leaves, {name: _bytes(leaf) for name, leaf in saved.items()}):
                wanted = {
                    leaf.saved: jax.ShapeDtypeStruct(
                        saved[leaf.saved].shape,
                        saved[leaf.saved].dtype,
                        sharding=sharding(leaf, tuple(saved[leaf.saved].shape)),
                    )
                    for leaf in some
                }
                how = ocp.checkpoint_utils.construct_restore_args(wanted)
                part = ocp.args.PyTreeRestore(item=wanted, restore_args=how, partial_restore=True)
                arrays |= reader.restore(path, args=part)
        except StorageError:
            raise
        except Exception as error:
            raise StorageError(reason_of(path, error, doing="read")) from error
    return nested({leaf.path: arrays[leaf.saved] for leaf in leaves})


def _bytes(saved: Any) -> int:
    return math.prod(saved.shape) * np.dtype(saved.dtype).itemsize


def _groups(leaves: Sequence[Leaf], sizes: Mapping[str, int]) -> Iterator[list[Leaf]]:
    """The leaves in groups of a limited size, or of one that is larger."""
    group: list[Leaf] = []
    for leaf in leaves:
        if group and sum(sizes[each.saved] for each in [*group, leaf]) > GROUP:
            yield group
            group = []
        group.append(leaf)
    if group:
        yield group
