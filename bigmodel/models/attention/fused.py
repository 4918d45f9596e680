"""Attention of whole sequences by the kernel that a platform has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from bigmodel.experiment import InputError
from bigmodel.models.attention.attend import Heads, by_head
from bigmodel.models.attention.parts import attend_in_parts
from bigmodel.models.attention.ring import ring_attend
from bigmodel.partition import EXAMPLES, axes_in_context, axis_size, fitting, platform

AttentionName: TypeAlias = Literal["auto", "xla", "cudnn", "splash"]

FUSED = {"cuda": "cudnn", "tpu": "splash"}
"""What auto chooses on a platform, for inputs that the kernel takes; xla otherwise."""
DEVICES = {"cudnn": "NVIDIA GPUs", "splash": "TPUs"}

BLOCK = 128
"""The fewest positions that splash attention computes together."""


def attend_sequence(
    query: Heads,
    key: Float[Array, "batch source shared size"],
    value: Float[Array, "batch source shared size"],
    *,
    attention: AttentionName,
    mask: Bool[Array, "#batch 1 source"] | None = None,
    window: int | None = None,
    after: int = 0,
    global_tokens: int = 0,
) -> Heads:
    """The attention of :func:`~bigmodel.models.attention.parts.attend_in_parts`, by name.

    ``mask`` is that of a padding: what is seen comes before what is not. Where the mesh splits
    positions, causal attention goes around its ring.

    Raises:
        InputError: The one that is asked for does not take such inputs, or not here.
    """
    name = FUSED.get(platform(), "xla") if attention == "auto" else attention
    why = obstacle(name, query, key)
    if name in DEVICES and (after or global_tokens):
        why = why or "takes neither windows on both sides nor --model.global-tokens"
    if why and attention != "auto":
        raise InputError(f"--model.attention {name} {why}; auto takes the fastest that fits")
    if window is not None and not after and axis_size("sequence") > 1:
        if global_tokens:
            raise InputError(
                "--model.global-tokens needs all positions on one device; leave --mesh.sequence out"
            )
        return ring_attend(query, key, value, window=window)
    if why is None and name in DEVICES:
        return KERNELS[name](query, key, value, mask=mask, window=window)
    beside = {"after": after, "global_tokens": global_tokens}
    return attend_in_parts(query, key, value, mask=mask, window=window, **beside)


def obstacle(name: str, query: Heads, key: Float[Array, "batch source shared size"]) -> str | None:
    """Why a kernel does not take such inputs here, if it does not."""
    time, source, size = query.shape[1], key.shape[1], query.shape[-1]
    if name in DEVICES and FUSED.get(platform()) != name:
        return f"is for {DEVICES[name]}, and this runs on {platform()}"
    if name in DEVICES and axis_size("sequence") > 1:
        return "needs all positions on one device; leave --mesh.sequence out"
    if name == "cudnn" and query.dtype == jnp.float32:
        return "computes in bfloat16; add --model.dtype bfloat16"
    if name == "cudnn" and (size % 8 or size > 128):
        return f"takes heads of 8, 16, ... to 128 features, not of {size}"
    if name == "cudnn" and (time % 2 or source % 2):
        return f"takes even numbers of positions, not {time if time % 2 else source}"
    if name == "splash" and (time % BLOCK or source % BLOCK):
        return f"takes multiples of {BLOCK} positions, not {time if time % BLOCK else source}"
    return None


def cudnn(
    query: Heads,
    key: Array,
    value: Array,
    *,
    mask: Array | None,
    window: int | None,
    implementation: Any = "cudnn",
) -> Heads:
    """Fused attention of cuDNN, which keeps its output and a number for each query (Dao, 2023)."""
    lengths = None
    if mask is not None:
        counts = jnp.maximum(mask[:, 0].sum(axis=-1, dtype=jnp.int32), 1)
        lengths = jnp.broadcast_to(counts, query.shape[:1])
    return jax.nn.dot_product_attention(
        query,
        key,
        value,
        is_causal=window is not None,
        key_value_seq_lengths=lengths,
        local_window_size=None if window is None or window >= key.shape[1] else (window - 1, 0),
        implementation=implementation,
    )


def splash(
    query: Heads,
    key: Array,
    value: Array,
    *,
    mask: Array | None,
    window: int | None,
    interpret: bool = False,
) -> Heads:
    """JAX's splash attention, a kernel that visits no block of the keys that is not seen."""
    from jax.experimental.pallas.ops.tpu import splash_attention as kernels

    time, source = query.shape[1], key.shape[1]
    seen: Any = kernels.FullMask((time, source))
    if window is not None:
        seen = kernels.LocalMask((time, source), (window - 1, 0), 0)
    rows, columns = (next(n for n in (512, 256, BLOCK) if size % n == 0) for size in (time, source))
    sizes = kernels.BlockSizes(
        block_q=rows, block_kv=columns, block_q_dkv=rows, block_kv_dkv=columns,
        block_q_dq=rows, block_kv_dq=columns,
    )  # fmt: skip

    def local(query: Array, key: Array, value: Array, real: Array) -> Array:
        kernel = kernels.make_splash_mha(
            kernels.MultiHeadMask([seen] * query.shape[2]),
            head_shards=1, q_seq_shards=1, block_sizes=sizes, interpret=interpret,
        )  # fmt: skip

        def one(query: Array, key: Array, value: Array, real: Array) -> Array:
            if mask is None:
                return kernel(query, key, value)
            ids = kernels.SegmentIds(jnp.ones((time,), jnp.int32), real.astype(jnp.int32))
            return kernel(query, key, value, segment_ids=ids)

        query = query * query.shape[-1] ** -0.5
        return by_head(jax.vmap(one)(by_head(query), by_head(key), by_head(value), real))

    real = jnp.ones((1, source), bool) if mask is None else mask[:, 0]
    real = jnp.broadcast_to(real, (query.shape[0], source))
    return on_each_device(local)(query, key, value, real)


def on_each_device(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function of heads whose examples and heads the mesh splits, for XLA splits no kernel."""
    axes = axes_in_context()
    if math.prod(axes.values()) == 1:
        return function

    def split(*arrays: Array) -> Array:
        names = (EXAMPLES, None, "tensor", None)
        specs = tuple(fitting(names[: x.ndim], x.shape, axes) for x in arrays)
        return jax.shard_map(
            function,
            in_specs=specs,
            out_specs=specs[0],
            axis_names=set(axes),
            check_vma=False,
        )(*arrays)

    return split


KERNELS: dict[str, Callable[..., Heads]] = {"cudnn": cudnn, "splash": splash}
