"""Repeats a recorded run with the number of processes and devices that it had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigmodel import errors
from bigmodel.experiment import InputError
from bigmodel.launching.layout import Layout, find_gpus
from bigmodel.launching.supervisor import Policy, supervise
from bigmodel.run_directory.changes import flags
from bigmodel.run_directory.recorded import Recorded
from bigmodel.studies.replaying import rebuild
from bigmodel.studies.replaying.code import Code
from bigmodel.studies.replaying.rebuild import Facts, Job

JAX_FLAGS = ("jax_enable_x64", "jax_default_matmul_precision", "jax_threefry_partitionable")
PATIENCE = Policy(watchdog=0.0)


def read_facts(recorded: Recorded, code: Code, folder: Path) -> Facts:
    """Finds out what the run would be trained with now, including its data; nothing is trained.

    Files on the way are in ``folder``, which is empty before.

    Raises:
        InputError: where it cannot be built, saying why, or has other devices here.
    """
    facts = folder / "facts.json"
    command = [*_program(folder, _job(recorded, code, folder / "run", alone=True)), str(facts)]
    done = subprocess.run(
        command, check=False, capture_output=True, encoding="utf-8", errors="replace"
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
        known = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
        raise InputError((known or said)[-1].strip())
    found: Facts = json.loads(facts.read_text(encoding="utf-8"))
    here, there = found["manifest"], recorded.manifest
    if here["device_count"] != there["device_count"]:
        raise InputError(
            f"it had {there['device_count']} devices ({there['device_kind']}), and here are "
            f"{here['device_count']} ({here['device_kind']})"
        )
    return found


def train(recorded: Recorded, code: Code, folder: Path, *, into: Path) -> int:
    """Trains the run again into a new run directory, and shows its output.

    Returns:
        The exit status: 0, that of a loss that is not finite, or what a signal left.

    Raises:
        InputError: where it fails otherwise.
    """
    program = _program(folder, _job(recorded, code, into, alone=False))
    count = recorded.manifest["process_count"]
    gpus = () if _on_cpu(recorded.manifest) else find_gpus()
    status = supervise(program, Layout(local=count, total=count, gpus=gpus), PATIENCE)
    if status in (errors.FAILED, errors.BAD_INPUT, errors.LOST) or status < 0:
        raise InputError(f"it failed on the way, with status {status}; why, it says above")
    return status


def _program(folder: Path, job: Job) -> list[str]:
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    # Without the folder of the program itself among the places to import from.
    return [sys.executable, "-P", rebuild.__file__, str(path)]


def _job(recorded: Recorded, code: Code, into: Path, *, alone: bool) -> Job:
    """The job of all processes, or of a single one that has all devices."""
    run = {**recorded.config["run"], "dir": str(into.resolve())}
    # What a run leaves elsewhere is not made again, and all its flags are in the environment; older
    # runs have no such options.
    options: dict[str, Any] = {"profile": "", "sinks": [], "flags": False}
    run |= {name: off for name, off in options.items() if name in run}
    directory = recorded.manifest.get("directory", "")
    return Job(
        script=str(code.script),
        config={**recorded.config, "run": run},
        # Where that is gone, paths in the options may be right here.
        directory=directory if os.path.isdir(directory) else os.getcwd(),
        path=[str(code.script.parent), str(code.root)],
        environment=_environment(recorded.manifest, alone=alone),
    )


def _environment(manifest: Mapping[str, Any], *, alone: bool) -> dict[str, str | None]:
    """The environment variables that set the run's flags."""
    recorded = manifest.get("jax_flags", {})
    found: dict[str, str | None] = {name.upper(): recorded.get(name) for name in JAX_FLAGS}
    found["XLA_FLAGS"] = flags(manifest.get("xla_flags", "")) or None
    found |= {name: value or None for name, value in manifest.get("accelerator", {}).items()}
    if _on_cpu(manifest):
        devices = manifest["device_count"] // (1 if alone else manifest["process_count"])
        found |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    return found


def _on_cpu(manifest: Mapping[str, Any]) -> bool:
    return manifest["device_kind"] == "cpu"
