from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import (
    AbstractDevice,
    AbstractMesh,
    AxisType,
    NamedSharding,
    use_abstract_mesh,
)
from jax.sharding import PartitionSpec as P
from rare import rare

from bigmodel.models.attention import parts
from bigmodel.models.attention.attend import attend
from bigmodel.models.attention.masks import padding_mask, window_mask
from bigmodel.models.attention.parts import attend_in_parts
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.tracking.flops import count_work

LENGTHS = jnp.array([130, 77], jnp.int32)


def heads(seed, time, count, size=8):
    return jax.random.normal(jax.random.key(seed), (2, time, count, size), jnp.float32)


def gradients(attended, *arrays):
    """The attention, and the gradients of a function of it."""

    def loss(*arrays):
        mixed = attended(*arrays)
        return jnp.sum(jnp.sin(mixed)), mixed

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(*arrays)


def assert_close(found, expected):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kept", [2**20, 1], ids=["kept", "again"])
@pytest.mark.parametrize(
    ("time", "window", "kv_heads"),
    [(200, 30, 2), rare(256, 256, 4), rare(130, 130, 1), rare(20, 5, 4)],
)
def test_causal_attention_in_parts_is_attention(monkeypatch, kept, time, window, kv_heads):
    monkeypatch.setattr(parts, "KEPT", kept)
    arrays = heads(0, time, 4), heads(1, time, kv_heads), heads(2, time, kv_heads)
    positions = jnp.arange(time, dtype=jnp.int32)
    mask = window_mask(positions, positions, window=window)[None]
    found = gradients(partial(attend_in_parts, window=window), *arrays)
    assert_close(found, gradients(partial(attend, mask=mask), *arrays))


def plain_mask(time, window, after, first):
    """What Longformer sees, a pair at a time."""
    seen = np.zeros((time, time), bool)
    for query, key in np.ndindex(time, time):
        near = query - window < key <= query + after
        seen[query, key] = near or (min(query, key) < first and (key <= query or after > 0))
    return seen


@pytest.mark.parametrize("padded", [False, rare(True)])
@pytest.mark.parametrize("kept", [2**20, 1], ids=["kept", "again"])
@pytest.mark.parametrize(
    ("time", "window", "after", "first", "kv_heads"),
    [
        (200, 30, 0, 3, 2),
        (200, 17, 16, 2, 4),
        rare(200, 17, 16, 0, 1),
        rare(203, 1, 0, 70, 4),
        rare(200, 2, 1, 70, 4),
        rare(40, 90, 89, 50, 4),
        rare(40, 20, 0, 40, 4),
    ],
)
def test_windows_with_global_tokens_are_attention(
    monkeypatch, kept, padded, time, window, after, first, kv_heads
):
    monkeypatch.setattr(parts, "KEPT", kept)
    monkeypatch.setattr(parts, "CHUNK", 16)
    arrays = heads(0, time, 4), heads(1, time, kv_heads), heads(2, time, kv_heads)
    real = padding_mask(jnp.array([time, 25], jnp.int32), time)[:, None] if padded else None
    mask = jnp.asarray(plain_mask(time, window, after, first))[None]
    # Queries that see nothing are padding, of which nothing is read.
    read = 1.0 if real is None else (mask & real).any(axis=2)[..., None, None].astype("float32")
    attended = partial(attend_in_parts, window=window, after=after, global_tokens=first, mask=real)
    found = gradients(lambda *arrays: read * attended(*arrays), *arrays)
    expected = partial(attend, mask=mask if real is None else mask & real)
    assert_close(found, gradients(lambda *arrays: read * expected(*arrays), *arrays))


@pytest.mark.parametrize("kept", [2**20, 1], ids=["kept", "again"])
@pytest.mark.parametrize(
    "mask", [padding_mask(LENGTHS, 130)[:, None], rare(None)], ids=["padded", "all"]
)
def test_attention_to_another_sequence_is_attention(monkeypatch, kept, mask):
    monkeypatch.setattr(parts, "KEPT", kept)
    arrays = heads(0, 50, 4), heads(1, 130, 2), heads(2, 130, 2)
    seen = jnp.ones((1, 1, 130), bool) if mask is None else mask
    found = gradients(partial(attend_in_parts, mask=mask), *arrays)
    assert_close(found, gradients(partial(attend, mask=seen), *arrays))


def test_windows_over_split_examples_and_heads_are_those_of_one_device(monkeypatch):
    monkeypatch.setattr(parts, "KEPT", 1)
    monkeypatch.setattr(parts, "CHUNK", 16)
    arrays = [heads(n, 100, 4) for n in range(3)]
    place = NamedSharding(make_mesh(MeshShape(2, tensor=4)), P("data", None, "tensor"))
    attended = partial(attend_in_parts, window=9, after=8, global_tokens=2)
    found = gradients(attended, *jax.device_put(arrays, place))
    assert {x.sharding.shard_shape(x.shape) for x in found[1]} == {(1, 100, 1, 8)}
    assert_close(found, gradients(attended, *arrays))


WINDOWS = [
    {"window": 256, "global_tokens": 4},
    {"window": 129, "after": 128, "global_tokens": 1},
]


@pytest.mark.parametrize(
    "options", [rare({"window": 2**20}), {}, rare(WINDOWS[0]), WINDOWS[1]], ids=str
)
def test_memory_grows_linearly_with_the_positions(options):
    def temporaries(time):
        shape = jax.ShapeDtypeStruct((1, time, 2, 32), jnp.float32)
        compiled = jax.jit(partial(gradients, partial(attend_in_parts, **options)))
        return compiled.lower(*[shape] * 3).compile().memory_analysis().temp_size_in_bytes

    found = [temporaries(time) for time in (2048, 4096, 8192)]
    assert found[2] < 2 * found[1] * 1.1 < 4 * found[0] * 1.1**2
    assert found[2] < 8192**2 * 2  # a quarter of the scores


@pytest.mark.parametrize("options", WINDOWS, ids=str)
def test_work_within_a_window_grows_linearly_with_the_positions(options):
    def work(time):
        shape = jax.ShapeDtypeStruct((1, time, 2, 32), jnp.float32)
        program = jax.make_jaxpr(partial(gradients, partial(attend_in_parts, **options)))
        return count_work(program(*[shape] * 3)).flops

    assert work(8192) == pytest.approx(2 * work(4096), rel=0.01)
    # Scores and values forwards, the scores again, and two products for each backwards.
    assert work(8192) < 7 * 2 * 2 * 32 * 8192 * (128 + 256 + 4) * 1.05


@pytest.mark.parametrize(
    ("time", "window", "platform", "pairs"),
    [
        (64, 64, "cpu", 64**2),
        (256, 256, "cpu", 64 * (64 + 128 + 192 + 256)),
        (256, 64, "cpu", 64 * (64 + 3 * 128)),
        (256, 256, "gpu", 256**2),
    ],
)
def test_on_cpu_parts_leave_out_keys_that_none_of_their_queries_sees(time, window, platform, pairs):
    shape = jax.ShapeDtypeStruct((1, time, 1, 8), jnp.float32)
    device = AbstractDevice("", None, platform)
    with use_abstract_mesh(AbstractMesh((1,), ("data",), (AxisType.Auto,), abstract_device=device)):
        program = jax.make_jaxpr(partial(attend_in_parts, window=window))(*[shape] * 3)
    assert count_work(program).flops == 2 * 2 * 8 * pairs
