from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from bigmodel.experiment import InputError
from bigmodel.partition import GRID, unsharded
from bigmodel.sharding.collectives import collectives
from bigmodel.sharding.mesh import (
    MeshShape,
    batch_shardings,
    grid_of,
    make_mesh,
    state_shardings,
)
from bigmodel.sharding.slices import groups_of


@jax.tree_util.register_dataclass
@dataclass
class State:
    params: dict[str, Any]


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (MeshShape(), (8, 1)),
        (MeshShape(fsdp=4), (2, 4)),
        (MeshShape(data=1), (1, 1)),
        (MeshShape(data=2, fsdp=2), (2, 2)),
        (MeshShape(tensor=4), (2, 1, 4)),
        (MeshShape(1, 1, 2, 2, 1, 2), (1, 2, 1, 2, 2)),
    ],
)
def test_axes_take_what_is_asked_and_data_the_rest(asked, given) -> None:
    assert make_mesh(asked).devices.shape == given


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"fsdp": 3}, "--mesh.fsdp 3 does not divide the 8 devices; use 1, 2, 4 or 8"),
        ({"data": 16}, "--mesh.data 16 does not divide the 8 devices"),
        ({"data": 8, "fsdp": 2}, "--mesh.data 8 .* after --mesh.fsdp 2; use 1, 2 or 4"),
        ({"fsdp": 4, "tensor": 4}, "--mesh.tensor 4 .* after --mesh.fsdp 4; use 1 or 2"),
        ({"expert": 0}, "--mesh.expert is 0; it must be at least 1"),
        ({"tensor": 8, "slices": 2}, "2 slices .* make --mesh.data a multiple of 2"),
        ({"slices": 3}, "--mesh.slices 3 does not divide the 8 devices"),
    ],
)
def test_a_size_that_does_not_divide_is_refused_with_those_that_do(
    asked: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_mesh(MeshShape(**asked))


def test_an_axis_that_splits_nothing_is_refused() -> None:
    rules = (("^batch/tokens$", P(None, "sequence")), ("kernel$", P("fsdp", "tensor")))
    state = State({"kernel": shape(4, 6)})
    state_shardings(make_mesh(MeshShape(1, tensor=2, sequence=2)), rules, state)
    with pytest.raises(
        InputError, match=r"--mesh.expert 2: with these options this model has nothing to split"
    ):
        state_shardings(make_mesh(MeshShape(1, expert=2)), rules, state)
    with pytest.raises(InputError, match=r"--mesh.tensor 4 divides nothing that this model"):
        state_shardings(make_mesh(MeshShape(1, tensor=4)), rules, state)


def test_a_batch_is_spread_over_examples_and_where_a_rule_says_over_positions() -> None:
    rules = (("^batch/tokens$", P(None, "sequence")), (".*", P("fsdp", "tensor")))
    mesh = make_mesh(MeshShape(1, 2, sequence=2, expert=2))
    found = batch_shardings(mesh, rules, {"tokens": shape(8, 6), "label": shape(8, 6)})
    assert found["tokens"].spec == P(("data", "fsdp", "expert"), "sequence")
    assert found["label"].spec == P(("data", "fsdp", "expert"))
    with pytest.raises(InputError, match=r"--mesh.sequence 2 does not divide the 5 positions"):
        batch_shardings(mesh, rules, {"tokens": shape(8, 5)})


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match=r"--data.batch-size 12 .* use a multiple of 8"):
        batch_shardings(make_mesh(MeshShape()), (), {"image": shape(12, 3)})


def test_the_first_rule_found_in_the_path_decides() -> None:
    rules = ((r"kernel$", P(None, "fsdp")), (r".*", P("fsdp")))
    state = State({"kernel": shape(4, 8), "bias": shape(8)})
    found = state_shardings(make_mesh(MeshShape(fsdp=4)), rules, state).params
    assert found["kernel"].spec == P(None, "fsdp")
    assert found["bias"].spec == P("fsdp")


def test_an_axis_that_does_not_divide_a_dimension_is_left_out() -> None:
    rules = ((r".*", P("fsdp", "data")),)
    state = State({"kernel": shape(10, 8)})
    found = state_shardings(make_mesh(MeshShape(fsdp=4)), rules, state).params
    assert found["kernel"].spec == P(None, "data")


def test_a_parameter_without_a_rule_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="covers the parameter deep/kernel"):
        state_shardings(
            make_mesh(MeshShape()), ((r"bias", P()),), State({"deep": {"kernel": shape(2)}})
        )


