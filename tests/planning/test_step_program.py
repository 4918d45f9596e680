from typing import Any

import linear
import pytest

from bigmodel.experiment import WHOLE
from bigmodel.planning.step_program import (
    Memory,
    Program,
    StepTime,
    _wanted,
    compile_step,
    step_time,
)
from bigmodel.sharding.chips import Chip
from bigmodel.sharding.collectives import Collective
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.tracking.flops import Work

KERNEL = 4 * 8 * 3
EXAMPLES = 16


def program(shape: MeshShape) -> Program:
    return compile_step(linear.experiment(), make_mesh(shape), platform="cpu", options={})


def test_sharded_parameters_and_optimizer_state_take_their_share_of_each_device() -> None:
    whole, shared = program(MeshShape(8)).memory, program(MeshShape(1, 8)).memory
    # Adam has two moments for each parameter, and counters that every device has.
    counters = whole.optimizer - 2 * KERNEL
    assert whole.parameters == KERNEL
    assert shared.parameters == KERNEL // 8
    assert shared.optimizer == 2 * KERNEL // 8 + counters


def test_data_parallel_training_sums_up_the_gradients_of_all_parameters() -> None:
    found = program(MeshShape(8))
    assert found.exchanges is not None
    summed = [one for one in found.exchanges if one.kind == "all-reduce"]
    # With them go the sums of the metrics and of the weights, some numbers.
    assert KERNEL <= sum(one.bytes for one in summed) <= KERNEL + 64
    assert {one.group_size for one in summed} == {8}


def test_work_is_that_of_the_products_over_all_devices() -> None:
    forward = 2 * EXAMPLES * 8 * 3
    found = program(MeshShape(1, 8))
    # No gradient of the images is needed.
    assert found.work.flops == found.flops == found.work.float32 == 2 * forward
    assert (found.parameters, found.unit, found.units) == (8 * 3, "examples", EXAMPLES)


def test_a_formula_of_the_experiment_decides_the_flops_of_the_model() -> None:
    one = linear.experiment(flops=7.0)
    found = compile_step(one, make_mesh(MeshShape(1)), platform="cpu", options={})
    assert found.flops == 7.0


def test_no_parameter_is_made_and_one_batch_of_data() -> None:
    asked = []

    def train(seed: int, step: int, rows: slice = WHOLE) -> Any:
        asked.append(step)
        return data.train(seed, step, rows)

    def init(key: object) -> object:
        made.append(isinstance(key, jax_core.Tracer))
        return one.init(key)

    from jax import core as jax_core

    one, made = linear.experiment(), []
    data = one.data
    counted = one._replace(data=data._replace(train=train), init=init)
    compile_step(counted, make_mesh(MeshShape(8)), platform="cpu", options={})
    assert set(asked) == {0}
    assert all(made)


def test_what_the_tpu_compiler_lacks_is_read_from_its_message() -> None:
    temporaries = "memory required for HLO temporaries (41.5G) exceeds available HBM (15.75G)."
    assert _wanted(temporaries, 7) == 41.5 * 2**30
    everything = "Ran out of memory in memory space hbm. Used 20.50G of 15.75G hbm."
    assert _wanted(everything, 2**30) == 19.5 * 2**30
    assert _wanted("Another error", 7) is None


def test_a_step_takes_its_slowest_part_or_waits_for_its_links_too() -> None:
    time = StepTime(products=3.0, memory=2.0, links=1.0)
    assert (time.least, time.most) == (3.0, 4.0)


@pytest.mark.parametrize("shape", [MeshShape(1), MeshShape(1, 8)])
def test_gradients_are_a_part_of_the_temporaries(shape: MeshShape) -> None:
    memory = program(shape).memory
    assert 0 < memory.gradients <= memory.parameters


CHIP = Chip(
    bfloat16=100.0,
    float32=50.0,
    memory=1e3,
    memory_bandwidth=10.0,
    link_bandwidth=5.0,
    kinds=(),
)
EXCHANGE = Collective("all-gather", 40, (0, 1, 2, 3), 2)
PROGRAM = Program(
    mesh={"data": 4},
    parameters=1,
    memory=Memory(30, 20, 30, 0, 0, 0),
    unit="tokens",
    units=8,
    work=Work(flops=1200.0, repeated=300.0, float32=400.0, bytes=80.0),
    flops=800.0,
    exchanges=[EXCHANGE],
)


def test_each_part_takes_what_it_does_at_its_peak() -> None:
    found = step_time(PROGRAM, CHIP, 4)
    # 800 FLOPs in bfloat16 and 400 in float32, on 4 devices.
    assert found.products == (800 / 100 + 400 / 50) / 4
    # A share of the operands, the state and what is gathered: written and read again.
    assert found.memory == (80 / 4 + 2 * 50 + 2 * 40 * 2) / 10
    # A ring sends three quarters of 40 bytes, twice.
    assert found.links == 2 * 30 / 5
