"""How a process that computes on a CPU is set up, before JAX makes its threads."""

from __future__ import annotations

import contextlib
import ctypes
import os

import jax

from bigmodel.sharding.cores import are_chosen, cores

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
"""Parameters of glibc's ``mallopt``."""
LARGEST, MOST = 1 << 30, 2**31 - 1
"""Bytes of a buffer and of the end of the heap up to which they are kept."""


def start_cpu(*, alone: bool = True) -> None:
    """Starts JAX so that on a CPU the memory of a step is kept, and cores can be devices.

    There are as many devices as cores, unless the environment says how many. Of several processes
    each has one. How many a run uses, :func:`~bigmodel.sharding.cores.mesh_of` says.

    XLA allocates its buffers at each execution, and glibc would hand large ones back to the system
    in between, which then clears and maps every page anew. What is kept stays resident until the
    process ends, so its memory stays at its peak. No bit of a result depends on it.

    The main thread executes the programs of one device itself, for the heap of another thread ends
    at 64 MiB, and a larger buffer is mapped again each time. Small steps start sooner, too.

    Nothing changes on accelerators, and in a process that has started JAX already only the
    allocator does; without glibc, and where the environment has settings for its allocator
    (``MALLOC_TOP_PAD_`` and the like, ``GLIBC_TUNABLES``), it stays.
    """
    if alone and not are_chosen():
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", cores())
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if jax.default_backend() == "cpu" and not _is_set_up():
        library = ctypes.CDLL(None)
        if hasattr(library, "gnu_get_libc_version"):
            # Older versions refuse such a threshold, above half of the heap of a thread.
            _ = library.mallopt(M_MMAP_THRESHOLD, LARGEST) or library.mallopt(M_MMAP_MAX, 0)
            library.mallopt(M_TRIM_THRESHOLD, MOST)


def _is_set_up() -> bool:
    """Whether the user has set up glibc's allocator."""
    of_user = any(name.startswith("MALLOC_") for name in os.environ)
    return of_user or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
