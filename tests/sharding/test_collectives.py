from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from bigmodel.sharding.collectives import Collective, collectives
from bigmodel.sharding.mesh import MeshShape, make_mesh

TEXT = """HloModule step, num_partitions=8

%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %add = f32[] add(%a, %b)
}

ENTRY %main (x: f32[4]) -> f32[4] {
"""


def compiled(function, mesh, *, places, shape=(16, 4)):
    mapped = jax.shard_map(function, mesh=mesh, in_specs=P(*places), out_specs=P(*places))
    shapes = jax.ShapeDtypeStruct(shape, jnp.float32)
    return collectives(jax.jit(mapped).lower(shapes).compile().as_text())


def in_text(operation: str) -> list[Collective]:
    return collectives(f"{TEXT}  ROOT %x = {operation}\n}}\n")


@pytest.mark.parametrize("axis", ["data", "fsdp"])
@pytest.mark.parametrize(
    ("kind", "function", "bytes_"),
    [
        ("all-reduce", lambda x, a: x + lax.psum(x, a), 2 * 4 * 4),
        (
            "all-to-all",
            lambda x, a: lax.all_to_all(
                jnp.zeros((8, 4)) + x[:1], a, split_axis=0, concat_axis=0, tiled=True
            )[:2],
            8 * 4 * 4,
        ),
    ],
)
def test_kind_bytes_and_group_of_one_collective(kind, function, bytes_, axis) -> None:
    mesh = make_mesh(MeshShape(2, 4))
    found = compiled(partial(function, a=axis), mesh, places=[("data", "fsdp")])
    group = {"data": (0, 4), "fsdp": (0, 1, 2, 3)}[axis]
    assert found == [Collective(kind, bytes_, group, 1)]
    assert found[0].group_size == mesh.shape[axis]


def test_a_permutation_is_the_ring_that_it_goes_round() -> None:
    mesh = make_mesh(MeshShape(2, 4))
    ring = [(i, (i + 1) % 4) for i in range(4)]
    (found,) = compiled(lambda x: lax.ppermute(x, "fsdp", ring), mesh, places=[("data", "fsdp")])
    assert found == Collective("collective-permute", 2 * 4 * 4, (0, 1, 2, 3), 1)


def test_a_loop_counts_as_often_as_it_runs_and_one_in_it_as_both() -> None:
    def twice(x):
        return lax.fori_loop(0, 3, lambda _, y: jnp.cos(lax.psum(jnp.sin(y), "data")), x)

    def seven_times(x):
        return lax.fori_loop(0, 7, lambda _, y: twice(y + 1.0), x)

    found = compiled(
        lambda x: lax.pcast(seven_times(lax.psum(x, "data")), "data", to="varying"),
        make_mesh(MeshShape(8)),
        places=["data"],
    )
    assert sorted(one.times for one in found) == [1, 21]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("{{0,2},{1,3}}", (0, 2)),
        ("[4,2]<=[8]", (0, 1)),
        ("[2,4]<=[4,2]T(1,0)", (0, 2, 4, 6)),
        ("{}", tuple(range(8))),
        ("mesh['a'=2,'b'=4] {'b'}", (0, 1, 2, 3)),
        ("mesh['a'=2,'b'=4] {'a'}", (0, 4)),
        ("mesh['a'=8] {'a':(1)2}", (0, 4)),
        ("mesh['a'=8] {'a':(4)2}", (0, 1)),
        ("mesh['a'=1,'b'=4,'c'=2], device_ids=([2,4]T(1,0)) {'b'}", (0, 1, 2, 3)),
    ],
)
def test_groups_are_read_however_they_are_written(groups, expected) -> None:
    (found,) = in_text(f"f32[4]{{0}} all-reduce(%y), replica_groups={groups}, to_apply=%sum")
    assert found.devices == expected


@pytest.mark.parametrize(
    ("operation", "kind", "bytes_"),
    [
        ("bf16[8,3]{1,0} all-gather(%y), replica_groups=[2,4]<=[8]", "all-gather", 48),
        (
            "(bf16[2,3], bf16[8,3]) all-gather-start(%y), replica_groups=[2,4]<=[8]",
            "all-gather",
            48,
        ),
        (
            "((f32[2], u8[2]), (f32[8], u8[8])) all-gather-start(%y), replica_groups=[2,4]<=[8]",
            "all-gather",
            40,
        ),
        ("f32[2]{0} reduce-scatter(%y), replica_groups=[2,4]<=[8]", "reduce-scatter", 32),
        ("(f32[4], f32[]) all-reduce(%y, %z), replica_groups={}", "all-reduce", 20),
        (
            "(f32[4], f32[4], u32[], u32[]) collective-permute-start(%y), "
            "source_target_pairs={{0,1},{1,2}}",
            "collective-permute",
            16,
        ),
    ],
)
def test_bytes_are_those_of_the_whole_array(operation, kind, bytes_) -> None:
    (found,) = in_text(operation)
    assert (found.kind, found.bytes) == (kind, bytes_)


def test_a_sum_of_which_a_tpu_keeps_a_part_is_a_reduce_scatter() -> None:
    (found,) = collectives(
        "HloModule step, num_partitions=8\n\n%all-reduce-scatter.2 (y: f32[8]) -> f32[1] {\n"
        "  %sum = f32[8]{0} all-reduce(%y), replica_groups=[1,8]<=[8], to_apply=%add\n}\n\n"
        "ENTRY %main (x: f32[8]) -> f32[1] {\n"
        "  ROOT %x = f32[1] fusion(%x), kind=kCustom, calls=%all-reduce-scatter.2\n}\n"
    )
    assert found == Collective("reduce-scatter", 32, tuple(range(8)), 1)


def test_the_end_of_what_was_started_and_a_group_of_one_do_not_count() -> None:
    assert in_text("f32[4] all-reduce-done(%y)") == []
    assert in_text("f32[4] all-reduce(%y), replica_groups=[8,1]<=[8], to_apply=%sum") == []


def test_bytes_sent_are_those_of_a_ring() -> None:
    group = (0, 1, 2, 3)
    assert Collective("all-reduce", 100, group, 2).sent == 300
    assert Collective("all-gather", 100, group, 1).sent == 75
    assert Collective("collective-permute", 100, group, 3).sent == 300


LOOP = """HloModule step, num_partitions=8

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %first = f32[4] all-reduce(%y), channel_id=1, replica_groups=[1,8]<=[8], to_apply=%sum, CONFIG
  %second = f32[4] all-reduce(%y), channel_id=1, replica_groups=[1,8]<=[8], to_apply=%sum, CONFIG
}

%condition (p: (s32[], f32[4])) -> pred[] {
  %bound = s32[]{:T(128)} constant(32)
  ROOT %less = pred[] compare(%index, %bound), direction=LT
}

ENTRY %main (x: f32[4]) -> f32[4] {
  ROOT %loop = (s32[], f32[4]) while(%x), condition=%condition, body=%body
}
"""


def test_a_loop_runs_up_to_the_bound_of_its_condition_and_parts_count_once() -> None:
    config = 'backend_config={"async_collective_fusion_config":{"flag_start":"-1"}}'
    assert collectives(LOOP.replace("CONFIG", config)) == [
        Collective("all-reduce", 16, tuple(range(8)), 32)
    ]
