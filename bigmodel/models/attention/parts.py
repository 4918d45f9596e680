"""Softmax attention of whole sequences, in parts of the queries."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from bigmodel.models.attention.attend import (
    Heads,
    by_head,
    for_groups,
    grouped,
    normalized,
    partial_attention,
    ungrouped,
)
from bigmodel.models.attention.masks import window_mask
from bigmodel.partition import platform

PARTS = {"cpu": 8}
"""How many parts causal attention has at most on a platform, one if it is not named: each leaves
out the keys that none of its queries sees, for smaller products. Where scores are computed again
half as many are as fast, and the compiler has half as many loops."""
LEAST = 64
"""Queries of a part at least; shorter ones cost more than they leave out."""
KEPT = 1024 * 1024
"""Pairs of positions up to which the weights are kept for the backward pass, and not computed
again."""
CHUNK = 128
"""Queries whose scores are in memory at a time, where the weights are not kept."""


def attend_in_parts(
    query: Heads,
    key: Float[Array, "batch source shared size"],
    value: Float[Array, "batch source shared size"],
    *,
    mask: Bool[Array, "#batch 1 source"] | None = None,
    window: int | None = None,
    after: int = 0,
    global_tokens: int = 0,
) -> Heads:
    """The attention of :func:`~bigmodel.models.attention.attend.attend`, of a whole sequence.

    Beyond ``KEPT`` pairs of positions, its memory grows linearly with either's number, forwards
    and backwards: the scores are computed again for one chunk of queries at a time (Rabe and
    Staats, 2021). So does its work where a window is shorter than the sequence, for a chunk reads
    only the keys that it may see.

    Args:
        query: Of consecutive positions.
        key: Like the values; as many heads as the queries or a divisor.
        value: Like the keys.
        mask: True at the keys that are seen; by default all are.
        window: The number of positions that one attends to, itself and those before; None for
            attention that is not causal.
        after: The number of positions after it that one attends to as well.
        global_tokens: The number of first positions that all attend to; see
            :func:`~bigmodel.models.attention.masks.window_mask`.
    """
    time, source = query.shape[1], key.shape[1]
    keep = time * source <= KEPT
    positions = jnp.arange(source, dtype=jnp.int32)
    if window is None:
        return _attend(query, key, value, mask, positions, keep=keep)
    window, after, first = (min(n, source) for n in (window, after, global_tokens))
    sees = partial(window_mask, window=window, after=after, global_tokens=first)
    span = CHUNK + window - 1 + after

    def near(x: Array, start: Int[Array, ""]) -> Array:
        """What a chunk of queries that begin there may see, of all sources on the third axis."""
        start = jnp.clip(start - (window - 1), first, source - span)
        around = lax.dynamic_slice_in_dim(x, start, span, axis=2)
        return jnp.concatenate([x[:, :, :first], around], axis=2)

    narrow = not keep and first + span < source
    most = 1 if narrow else PARTS.get(platform(), 1) // (1 if keep else 2)
    length = -(-time // max(1, min(most, time // LEAST)))
    mixed = []
    for start in range(0, time, length):
        end = min(start + length, time)
        begin = max(0, start + 1 - window) // LEAST * LEAST
        seen = [slice(0 if begin <= first else begin, end + after)]
        if begin > first > 0:
            seen = [slice(first), *seen]
        keys, values = (jnp.concatenate([x[:, s] for s in seen], axis=1) for x in (key, value))
        real = None if mask is None else jnp.concatenate([mask[..., s] for s in seen], axis=2)
        part = query[:, start:end], keys, values, real
        at = jnp.concatenate([positions[s] for s in seen])
        mixed.append(_attend(*part, at, sees, start, near if narrow else None, keep=keep))
    if first and after:
        keep = first * source <= KEPT
        whole = _attend(query[:, :first], key, value, mask, positions, keep=keep)
        mixed = [whole, jnp.concatenate(mixed, axis=1)[:, first:]]
    return jnp.concatenate(mixed, axis=1)


def _attend(
    query: Heads,
    key: Float[Array, "batch source shared size"],
    value: Float[Array, "batch source shared size"],
    mask: Bool[Array, "#batch 1 source"] | None,
    positions: Int[Array, "source"],
    sees: Callable[[Array, Array], Array] | None = None,
    start: int = 0,
    near: Callable[[Array, Array], Array] | None = None,
    *,
    keep: bool,
) -> Heads:
    """The attention of consecutive queries from a position on to keys at positions.

    ``sees`` is the mask of queries and keys by their positions, and ``near`` takes what a chunk of
    queries sees from what has all keys on its third axis; by default that is all.
    """
    batch, time, heads, size = query.shape
    groups = heads // key.shape[2]
    everything = by_head(key), by_head(value), mask, positions[None, None]

    def attend(first: Int[Array, ""], queries: Heads) -> Heads:
        found = everything
        if near is not None:
            found = jax.tree.map(lambda x: near(x, first), everything)
        key, value, seen, sources = found
        if sees is not None:
            at = first + jnp.arange(queries.shape[1], dtype=jnp.int32)
            within = sees(at, sources[0, 0])[None]
            seen = within if seen is None else within & seen
        seen = None if seen is None else for_groups(seen, groups)
        part = partial_attention(grouped(queries, groups), key, value, seen)
        if not keep:
            part = jax.tree.map(lambda x: checkpoint_name(x, "attention"), part)
        return ungrouped(normalized(part).astype(value.dtype), groups)

    if keep:
        return attend(jnp.int32(start), query)
    # What is not a whole chunk is filled up with queries that nobody reads.
    chunks = -(-time // CHUNK)
    query = jnp.pad(query, ((0, 0), (0, chunks * CHUNK - time), (0, 0), (0, 0)))
    query = query.reshape(batch, chunks, CHUNK, heads, size).swapaxes(0, 1)
    firsts = start + CHUNK * jnp.arange(chunks, dtype=jnp.int32)
    policy = jax.checkpoint_policies.save_only_these_names("attention")
    again = jax.checkpoint(attend, policy=policy, prevent_cse=False)
    _, mixed = jax.lax.scan(lambda _, chunk: (None, again(*chunk)), None, (firsts, query))
    return mixed.swapaxes(0, 1).reshape(batch, chunks * CHUNK, heads, size)[:, :time]
