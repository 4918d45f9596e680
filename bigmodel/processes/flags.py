"""The flags that a process sets before it starts XLA on GPUs and TPUs: one table, and its sources.

On CPU none is set, and no XLA flag that was tried there made a step faster.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Literal, NamedTuple

import jax

CUDA_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
XLA_FLAGS, TPU_FLAGS = "XLA_FLAGS", "LIBTPU_INIT_ARGS"
"""The variables that hold the flags of XLA itself and those of libtpu. Either ends the process
where it finds a flag that it does not know: jaxlib 0.10.2 and libtpu 0.0.42 know all of these."""
MEMORY = "XLA_CLIENT_MEM_FRACTION"
GUIDE = "https://openxla.org/xla/flags_guidance"
LEVELS = "https://openxla.org/xla/gpu_optimization_levels"
TIPS = "https://docs.jax.dev/en/latest/gpu_performance_tips.html"
DETERMINISM = "https://openxla.org/xla/determinism"
NVIDIA = "https://docs.nvidia.com/jax-toolbox/performance-profiling/gpu-performance"


class Flag(NamedTuple):
    """A flag, or with an empty name the whole value of a variable, and where it is recommended."""

    platform: Literal["cuda", "tpu"]
    variable: str
    name: str
    value: str
    source: str


DETERMINISTIC = Flag("cuda", XLA_FLAGS, "xla_gpu_deterministic_ops", "true", DETERMINISM)
"""Leaves out algorithms whose sums depend on timing, and the choice of kernels by timing."""
FAST = (
    # Collectives are under way while the device computes, also those of the next layer of a loop.
    Flag("cuda", XLA_FLAGS, "xla_gpu_enable_latency_hiding_scheduler", "true", TIPS),
    Flag("cuda", XLA_FLAGS, "xla_gpu_enable_pipelined_all_gather", "true", LEVELS),
    Flag("cuda", XLA_FLAGS, "xla_gpu_enable_pipelined_reduce_scatter", "true", LEVELS),
    Flag("cuda", XLA_FLAGS, "xla_gpu_enable_pipelined_all_reduce", "true", LEVELS),
    # The share of a GPU's memory that JAX takes at the start; 0.75 unless told.
    Flag("cuda", MEMORY, "", "0.9", NVIDIA),
    # TPUs hide latencies by default; these add gathers of the next layer, which belong together,
    Flag("tpu", TPU_FLAGS, "xla_should_allow_loop_variant_parameter_in_chain", "enabled", GUIDE),
    Flag("tpu", TPU_FLAGS, "xla_should_add_loop_invariant_op_in_chain", "enabled", GUIDE),
    Flag("tpu", TPU_FLAGS, "xla_tpu_enable_ici_ag_pipelining", "true", GUIDE),
    # the collectives that are not under way by default,
    Flag("tpu", TPU_FLAGS, "xla_tpu_enable_async_collective_fusion_fuse_all_reduce", "true", GUIDE),
    Flag("tpu", TPU_FLAGS, "xla_tpu_enable_async_all_to_all", "true", GUIDE),
    # and those between slices.
    Flag("tpu", TPU_FLAGS, "xla_tpu_enable_data_parallel_all_reduce_opt", "true", GUIDE),
    Flag("tpu", TPU_FLAGS, "xla_tpu_data_parallel_opt_different_sized_ops", "true", GUIDE),
)
RECORDED = (TPU_FLAGS, MEMORY)
"""Variables that a manifest records beside ``XLA_FLAGS``."""


def set_flags(*, deterministic: bool = True, fast: bool = True) -> None:
    """Sets flags for the accelerators that JAX will look for; to be called before it has devices.

    A flag or variable that the user has set stays as it is.
    """
    used = {"cuda": uses_cuda(), "tpu": uses_tpu()}
    for flag in (*[DETERMINISTIC] * deterministic, *FAST * fast):
        before = os.environ.get(flag.variable, "")
        if not used[flag.platform] or (flag.name in before if flag.name else before):
            continue
        words = f"--{flag.name}={flag.value}" if flag.name else flag.value
        os.environ[flag.variable] = f"{before} {words}".strip()


def uses_cuda() -> bool:
    """Whether JAX will look for NVIDIA GPUs, found out without starting it."""
    return _may_use("cuda", "gpu") and any(map(importlib.util.find_spec, CUDA_PLUGINS))


def uses_tpu() -> bool:
    """Whether JAX will look for TPUs, found out without starting it."""
    return _may_use("tpu") and importlib.util.find_spec("libtpu") is not None


def _may_use(*names: str) -> bool:
    platforms = getattr(jax.config, "jax_platforms", None)
    return not platforms or bool({*names} & {name.strip() for name in platforms.split(",")})
