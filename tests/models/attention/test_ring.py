from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import use_abstract_mesh

from bigmodel.models.attention.attend import attend
from bigmodel.models.attention.masks import window_mask
from bigmodel.models.attention.ring import ring_attend
from bigmodel.sharding.collectives import collectives
from bigmodel.sharding.mesh import MeshShape, make_mesh, replicated

TIME = 16
MESH = make_mesh(MeshShape(1, sequence=4))


def heads(seed, count):
    arrays = jax.random.normal(jax.random.key(seed), (2, TIME, count, 4), jnp.float32)
    return jax.device_put(arrays, replicated(MESH))


def plain(query, key, value, *, window):
    positions = jnp.arange(TIME, dtype=jnp.int32)
    return attend(query, key, value, window_mask(positions, positions, window=window)[None])


def in_a_ring(*arrays, window):
    with use_abstract_mesh(MESH.abstract_mesh):
        return ring_attend(*arrays, window=window)


@pytest.mark.parametrize(("window", "kv_heads"), [(5, 4), (6, 2), (TIME, 2)])
def test_ring_is_attention_and_so_are_its_gradients(window, kv_heads):
    arrays = heads(0, 4), heads(1, kv_heads), heads(2, kv_heads)
    weights = heads(3, 4)

    def gradients(attended):
        def loss(*arrays):
            return (attended(*arrays, window=window) * weights).sum()

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(*arrays)

    found, expected = gradients(in_a_ring), gradients(plain)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("window", "steps"), [(1, 0), (2, 1), (5, 1), (6, 2), (TIME, 3)])
def test_keys_go_no_further_than_the_window_reaches(window, steps):
    attended = jax.jit(partial(in_a_ring, window=window))
    lowered = attended.lower(*(heads(seed, 4) for seed in range(3)))
    found = collectives(lowered.compile().as_text())
    sent = sum(one.times for one in found if one.kind == "collective-permute")
    assert sent == 2 * steps
