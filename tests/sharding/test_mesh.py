from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bigmodel.experiment import InputError
from bigmodel.partition import unsharded
from bigmodel.sharding.collectives import collectives
from bigmodel.sharding.mesh import MeshShape, batch_shardings, make_mesh, state_shardings


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
