"""What a compiled step makes of values and batches."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import linear
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from bigmodel.processes.placing import SMALL, place_batch, placing
from bigmodel.runtime.compilation import compile_experiment
from bigmodel.runtime.loop import init_key, step_key
from bigmodel.sharding.collectives import collectives
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.tree import which_finite


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("wrong", [(np.nan,), (np.inf,), (-np.inf,), (np.inf, -np.inf)])
def test_one_entry_that_is_not_finite_is_seen(wrong: tuple[float, ...], dtype: jnp.dtype) -> None:
    # The sum of these is beyond what a float16 can hold.
    leaf = jnp.full((300, 7), 1000.0, dtype)
    bad = leaf.at[7, : len(wrong)].set(jnp.array(wrong, dtype))
    of_runs = which_finite([jnp.stack([leaf, bad]), jnp.stack([leaf, leaf])], leading=1)
    assert which_finite([leaf, bad, leaf]).tolist() == [True, False, True]
    assert of_runs.tolist() == [[True, True], [False, True]]


def test_large_entries_whose_squares_overflow_are_finite() -> None:
    assert which_finite([jnp.full(3, 1e25, jnp.float32), jnp.ones(())]).tolist() == [True, True]


def test_whether_gradients_are_finite_is_known_from_the_sums_of_their_norm() -> None:
    """No pass over them, and no exchange between devices, is added to those of the norm."""
    split = jax.sharding.NamedSharding(make_mesh(MeshShape(fsdp=8)), P("fsdp"))

    def passes(function: Callable[..., Any], sharding: Any, what: str) -> int:
        shapes = [jax.ShapeDtypeStruct((800 * n,), jnp.float32, sharding=sharding) for n in (1, 2)]
        program = jax.jit(lambda gradients: function(gradients)).lower(shapes).compile().as_text()
        entry = (program or "").partition("\nENTRY")[2]
        return len(re.findall(what, entry))

    def both(gradients: Any) -> Any:
        return optax.tree.norm(gradients), which_finite(gradients)

    for sharding, what in ((None, r" fusion\(%gradients_"), (split, r" all-reduce\(")):
        counted = [passes(one, sharding, what) for one in (both, optax.tree.norm)]
        assert counted[0] == counted[1] > 0


def test_a_step_lets_gradients_leave_over_the_sides_of_a_grid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mesh, one = make_mesh(MeshShape(1, 8)), linear.experiment()

    def groups() -> set[int]:
        compiled = compile_experiment(one, mesh)
        state = compiled.init(init_key(0))
        batch = compiled.place(one.data.train(0, 0))
        key, index = compiled.place_scalar(step_key(0)), compiled.place_scalar(np.int32(0))
        text = compiled.trace(state, batch, key, index).lower().compile().as_text() or ""
        return {each.group_size for each in collectives(text)}

    assert groups() == {8}
    monkeypatch.setattr("bigmodel.runtime.compilation.grid_of", lambda _: (2, 4))
    assert groups() == {2, 4, 8}


@pytest.mark.parametrize("rows", [8, SMALL // 16])
def test_small_and_large_batches_are_placed_alike(rows: int) -> None:
    mesh = make_mesh(MeshShape(data=1))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    batch = {"x": np.arange(rows * 8.0).reshape(rows, 8).astype("f"), "n": np.arange(rows)}
    shardings = {"x": whole, "n": whole}
    place = placing(batch, shardings, None)
    for found, same in zip(
        jax.tree.leaves(place(batch)), jax.tree.leaves(place_batch(batch, shardings)), strict=True
    ):
        assert (found.dtype, found.sharding, found.committed) == (same.dtype, whole, True)
        np.testing.assert_array_equal(found, same)
