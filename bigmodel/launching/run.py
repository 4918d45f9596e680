"""Trains an experiment, on one process or several.

    python launch.py run experiments/gpt.py --processes 2 --retries 3 -- --run.steps 500

Several processes are joined on this machine, with a GPU each where there are GPUs. On several
machines the same command is typed on each, with --hosts. Where a scheduler starts the processes
(SLURM, Open MPI, Kubernetes, TPU pods), the script itself is its command: it finds its place.

A process that dies, or makes no step for longer than the watchdog, ends all others; with
--retries the run then goes on from its last good checkpoint. SIGTERM saves on all processes and
ends with status 75: start it again. Ctrl-C saves as well and ends with 130.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from bigmodel.experiment import InputError
from bigmodel.launching.layout import plan_layout
from bigmodel.launching.supervisor import Policy, supervise
from bigmodel.processes.rendezvous import JOIN_SECONDS
from bigmodel.script import add_script, check_script


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_script(parser)
    add = parser.add_argument
    add("--devices", type=int, help="virtual CPU devices, over all processes of this machine")
    add("--processes", type=int, help="processes on this machine; default 1")
    add("--hosts", default="", help="names of the machines, with commas, rank 0's first")
    add("--host-index", type=int, help="which of --hosts this is, from 0; default by its name")
    add("--port", type=int, help="the coordinator's; default any free one, or 12355 with --hosts")
    add("--retries", type=int, default=0, help="how often to start again after a failure")
    add("--watchdog", type=float, help="seconds without a step that are a hang; default 1800")
    add("--elastic", action="store_true", help="start again with the processes that are left")
    add("--join-timeout", type=float, help="seconds to wait for all processes; default 120")
    add("--grace", type=float, default=120.0, help="seconds to save after a signal; default 120")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Becomes the experiment, or watches its processes; raises InputError for wrong options."""
    check_script(parsed.script)
    for name in ("retries", "watchdog", "join_timeout", "grace"):
        value = getattr(parsed, name)
        if value is not None and not 0 <= value < 1e9:
            raise InputError(f"--{name.replace('_', '-')} is {value:g}; it must be 0 or more")
    if parsed.join_timeout is not None:
        os.environ[JOIN_SECONDS] = str(parsed.join_timeout)
    hosts = [host.strip() for host in parsed.hosts.split(",") if host.strip()]
    layout = plan_layout(
        processes=1 if parsed.processes is None else parsed.processes,
        devices=parsed.devices,
        port=parsed.port,
        hosts=hosts,
        host_index=parsed.host_index,
    )
    if parsed.elastic and hosts:
        raise InputError("--elastic is for the processes of one machine; leave out --hosts")
    command = [sys.executable, str(parsed.script), *options]
    alone = layout.total == 1 and parsed.processes is None
    if alone and not parsed.retries and parsed.watchdog is None:
        # In the place of this process, so that signals reach it.
        sys.stdout.flush()
        os.execve(sys.executable, command, {**os.environ, **layout.environment(0)})
    policy = Policy(
        retries=parsed.retries,
        watchdog=1800.0 if parsed.watchdog is None else parsed.watchdog,
        grace=parsed.grace,
        elastic=parsed.elastic,
    )
    return supervise(command, layout, policy)
