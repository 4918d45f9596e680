"""A plan as text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from bigmodel.planning.step_program import Memory, Program, step_time
from bigmodel.planning.target import Target
from bigmodel.sharding.chips import CHIPS

WIDTH = 34
STAND_IN = (
    "compiled for virtual CPU devices: parameters and optimizer state are exact, "
    "activations and exchanges those of another compiler"
)


def table(script: Path, target: Target, program: Program) -> str:
    """Renders the plan of the program that was compiled for a target."""
    return "\n".join(_lines(script, target, program))


def _lines(script: Path, target: Target, program: Program) -> Iterator[str]:
    mesh = program.mesh
    devices = math.prod(mesh.values())
    axes = " ".join(f"{axis}={size}" for axis, size in mesh.items())
    yield f"{script} on {target.name}, mesh {axes}"
    if target.tpu:
        version = metadata.version("libtpu")
        yield f"compiled for it by libtpu {version}: what such a slice would run"
    else:
        yield STAND_IN
    yield _row("parameters", f"{program.parameters:,}")
    yield _row(f"{program.unit} in a step", f"{program.units:,}")
    yield from _memory(program.memory, target)
    work = program.work
    yield ""
    yield "FLOPs of a step, on all devices together"
    yield _row("  of the model, forward and backward", f"{program.flops:.4g}")
    yield _row("  that its products come to", f"{work.flops:.4g}")
    if work.repeated:
        yield _row("  of which computed again", f"{work.repeated:.4g}")
    if program.exchanges is None:
        return
    sent: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for one in program.exchanges:
        sent[one.kind] += round(one.sent)
        times[one.kind] += one.times
    yield ""
    yield "sent by each device in a step" + ("" if sent else ": nothing")
    for kind, total in sent.most_common():
        yield _row(f"  {kind} x {times[kind]}", _size(total))
    if target.chip is None:
        return
    found = step_time(program, target.chip, devices)
    yield ""
    yield "seconds of a step, if each part of the chip is at its peak"
    yield _row("  matrix products", f"{found.products:.3g}")
    yield _row("  memory", f"{found.memory:.3g}")
    yield _row("  links", f"{found.links:.3g}")
    for name, seconds in (("  all at once", found.least), ("  waiting for links", found.most)):
        share = program.flops / (seconds * devices * target.chip.bfloat16)
        rate = program.units / seconds
        yield _row(name, f"{seconds:.3g}") + f"  MFU {share:.0%}, {rate:,.0f} {program.unit}/s"


def _memory(memory: Memory, target: Target) -> Iterator[str]:
    yield ""
    yield "memory of each device"
    yield _row("  parameters", _size(memory.parameters))
    yield _row("  gradients", _size(memory.gradients))
    yield _row("  optimizer state", _size(memory.optimizer))
    yield _row("  activations and temporaries", _size(memory.activations))
    yield _row("  batch, other state and results", _size(memory.other))
    if memory.program:
        yield _row("  program", _size(memory.program))
    yield _row("  together", _size(memory.total))
    if target.chip is None:
        fitting = [name for name, chip in CHIPS.items() if memory.total <= chip.memory]
        yield f"  fits {', '.join(fitting) or 'no chip of the table'}"
        return
    limit = target.chip.memory
    if memory.total <= limit:
        yield f"  FITS: {_size(limit - memory.total)} of {_size(limit)} are left"
    else:
        yield (
            f"  DOES NOT FIT: {_size(memory.total - limit)} more than the {_size(limit)} that "
            "there are; --search looks for a mesh, a batch size and remat that do"
        )


def _row(name: str, value: str) -> str:
    return f"{name:<{WIDTH}}{value:>24}"


def _size(count: float) -> str:
    """Bytes in GB of 10^9, or MB where there are few."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
