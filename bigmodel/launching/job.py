"""A job for a scheduler of any kind, and the options that describe it."""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bigmodel.experiment import InputError

RESOURCES = ("gpus_per_node", "cpus_per_task", "mem", "notice", "retries")
NOTICE = 120
RETRIES = 3


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training job."""

    name: str
    """also that of its run directory"""
    script: Path
    options: tuple[str, ...]
    """of the experiment"""
    nodes: int
    gpus_per_node: int
    processes_per_node: int
    cpus_per_task: int | None
    mem: str | None
    """of a node, as the scheduler writes it"""
    notice: int
    """seconds between the request to stop and the end"""
    retries: int
    """tries after a process died"""
    written_by: str
    """the command that asks for it"""

    def arguments(self, runs: str = "runs") -> list[str]:
        """The script and its options. The run directory is among them, so a restart finds it."""
        chosen = any(option.split("=")[0] == "--run.dir" for option in self.options)
        directory = [] if chosen else [f"--run.dir={runs}/{self.name}"]
        return [str(self.script), *directory, *self.options]


def default_name(script: Path, options: Sequence[str]) -> str:
    """A name that is a digest of script and options."""
    digest = hashlib.sha256(json.dumps([script.name, *options]).encode()).hexdigest()
    return f"{script.stem.lower().replace('_', '-')}-{digest[:8]}"


def add_resources(parser: argparse._ActionsContainer) -> None:
    """Adds the options that all schedulers have."""
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


def job_of(
    parsed: argparse.Namespace,
    *,
    name: str,
    script: Path,
    options: Sequence[str],
    nodes: int = 1,
    processes_per_node: int = 1,
) -> Job:
    """The job described by a command line; raises InputError for a number that is too small."""
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


def check_positive(name: str, value: int | None, least: int = 1) -> None:
    """Raises InputError for a number that is too small; None is none."""
    if value is not None and value < least:
        raise InputError(f"--{name} is {value}; it must be at least {least}")
