"""How a user asks for a job: the options that commands share, and what they come to."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from bigmodel.experiment import InputError
from bigmodel.launching.job import Job, check_positive
from bigmodel.launching.slurm import Request, seconds_of

RESOURCES = ("gpus_per_node", "cpus_per_task", "mem", "notice", "retries")
SBATCH = ("partition", "account", "qos", "constraint", "exclude")
"""Options that sbatch has under the same name."""
OF_SLURM = (*SBATCH, "time", "sbatch", "setup")
NOTICE = 120
RETRIES = 3


def add_resources(parser: argparse._ActionsContainer) -> None:
    """Adds what every scheduler is asked for."""
    add = parser.add_argument
    add("--gpus-per-node", type=int, help="default 0")
    add("--cpus-per-task", type=int, help="cores of each process")
    add("--mem", help="memory: of a node as 64G on SLURM, of a pod as 64Gi on Kubernetes")
    add(
        "--notice",
        type=int,
        help=f"seconds that the run has to save before it is ended; default {NOTICE}",
    )
    add(
        "--retries",
        type=int,
        help=f"starts from the last checkpoint after a process died; default {RETRIES}",
    )


def add_slurm_options(parser: argparse._ActionsContainer) -> None:
    """Adds what SLURM alone is asked for."""
    add = parser.add_argument
    add("--time", help="limit as minutes, h:m:s or days-h; goes on after it in a new job")
    for name in SBATCH:
        add(f"--{name}", help=f"{name} of sbatch")
    add("--sbatch", action="append", help="any other option of sbatch, as constraint=a100")
    add("--setup", action="append", help="a line of shell to run first, as 'module load cuda'")


def job_of(
    parsed: argparse.Namespace,
    *,
    name: str,
    script: Path,
    options: Sequence[str],
    nodes: int = 1,
    processes_per_node: int = 1,
) -> Job:
    """The job that a command line asks for.

    Raises:
        InputError: for a number that is too small.
    """
    check_positive("gpus-per-node", parsed.gpus_per_node, 0)
    check_positive("cpus-per-task", parsed.cpus_per_task)
    check_positive("notice", parsed.notice)
    check_positive("retries", parsed.retries, 0)
    return Job(
        name=name,
        script=script,
        options=tuple(options),
        nodes=nodes,
        gpus_per_node=parsed.gpus_per_node or 0,
        processes_per_node=processes_per_node,
        cpus_per_task=parsed.cpus_per_task,
        mem=parsed.mem,
        notice=parsed.notice or NOTICE,
        retries=RETRIES if parsed.retries is None else parsed.retries,
        written_by=shlex.join(["python", *sys.argv]).replace("\n", " "),
    )


def request_of(parsed: argparse.Namespace, job: Job) -> Request:
    """What a command line asks of SLURM beside the job; it runs where the command is given.

    Raises:
        InputError: for a time that SLURM cannot read, or that leaves none but the notice.
    """
    if parsed.time is not None and 0 < seconds_of(parsed.time) <= job.notice:
        raise InputError(
            f"--time {parsed.time} is {seconds_of(parsed.time)} s, all of it --notice; "
            "make one longer or the other shorter"
        )
    others = {name: getattr(parsed, name) for name in SBATCH}
    return Request(
        directory=str(Path.cwd()),
        logs="slurm",
        python="python" if parsed.setup else sys.executable,
        time=parsed.time,
        setup=parsed.setup or (),
        others={name: value for name, value in others.items() if value is not None},
        raw=parsed.sbatch or (),
    )
