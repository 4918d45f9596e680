"""An experiment that notes which rows each process makes, for ``test_own_rows.py``.

Run by ``launch.py run --processes 2`` with two devices each, in an empty folder.
"""

import dataclasses
import types
from pathlib import Path
from typing import Any

import jax
import linear
import numpy as np
from jax.sharding import Mesh

from bigmodel.experiment import WHOLE, Batch, Experiment
from bigmodel.processes.placing import placer, rows_held
from bigmodel.runtime.calls import placed
from bigmodel.runtime.entry import main
from bigmodel.runtime.settings import Run, Settings

MESHES = (
    ((0, 1, 2, 3), {"data": 4}),
    ((0, 2, 1, 3), {"data": 4}),
    ((0, 2, 1, 3), {"data": 2, "fsdp": 2}),
    ((0, 2, 1, 3), {"data": 2, "tensor": 2}),
    ((0, 1, 2, 3), {"data": 1, "sequence": 4}),
)
"""The devices in the order of a mesh, and its axes: a process may hold rows in several places, and
two processes the same rows."""


def noting(one: Experiment, name: str) -> Experiment:
    """The experiment, whose rows are noted in a file for each process."""

    def train(seed: int, step: int, rows: slice = WHOLE) -> Batch:
        with Path(f"{name}-{jax.process_index()}").open("a") as file:
            print(step, rows.start, rows.stop, file=file)
        return one.data.train(seed, step, rows)

    return linear.with_data(one, train=train)


def check_meshes(one: Experiment) -> None:
    """Stops the process where a batch or a stack of two is not what one process makes."""
    size = one.data.batch_size
    for number, (order, axes) in enumerate(MESHES):
        mesh = Mesh(np.array(jax.devices())[list(order)].reshape(*axes.values()), tuple(axes))
        held = rows_held(mesh, size)
        data = noting(one, f"mesh-{number}").data
        place = placer(mesh, one.partition, held)
        compiled: Any = types.SimpleNamespace(rows=held.rows, place=place)
        batch = placed(compiled, data, 3, range(5, 6))
        stack = placed(compiled, data, 3, range(6, 8), 3).batches
        steps = [one.data.train(3, step) for step in (6, 7, 7)]
        check_shards(batch, one.data.train(3, 5))
        check_shards(stack, {name: np.stack([each[name] for each in steps]) for name in batch})


def check_shards(batch: Batch, whole: Batch) -> None:
    """Stops the process where one of its devices does not have its part of a whole batch."""
    for name, array in batch.items():
        assert (array.shape, array.dtype) == (whole[name].shape, whole[name].dtype)
        for shard in array.addressable_shards:
            np.testing.assert_array_equal(shard.data, whole[name][shard.index])


def build(_: Settings) -> Experiment:
    one = linear.experiment()
    if jax.process_count() > 1:
        check_meshes(one)
    return noting(one, "run")


if __name__ == "__main__":
    run = Run(steps=6, eval_every=3, log_every=1)
    main(build, dataclasses.replace(Settings(), run=run))
