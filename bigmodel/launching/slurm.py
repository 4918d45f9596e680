"""A job of SLURM, or an array of them: the script that sbatch takes.

Checked with SLURM 22.05. ``--signal`` gives the processes SIGTERM before the time is up, and so
does a preemption with a grace time: the run saves and says 75, and the script puts the job back
into the queue. Without a grace time SLURM itself signals, waits for its ``KillWait`` and
requeues. A job that is cancelled gets SIGTERM too, but its script is ended with it, and so it
stays cancelled.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bigmodel import errors
from bigmodel.experiment import InputError
from bigmodel.launching.job import Job
from bigmodel.launching.supervisor import FINAL
from bigmodel.processes.rendezvous import RESUMES

SBATCH = ("partition", "account", "qos", "constraint", "exclude")
"""Options that sbatch has under the same name."""
OF_SLURM = (*SBATCH, "time", "sbatch", "setup")
FORMATS = (
    r"(?P<m>\d+)(:(?P<s>\d+))?",
    r"(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)",
    r"(?P<d>\d+)-(?P<h>\d+)(:(?P<m>\d+)(:(?P<s>\d+))?)?",
)
"""Of a time limit, as sbatch documents them: m, m:s, h:m:s, d-h, d-h:m, d-h:m:s."""
WAIT = 60
"""Seconds from the end of the first process to that of the last one, at the most."""
PAUSE = 5
"""Seconds between a failure and the next try."""


@dataclass(frozen=True, kw_only=True)
class Array:
    """An array of tasks that differ in one word of their command."""

    command: Sequence[str]
    """of each, for Python; the task's word comes after it"""
    words: Sequence[str]
    limit: int | None
    """tasks that may run at once"""


def add_slurm_options(parser: argparse._ActionsContainer) -> None:
    """Adds the options of SLURM."""
    add = parser.add_argument
    add("--time", help="limit as minutes, h:m:s or days-h; goes on after it in a new job")
    for name in SBATCH:
        add(f"--{name}", help=f"{name} of sbatch")
    add("--sbatch", action="append", help="any other option of sbatch, as constraint=a100")
    add("--setup", action="append", help="a line of shell to run first, as 'module load cuda'")


def sbatch_script(job: Job, parsed: argparse.Namespace, array: Array | None = None) -> str:
    """A script for sbatch that trains in the current directory, and resumes after an interruption.

    Raises:
        InputError: for a time that SLURM cannot read, or that leaves none but the notice, and for a
            value that a directive of sbatch cannot hold.
    """
    if parsed.time is not None and 0 < seconds_of(parsed.time) <= job.notice:
        raise InputError(
            f"--time {parsed.time} is {seconds_of(parsed.time)} s, all of it --notice; "
            "make one longer or the other shorter"
        )
    directory = str(Path.cwd())
    if re.search(r"[\\%]", directory):
        raise InputError(f"SLURM takes \\ and % in {directory} for its own; rename it")
    indices = None
    if array is not None:
        limit = "" if array.limit is None else f"%{array.limit}"
        indices = f"0-{len(array.words) - 1}{limit}"
    directives = {
        "job-name": job.name,
        "nodes": job.nodes,
        "ntasks-per-node": job.processes_per_node,
        "gpus-per-node": job.gpus_per_node or None,
        "cpus-per-task": job.cpus_per_task,
        "mem": job.mem,
        "time": parsed.time,
        **{name: getattr(parsed, name) for name in SBATCH},
        "array": indices,
        "chdir": directory,
        "output": f"slurm/{job.name}-{'%j' if array is None else '%A_%a'}.log",
        "open-mode": "append",
        "signal": f"TERM@{job.notice}",
    }
    lines = [f"--{name}={value}" for name, value in directives.items() if value is not None]
    lines = [*map(_directive, [*lines, "--requeue"]), *map(_raw_directive, parsed.sbatch or ())]
    tasks = "" if array is None else f" in {_count(len(array.words), 'task')}"
    return "\n".join(
        [
            "#!/bin/bash",
            f"# {job.script}{tasks} on {_count(job.nodes, 'node')}, "
            f"{_count(job.processes_per_node, 'process')} each. Written by:",
            f"# {job.written_by}",
            *lines,
            "",
            *_environment(job),
            *(parsed.setup or ()),
            *(() if array is None else ["words=(", *map(shlex.quote, array.words), ")"]),
            *_tries(job, "python" if parsed.setup else sys.executable, array),
            "",
        ]
    )


