"""Multi-process runs: process information, joining, and waiting for each other.

A run of one process pays nothing for it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from bigmodel.experiment import InputError, PyTree
from bigmodel.output import RANK
from bigmodel.processes.heartbeat import is_watched
from bigmodel.processes.rendezvous import (
    COORDINATOR,
    COUNT,
    JOIN_SECONDS,
    RESUMES,
    rendezvous,
)

TASKS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Where schedulers say how many processes a run has."""
HEARTBEAT_SECONDS = 60


class ProcessInfo(NamedTuple):
    """The address of the coordinator, the number of processes and the rank of this one."""

    coordinator: str
    processes: int
    rank: int


def find_process_info() -> ProcessInfo | None:
    """Process information from the launcher or the cluster; None for a single process.

    Clusters are found by JAX's own detection: SLURM, Open MPI, TPU pods, Kubernetes.

    Raises:
        InputError: for variables that make no sense.
    """
    if COUNT in os.environ:
        try:
            info: ProcessInfo | None = ProcessInfo(
                os.environ[COORDINATOR], int(os.environ[COUNT]), int(os.environ[RANK])
            )
        except (KeyError, ValueError):
            raise InputError(
                f"{COUNT} is set, so {COORDINATOR} must be host:port and {RANK} a number"
            ) from None
    else:
        info = _detect()
    if info is None or info.processes <= 1:
        return None
    if not 0 <= info.rank < info.processes:
        raise InputError(f"this is rank {info.rank} of {info.processes}; ranks count from 0")
    return info


def _detect() -> ProcessInfo | None:
    # The public call joins at once, and ends the process where another one is missing.
    try:
        from jax._src.clusters import ClusterEnv

        detect: Any = ClusterEnv.auto_detect_unset_distributed_params
        unset = dict.fromkeys(inspect.signature(detect).parameters)
        address, count, rank, *_ = detect(**{**unset, "initialization_timeout": 300})
    except (ImportError, AttributeError, TypeError):
        # Of several processes that do not know of each other each would make the whole run.
        several = [name for name in TASKS if os.environ.get(name, "1") not in ("", "1")]
        if several:
            raise InputError(
                f"{several[0]} says that there are several processes, and JAX {jax.__version__} "
                f"does not say which one this is; set {COORDINATOR}, {COUNT} and {RANK} in each"
            ) from None
        return None
    if address is None or count is None or rank is None:
        return None
    return ProcessInfo(address, count, rank)


def join(info: ProcessInfo, facts: Mapping[str, Any]) -> None:
    """Joins the processes of a run, so that ``jax.devices()`` are those of all of them.

    What must be the same for all of them are the facts, as JSON values.

    Raises:
        InputError: where the processes differ or the port is in use.
        JoinError: where one is missing.
    """
    text = os.environ.get(JOIN_SECONDS, "120")
    try:
        seconds = float(text)
    except ValueError:
        raise InputError(f"{JOIN_SECONDS} is {text}; it must be a number of seconds") from None
    rendezvous(info.coordinator, rank=info.rank, count=info.processes, facts=facts, seconds=seconds)
    # JAX would take SIGTERM for itself; the loop's own request to stop is the one that counts.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        info.coordinator,
        info.processes,
        info.rank,
        initialization_timeout=round(seconds),
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )


def is_peer_lost(reason: str) -> bool:
    """Whether JAX's message says that a collective lost another process."""
    words = ("Gloo", "NCCL", "UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED")
    return jax.process_count() > 1 and any(word in reason for word in words)


def check_all_work(mesh: Mesh) -> None:
    """Raises InputError where a mesh leaves a process without a device, naming it."""
    working = {device.process_index for device in mesh.devices.flat}
    idle = sorted({*range(jax.process_count())} - working)
    if idle:
        raise InputError(
            f"the mesh has {mesh.size} of {jax.device_count()} devices, which leaves "
            f"rank {idle[0]} without one; start fewer processes or make the mesh larger"
        )


def is_started_again() -> bool:
    """Whether a launcher or a job scheduler starts this process again after status 75."""
    return is_watched() or bool(os.environ.get(RESUMES))


def is_first() -> bool:
    """Whether this process has rank 0, which writes the run directory."""
    return jax.process_index() == 0


def must_wait_for_steps() -> bool:
    """Whether each compiled call has to end before the next one begins.

    On CPU the collectives of two calls under way at once can wait for each other for ever.
    """
    return jax.process_count() > 1 and jax.default_backend() == "cpu"


def ordered(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose calls end before the next one begins where they must."""
    if not must_wait_for_steps():
        return function
    return lambda *arguments: jax.block_until_ready(function(*arguments))


def fetch(tree: PyTree) -> PyTree:
    """The whole arrays of a tree as numpy arrays; every process has to call it."""

    def whole(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return multihost_utils.process_allgather(leaf, tiled=True)
        return np.asarray(leaf)

    return jax.tree.map(whole, tree)


def agree_on(number: int) -> int:
    """Broadcasts a number from the first process."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def wait_for_all(name: str) -> None:
    """A barrier: returns when every process has reached it."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
