"""How long a step takes at the least, from what a chip can do at its best."""

from __future__ import annotations

from typing import NamedTuple

from bigmodel.planning.step_program import Program
from bigmodel.sharding.chips import Chip


class StepTime(NamedTuple):
    """Seconds of a step that the parts of a device need if each works at its peak.

    ``products`` are matrix products and convolutions, ``memory`` what goes through the
    device's memory, ``links`` what it sends to others.
    """

    products: float
    memory: float
    links: float

    @property
    def least(self) -> float:
        """A step in which all parts work at the same time."""
        return max(self)

    @property
    def most(self) -> float:
        """A step in which the device waits for its links."""
        return max(self.products, self.memory) + self.links


def step_time(program: Program, chip: Chip, devices: int) -> StepTime:
    """The time of a step, if the devices share the products evenly.

    Through the memory go the operands and results of all products, parameters and optimizer
    state twice, to be read and written, and twice what is gathered or summed up from other
    devices. All that is not a product is taken to be part of one.
    """
    work = program.work
    products = (work.flops - work.float32) / chip.bfloat16 + work.float32 / chip.float32
    exchanged = sum(one.bytes * one.times for one in program.exchanges or ())
    moved = work.bytes / devices + 2 * (program.memory.state + exchanged)
    links = sum(one.sent for one in program.exchanges or ())
    return StepTime(products / devices, moved / chip.memory_bandwidth, links / chip.link_bandwidth)


def utilization(program: Program, chip: Chip, devices: int, seconds: float) -> float:
    """MFU: the model's FLOPs per second as a share of the peak in bfloat16."""
    return program.flops / (seconds * devices * chip.bfloat16)
