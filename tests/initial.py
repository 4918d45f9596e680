"""Initial values, compiled like those of a run."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from bigmodel.runtime.xla import run_once


def initial(init: Callable[..., Any], *arguments: Any) -> Any:
    """What ``init(*arguments)`` gives."""
    options = run_once(Mesh(jax.devices()[:1], ("data",)))
    return jax.jit(init, compiler_options=options)(*arguments)
