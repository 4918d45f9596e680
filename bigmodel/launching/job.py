"""What a job scheduler is asked for, whichever it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bigmodel.experiment import InputError


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training on some machines."""

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
    """A name that the same script with the same options has again, and no other."""
    digest = hashlib.sha256(json.dumps([script.name, *options]).encode()).hexdigest()
    return f"{script.stem.lower().replace('_', '-')}-{digest[:8]}"


def check_positive(name: str, value: int | None, least: int = 1) -> None:
    """Raises InputError for a number that is too small; None is none."""
    if value is not None and value < least:
        raise InputError(f"--{name} is {value}; it must be at least {least}")