def seconds_of(time: str) -> int:
    """The length of a time limit in seconds; raises InputError for a format that SLURM has not."""
    for pattern in FORMATS:
        found = re.fullmatch(pattern, time)
        if found:
            units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
            return sum(int(n) * units[u] for u, n in found.groupdict().items() if n)
    raise InputError(
        f"--time is {time}; it must be minutes, hours:minutes:seconds or days-hours, as 4:00:00"
    )


def check_processes(job: Job) -> None:
    """Raises InputError for processes that would not find their GPUs.

    JAX gives each of a node's processes the GPU of its local rank, so they have one each, or
    one process is told to take all.
    """
    if job.gpus_per_node and job.processes_per_node not in (1, job.gpus_per_node):
        raise InputError(
            f"--processes-per-node is {job.processes_per_node}; with {job.gpus_per_node} GPUs a "
            f"node has 1 process or {job.gpus_per_node}"
        )


def _environment(job: Job) -> list[str]:
    """Environment variables of the processes."""
    lines = [f"export {RESUMES}=1"]
    if job.gpus_per_node > job.processes_per_node:
        every = ",".join(map(str, range(job.gpus_per_node)))
        lines.append(f"export JAX_LOCAL_DEVICE_IDS={every}  # one process has all GPUs of its node")
    return lines


def _tries(job: Job, python: str, array: Array | None) -> list[str]:
    """Shell lines that start the processes, and restart them after failures."""
    cpus = [] if job.cpus_per_task is None else [f"--cpus-per-task={job.cpus_per_task}"]
    srun = ["srun", f"--wait={WAIT}", "--kill-on-bad-exit=0", *cpus, python]
    if array is None:
        command, itself = shlex.join([*srun, *job.arguments()]), "$SLURM_JOB_ID"
    else:
        command = shlex.join([*srun, *array.command]) + ' "${words[SLURM_ARRAY_TASK_ID]}"'
        # The number of the last task is that of the whole array too, which is not meant.
        itself = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    # What a task of an array says with 1, it has recorded.
    final = (errors.DONE, *FINAL) if array is None else (errors.DONE, errors.FAILED, *FINAL)
    ended = " | ".join(map(str, final))
    return [
        f"for ((tries = {job.retries}; ; tries--)); do",
        f"    {command}",
        "    status=$?",
        '    case "$status" in',
        f"    {ended}) break ;; # done, bad input or diverged: another try would end the same",
        f"    {errors.RESUME}) # saved, and to go on when it is this job's turn again",
        f'        scontrol requeue "{itself}"',
        "        break",
        "        ;;",
        "    esac",
        "    if ((tries == 0)); then break; fi",
        '    echo "a process ended with status $status; again from the last checkpoint,'
        ' tries left: $tries"',
        f"    sleep {PAUSE}",
        "done",
        'exit "$status"',
    ]


def _directive(option: str) -> str:
    """A line for sbatch, which reads quotes and backslashes like a shell."""
    if "\n" in option:
        raise InputError(f"{option.splitlines()[0]} goes on in a second line; leave that out")
    if re.fullmatch(r"[\w@%+=:,./\[\]*-]+", option):
        return f"#SBATCH {option}"
    name, _, value = option.partition("=")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'#SBATCH {name}="{escaped}"'


def _raw_directive(option: str) -> str:
    dashes = "" if option.startswith("-") else "--"
    if "\n" in option:
        raise InputError(f"--sbatch {option.splitlines()[0]} goes on in a second line")
    return f"#SBATCH {dashes}{option}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{('es' if what.endswith('s') else 's') * (number > 1)}"
