"""A run directory that no training wrote."""

from __future__ import annotations

import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from bigmodel.errors import StorageError, naming
from bigmodel.experiment import Variables
from bigmodel.files import write_atomically, write_json
from bigmodel.inference.trained import Trained
from bigmodel.output import warn
from bigmodel.quantized import MOST, restored
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.directory import ASSETS, CONFIG, MANIFEST, METRICS, SUMMARY
from bigmodel.run_directory.leaves import reason_of
from bigmodel.run_directory.sums import SUMS, params_digest, write_sums
from bigmodel.run_directory.variables import VARIABLES, Leaf
from bigmodel.tree import named_leaves

OCDBT = {"compression": {"id": "zstd", "level": 19}, "max_inline_value_bytes": 1024}
"""How TensorStore keeps the index of a checkpoint."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Saved:
    """All that the checkpoint has."""

    evaluated: Variables


def write_run(
    folder: Path,
    run: Trained,
    variables: Variables,
    *,
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Writes the directory of a run with other variables, config and facts about its making.

    Raises:
        StorageError: for files that cannot be written.
    """
    with naming(folder):
        write_json(folder / CONFIG, config)
        origin = run.recorded.manifest
        command = {"command": [sys.executable, *sys.argv], "started": time.time()}
        write_json(folder / MANIFEST, {**origin, **command, **facts})
        for name, content in run.assets.items():
            write_atomically(folder / ASSETS / name, content)
        description = described(variables, run.assets[VARIABLES])
        write_atomically(folder / ASSETS / VARIABLES, description)
    write_variables(folder / "checkpoints", run.step, variables)


def write_variables(directory: Path, step: int, variables: Variables) -> None:
    """Writes a checkpoint of the variables alone, in as few bytes as Orbax reads.

    They are written from the host, for where each array was on devices would take a twentieth of a
    small checkpoint of integers, and so would the indices that a process leaves behind.

    Raises:
        StorageError: for files that cannot be written.
    """
    checkpoints = Checkpoints(directory, warn=warn)
    try:
        checkpoints.save(step, Saved(jax.device_get(variables)))
    finally:
        checkpoints.close()
    folder = directory / str(step)
    with naming(folder):
        try:
            write_again(folder)
        except ValueError as error:  # TensorStore's own for a disk that is full.
            raise StorageError(reason_of(folder, error)) from error
        (folder / SUMS).unlink()
        write_sums(folder)


def write_again(folder: Path) -> None:
    """Writes the keys and values of OCDBT in one transaction: one index, and one file of arrays."""
    # Imported here, for most commands do without it.
    from tensorstore import KvStore, Transaction

    def opened(path: Path, **options: Any) -> KvStore:
        spec = {"driver": "ocdbt", "base": f"file://{path.resolve()}/", **options}
        return KvStore.open(spec).result()

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        before = opened(folder)
        with Transaction() as transaction:
            after = opened(Path(scratch), config=OCDBT).with_transaction(transaction)
            for key in before.list().result():
                after.write(key, before.read(key).result().value).result()
        for old in (folder / "d", *folder.glob("ocdbt.process_*")):
            shutil.rmtree(old)
        for new in Path(scratch).iterdir():
            new.replace(folder / new.name)


def described(variables: Variables, before: bytes) -> bytes:
    """The content of ``variables.json``; arrays are split as before, and scales are not."""
    specs = {leaf["path"]: leaf["spec"] for leaf in json.loads(before)}
    leaves = []
    for path in named_leaves(variables):
        whole, _, kind = path.rpartition("/")
        spec = specs.get(whole if kind in MOST else path, ())
        leaves.append(Leaf(path, f"evaluated/{path}", spec)._asdict())
    return json.dumps(leaves, indent=1).encode()


def write_measured(
    folder: Path,
    run: Trained,
    metrics: Mapping[str, float],
    facts: Mapping[str, Any],
    *,
    seconds: float,
) -> None:
    """Writes what was measured of a run and facts about it, as training does at its end."""
    finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    line = {"step": run.step, "time": time.time(), "seconds": round(seconds, 3), **finite}
    params = run.variables["params"]
    summary = {
        "status": "completed",
        "step": run.step,
        "seconds": round(seconds, 3),
        "params_digest": params_digest(params),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(restored(run.variables)["params"])),
        "best": None,
        **facts,
        **finite,
    }
    with naming(folder):
        write_atomically(folder / METRICS, (json.dumps(line) + "\n").encode())
        write_json(folder / SUMMARY, summary)