def test_parameters_are_gathered_and_their_gradients_stay_where_they_are_stored() -> None:
    mesh, rules = make_mesh(MeshShape(1, 8)), ((r"kernel$", P(None, "fsdp")),)

    def loss(params, x):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            kernel = unsharded({"params": params}, rules)["params"]["kernel"]
            return jnp.sum(jnp.sin(x @ kernel))

    def shapes(*shape, spec):
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, spec))

    params = {"kernel": shapes(16, 8, spec=rules[0][1])}
    x = shapes(32, 16, spec=P("fsdp"))
    compiled = jax.jit(jax.grad(loss)).lower(params, x).compile()
    assert compiled.output_shardings["kernel"].spec == rules[0][1]
    found = [(one.kind, one.bytes) for one in collectives(compiled.as_text())]
    # The compiler for CPU sums up all and keeps a part, where others reduce-scatter.
    assert sorted(found) == [("all-gather", 4 * 16 * 8), ("all-reduce", 4 * 16 * 8)]


def test_gradients_leave_over_one_side_of_a_grid_after_the_other_with_the_same_values() -> None:
    mesh, rules = make_mesh(MeshShape(1, 8)), ((r"kernel$", P(None, "fsdp")),)

    def gradient(params, x):
        def loss(params):
            return jnp.sum(jnp.sin(x @ unsharded({"params": params}, rules)["params"]["kernel"]))

        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return jax.grad(loss)(params)

    keys = jax.random.split(jax.random.key(0))
    params = {"kernel": jax.random.normal(keys[0], (16, 8))}
    x = jax.random.normal(keys[1], (32, 16))
    layouts = ({"kernel": NamedSharding(mesh, rules[0][1])}, NamedSharding(mesh, P("fsdp")))
    found = {}
    for sides in ((), (2, 4)):
        token = GRID.set(sides)
        # A function of its own each time, for those that were traced are kept.
        compiled = jax.jit(partial(gradient), in_shardings=layouts).lower(params, x).compile()
        GRID.reset(token)
        groups = [one.group_size for one in collectives(compiled.as_text()) if "reduce" in one.kind]
        found[sides] = sorted(groups), compiled(*jax.device_put((params, x), layouts))["kernel"]
    assert [groups for groups, _ in found.values()] == [[8], [2, 4]]
    one, other = (kernel for _, kernel in found.values())
    assert one.sharding.is_equivalent_to(other.sharding, 2)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


class Chip(NamedTuple):
    """A device as TPUs report it."""

    coords: tuple[int, int, int]
    process_index: int
    slice_index: int | None = None
    platform: str = "tpu"


CHIPS = [Chip((x, y, 0), 4 * (y // 2) + x // 2) for x in range(8) for y in range(8)]


@pytest.mark.parametrize(
    ("devices", "shape", "sides"),
    [
        (CHIPS, (1, 64), (8, 8)),
        (CHIPS[:32], (1, 32), ()),
        (CHIPS, (4, 16), ()),
        (CHIPS, (8, 8), ()),
        (CHIPS[:7] + CHIPS[8:9], (1, 8), ()),
        ([Chip((x, 0, 0), 0) for x in range(8)], (1, 8), ()),
        ([Chip((0, y, x), 0) for x in range(2) for y in range(2)], (1, 4), (2, 2)),
        ([*CHIPS[:32], *CHIPS[:32]], (1, 64), ()),
        ([chip._replace(platform="gpu") for chip in CHIPS], (1, 64), ()),
    ],
)
def test_a_grid_is_what_the_chips_fill_row_by_row(devices, shape, sides) -> None:
    placed = np.empty(shape, object)
    for at, device in zip(np.ndindex(*shape), devices, strict=True):
        placed[at] = device
    mesh = SimpleNamespace(devices=placed, axis_names=("data", "fsdp"))
    assert grid_of(cast("Mesh", mesh)) == sides


def test_the_hosts_of_a_slice_of_tpus_are_one_group() -> None:
    assert groups_of(CHIPS, 0) == [CHIPS]
    two = [chip._replace(slice_index=at % 2) for at, chip in enumerate(CHIPS)]
    assert groups_of(two, 0) == [two[::2], two[1::2]]
    gpus = [chip._replace(platform="gpu") for chip in CHIPS]
    assert len(groups_of(gpus, 0)) == 16
