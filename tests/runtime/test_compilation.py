"""What a compiled step makes of values and batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.processes.distributed import SMALL, place_batch, placing
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.tree import is_finite


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("wrong", [(np.nan,), (np.inf,), (-np.inf,), (np.inf, -np.inf)])
def test_one_entry_that_is_not_finite_is_seen(wrong: tuple[float, ...], dtype: jnp.dtype) -> None:
    # The sum of these is beyond what a float16 can hold.
    leaf = jnp.full((300, 7), 1000.0, dtype)
    assert is_finite(leaf)
    assert not is_finite(leaf.at[7, : len(wrong)].set(jnp.array(wrong, dtype)))


@pytest.mark.parametrize("rows", [8, SMALL // 16])
def test_small_and_large_batches_are_placed_alike(rows: int) -> None:
    mesh = make_mesh(MeshShape(data=1))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    batch = {"x": np.arange(rows * 8.0).reshape(rows, 8).astype("f"), "n": np.arange(rows)}
    shardings = {"x": whole, "n": whole}
    place = placing(batch, shardings)
    for found, same in zip(
        jax.tree.leaves(place(batch)), jax.tree.leaves(place_batch(batch, shardings)), strict=True
    ):
        assert (found.dtype, found.sharding, found.committed) == (same.dtype, whole, True)
        np.testing.assert_array_equal(found, same)
