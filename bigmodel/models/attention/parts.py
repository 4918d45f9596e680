"""Softmax attention of whole sequences, in parts of the queries."""

from __future__ import annotations

import jax
import jax.numpy as jnp
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
) -> Heads:
    """The attention of :func:`~bigmodel.models.attention.attend.attend`, of a whole sequence.

    Beyond ``KEPT`` pairs of positions, its memory grows linearly with either's number, forwards
    and backwards: the scores are computed again for one chunk of queries at a time (Rabe and
    Staats, 2021).

    Args:
        query: Of consecutive positions.
        key: Like the values; as many heads as the queries or a divisor.
        value: Like the keys.
        mask: True at the keys that are seen; by default all are.
        window: The number of positions that one attends to, itself and those before; None for
            attention that is not causal.
    """
    time = query.shape[1]
    keep = time * key.shape[1] <= KEPT
    if window is None:
        return _attend(query, key, value, mask, None, 0, keep=keep)
    most = PARTS.get(platform(), 1) // (1 if keep else 2)
    length = -(-time // max(1, min(most, time // LEAST)))
    mixed = []
    for start in range(0, time, length):
        end = min(start + length, time)
        first = max(0, start + 1 - window) // LEAST * LEAST
        seen = slice(first, end)
        part = query[:, start:end], key[:, seen], value[:, seen]
        mixed.append(_attend(*part, None, window, start - first, keep=keep))
    return jnp.concatenate(mixed, axis=1)


def _attend(
    query: Heads,
    key: Float[Array, "batch source shared size"],
    value: Float[Array, "batch source shared size"],
    mask: Bool[Array, "#batch 1 source"] | None,
    window: int | None,
    ahead: int,
    *,
    keep: bool,
) -> Heads:
    """The attention of queries, the first of which is so far ahead of the first key."""
    batch, time, heads, size = query.shape
    groups = heads // key.shape[2]
    key, value = by_head(key), by_head(value)

    def attend(first: Int[Array, ""], queries: Heads) -> Heads:
        seen = mask
        if window is not None:
            at, sources = (jnp.arange(n, dtype=jnp.int32) for n in (queries.shape[1], key.shape[2]))
            seen = window_mask(first + at, sources, window=window)[None]
        seen = None if seen is None else for_groups(seen, groups)
        part = partial_attention(grouped(queries, groups), key, value, seen)
        if not keep:
            part = jax.tree.map(lambda x: checkpoint_name(x, "attention"), part)
        return ungrouped(normalized(part).astype(value.dtype), groups)

    if keep:
        return attend(jnp.int32(ahead), query)
    # What is not a whole chunk is filled up with queries that nobody reads.
    chunks = -(-time // CHUNK)
    query = jnp.pad(query, ((0, 0), (0, chunks * CHUNK - time), (0, 0), (0, 0)))
    query = query.reshape(batch, chunks, CHUNK, heads, size).swapaxes(0, 1)
    firsts = ahead + CHUNK * jnp.arange(chunks, dtype=jnp.int32)
    policy = jax.checkpoint_policies.save_only_these_names("attention")
    again = jax.checkpoint(attend, policy=policy, prevent_cse=False)
    _, mixed = jax.lax.scan(lambda _, chunk: (None, again(*chunk)), None, (firsts, query))
    return mixed.swapaxes(0, 1).reshape(batch, chunks * CHUNK, heads, size)[:, :time]
