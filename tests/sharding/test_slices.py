from dataclasses import dataclass

import jax
import numpy as np
import pytest

from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.sharding.slices import arrange, groups_of


@dataclass(frozen=True)
class Device:
    id: int
    process_index: int
    slice_index: int = 0
    platform: str = "cpu"
    device_kind: str = "cpu"


def devices(*, per_process: int, per_slice: int, count: int = 8) -> list[Device]:
    return [Device(n, n // per_process, n // per_slice) for n in range(count)]


def ids(groups) -> list[list[int]]:
    return [[device.id for device in group] for group in groups]


HALVES = [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("per_process", "per_slice", "slices", "expected"),
    [
        (2, 4, 0, HALVES),
        (4, 8, 0, HALVES),
        (8, 8, 0, [[*range(8)]]),
        (1, 8, 0, [[*range(8)]]),
        (1, 8, 2, HALVES),
        (8, 8, 2, HALVES),
        (4, 8, 1, [[*range(8)]]),
    ],
)
def test_groups_are_slices_or_else_processes_of_several_devices(
    per_process, per_slice, slices, expected
) -> None:
    found = groups_of(devices(per_process=per_process, per_slice=per_slice), slices)
    assert ids(found) == expected


def test_devices_of_a_slice_are_together_however_they_are_numbered() -> None:
    mixed = [Device(n, 0, n % 2) for n in range(8)]
    assert ids(groups_of(mixed, 0)) == [[0, 2, 4, 6], [1, 3, 5, 7]]


@pytest.mark.parametrize(
    ("axes", "across"),
    [
        ({"data": 2, "fsdp": 2, "tensor": 2}, {"data"}),
        ({"data": 4, "fsdp": 2}, {"data"}),
        ({"data": 1, "fsdp": 4, "tensor": 2}, {"fsdp"}),
        ({"data": 1, "pipeline": 2, "fsdp": 2, "tensor": 2}, {"pipeline"}),
    ],
)
def test_data_spans_slices_before_all_others(axes, across) -> None:
    mesh = arrange(axes, groups_of(jax.devices(), 2))
    assert sorted(device.id for device in mesh.reshape(-1)) == list(range(8))
    half = np.vectorize(lambda device: device.id // 4)(mesh)
    for place, axis in enumerate(axes):
        crosses = np.any(half != np.take(half, [0], axis=place))
        assert crosses == (axis in across), axis


def test_what_does_not_divide_the_data_axis_is_left_to_the_next() -> None:
    mesh = arrange(
        {"data": 6, "fsdp": 2}, groups_of(devices(per_process=3, per_slice=12, count=12), 4)
    )
    slices = [[device.process_index for device in row] for row in mesh]
    assert slices == [[0, 1]] * 3 + [[2, 3]] * 3


def test_a_mesh_over_slices_has_the_axes_asked_for() -> None:
    mesh = make_mesh(MeshShape(fsdp=2, tensor=2, slices=2))
    assert dict(mesh.shape) == {"data": 2, "fsdp": 2, "tensor": 2}
    assert {device.id for device in mesh.devices[0].reshape(-1)} == {0, 1, 2, 3}
