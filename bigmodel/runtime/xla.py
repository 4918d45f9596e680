"""How precisely XLA computes, and what it keeps of what it compiles for the next run."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.sharding import Mesh

from bigmodel.files import user_cache
from bigmodel.processes.distributed import must_wait_for_steps

CACHE_BYTES = 4 << 30
"""What is kept of compiled programs."""


MatmulPrecision = Literal["default", "tensorfloat32", "highest"]
"""Names that ``jax.default_matmul_precision`` has for the precision of float32 products."""


def use_precision(precision: MatmulPrecision) -> None:
    """Lets this process compute products in the precision of the run that it makes."""
    jax.config.update("jax_default_matmul_precision", _name(precision))


def with_precision(function: Callable[..., Any], precision: MatmulPrecision) -> Callable[..., Any]:
    """The function with its products in a precision, whatever that of the process is."""

    @functools.wraps(function)
    def precise(*arguments: Any) -> Any:
        with jax.default_matmul_precision(_name(precision)):
            return function(*arguments)

    return precise


def _name(precision: MatmulPrecision) -> str | None:
    return None if precision == "default" else precision


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, unless JAX's own variable says where or whether.

    They go to ``bigmodel/xla`` in the user's cache folder (``XDG_CACHE_HOME``), for a user without
    one nowhere. Programs are found again by what they compute, the flags and the kind of machine.
    Those that were not used for the longest time are removed where all take more than
    ``CACHE_BYTES``. JAX could do so itself (``jax_compilation_cache_max_size``), but takes half as
    long again to write a small program, and writes nothing any more once a process was killed
    between the two files that it then has for each.
    """
    folder = user_cache()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and folder is not None:
        folder = folder / "bigmodel" / "xla"
        bound(folder, CACHE_BYTES)
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    write_programs_whole()
    if must_wait_for_steps():
        _let_every_process_write()


def bound(folder: Path, limit: int) -> None:
    """Removes files of a folder until the rest has at most so many bytes: first those least used.

    A file counts as used when it was last read or written, as far as the file system notes it.
    """
    used = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            # Another process may remove it at the same time.
            with contextlib.suppress(OSError):
                facts = entry.stat()
                used.append((max(facts.st_atime, facts.st_mtime), facts.st_size, entry.path))
    kept = 0
    for _, size, path in sorted(used, reverse=True):
        kept += size
        if kept > limit:
            with contextlib.suppress(OSError):
                os.unlink(path)


def run_once(mesh: Mesh) -> dict[str, int]:
    """What to tell the compiler of a program that runs once.

    On CPU its last level of optimisation takes 7 of the 9 seconds that it needs for the initial
    values of a small CNN (2 cores, no accelerator), and gives the same bits.
    """
    cpu = mesh.devices.flat[0].platform == "cpu"
    return {"xla_backend_optimization_level": 2} if cpu else {}


def write_programs_whole() -> None:
    """Makes JAX name a compiled program once its file is whole.

    It writes under the name. So another process that starts at the same time reads a part, and what
    a killed one has left is there for good: each later start warns and compiles anew. A version of
    JAX that has no such private class goes on so.
    """
    try:
        from jax._src.lru_cache import _CACHE_SUFFIX, LRUCache

        put = LRUCache.put
    except (ImportError, AttributeError):
        return

    def put_whole(self: Any, key: str, value: bytes) -> None:
        if self.eviction_enabled:  # JAX then holds a lock, and has a second file for each program.
            put(self, key, value)
            return
        own = f"{key}.{os.getpid()}.{threading.get_ident()}"
        whole, part = (Path(str(self.path)) / f"{name}{_CACHE_SUFFIX}" for name in (key, own))
        if not whole.exists():
            part.unlink(missing_ok=True)
            put(self, own, value)
            part.replace(whole)

    if put.__name__ != put_whole.__name__:
        LRUCache.put = put_whole  # type: ignore[method-assign]


def closed(traced: jax.stages.Traced) -> Callable[..., Any]:
    """A function that was traced, as one of its constants and its arguments.

    What a model begins with would as constants be part of the program: compiled, and kept with it.
    """
    structure = jax.tree.structure(traced.out_info)

    def function(constants: Sequence[Any], *arguments: Any) -> Any:
        jaxpr = ClosedJaxpr(traced.jaxpr.jaxpr, constants)
        leaves = jaxpr_as_fun(jaxpr)(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(structure, leaves)

    return function


def _let_every_process_write() -> None:
    """Makes JAX keep what processes other than the first have compiled.

    It leaves that to the first one, whose programs the others find. On CPU the key contains the
    rank, so they would compile anew at every start, and there is no public option. A version of
    JAX that has no such private functions compiles anew.
    """
    try:
        from jax._src import compilation_cache, compiler

        arguments = inspect.signature(compiler._cache_write)
        put = compilation_cache.put_executable_and_time
    except (ImportError, AttributeError):
        return
    needed = ("cache_key", "module_name", "executable", "backend", "compile_time_secs")
    if not arguments.parameters.keys() >= {*needed}:
        return

    def write(*values: Any, **named: Any) -> None:
        given = arguments.bind(*values, **named).arguments
        # Callbacks of the host (an argument of JAX 0.10) are not found again.
        if not given.get("host_callbacks"):
            key, name, program, backend, seconds = (given[name] for name in needed)
            put(key, name, program, backend, int(seconds))

    compiler._cache_write = write
