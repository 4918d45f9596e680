"""Says beforehand whether a run fits devices that need not be here, and how fast it could be.

Compiles the real training step for them and reads memory, work and communication from the
program. For TPUs that takes libtpu (pip install -e '.[tpu]'), which compiles for a slice without
having it; virtual devices of the CPU stand in for all others. No parameter is made. The exit
status is 1 where the run does not fit.

python launch.py plan experiments/gpt.py --topology v5e:8x8 -- --mesh.fsdp 64 --model.layers 32
python launch.py plan experiments/cnn.py --devices 8 --chip h100 --search
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bigmodel.experiment import InputError
from bigmodel.planning.target import prepare, target
from bigmodel.script import add_script, check_script


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_script(parser)
    parser.add_argument("--topology", help="a chip and its slice or number: v5e:8x8, h100:8")
    parser.add_argument("--devices", type=int, help="a number of devices, in place of a topology")
    parser.add_argument("--chip", help="the chip that --devices are, if one is meant")
    parser.add_argument(
        "--search",
        action="store_true",
        help="try meshes, batch sizes and remat; print the best that fits",
    )
    parser.add_argument(
        "--tries", type=int, default=12, help="programs to compile in a search; default 12"
    )


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Plans, prints, and gives 0 where it fits or no chip was named, else 1."""
    check_script(parsed.script)
    found = target(topology=parsed.topology, devices=parsed.devices, chip=parsed.chip)
    if parsed.tries < 1:
        raise InputError(f"--tries is {parsed.tries}; it must be at least 1")
    prepare(found)
    # JAX reads its settings when it is imported.
    from bigmodel.planning.planning import plan
    from bigmodel.planning.search import search

    if parsed.search:
        return search(parsed.script, options, found, tries=parsed.tries)
    return plan(parsed.script, options, found)
