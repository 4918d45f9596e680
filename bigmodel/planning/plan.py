"""Plans a run on devices that you need not have: whether it fits, and how fast it could be.

Compiles the real training step for them and reads memory, work and communication from the
program. For TPUs this uses libtpu (pip install -e '.[tpu]'), which compiles for a slice that is not
attached; for all other devices it uses virtual devices of the CPU. No parameters are created. The
exit status is 1 if the run does not fit.

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
    add = parser.add_argument
    add("--topology", help="chip and its slice or number, such as v5e:8x8 or h100:8")
    add("--devices", type=int, help="number of devices, instead of a topology")
    add("--chip", help="chip of the --devices")
    search = "try meshes, batch sizes and remat; print the best that fits"
    add("--search", action="store_true", help=search)
    add(
        "--tries",
        type=int,
        default=12,
        help="number of programs that a search compiles; default 12",
    )


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Prints a plan and returns 0 if the run fits or no chip was named, else 1."""
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
