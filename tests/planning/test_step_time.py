from bigmodel.planning.step_program import Memory, Program
from bigmodel.planning.step_time import StepTime, step_time, utilization
from bigmodel.sharding.chips import Chip
from bigmodel.sharding.collectives import Collective
from bigmodel.tracking.flops import Work

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


def test_a_step_takes_its_slowest_part_or_waits_for_the_links_too() -> None:
    found = StepTime(products=3.0, memory=2.0, links=1.0)
    assert (found.least, found.most) == (3.0, 4.0)


def test_mfu_is_the_share_of_the_peak_that_the_model_needs() -> None:
    assert utilization(PROGRAM, CHIP, 4, seconds=4.0) == 800 / (4 * 4 * 100)
