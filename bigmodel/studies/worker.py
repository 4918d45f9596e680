"""The process that makes runs of a study, whose compiled programs they share.

It reads a task a line from its standard input, as JSON, and answers each with a line.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from bigmodel.experiment import Experiment, InputError
from bigmodel.runtime import errors
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.compilation import use_compilation_cache
from bigmodel.runtime.config import with_values
from bigmodel.runtime.entry import begin
from bigmodel.runtime.files import write_json
from bigmodel.runtime.loop import drive
from bigmodel.runtime.programs import Programs
from bigmodel.runtime.progress import redirect_output
from bigmodel.runtime.signals import Interrupted, StopRequest
from bigmodel.script import load_script
from bigmodel.sharding.mesh import make_mesh
from bigmodel.studies.results import FAILED


class Task(NamedTuple):
    """One run: the options of its cell as typed, its seed and its directory."""

    options: tuple[str, ...]
    seed: int
    directory: str


class Maker:
    """Makes runs, and keeps what the next one may use: the experiment and its programs."""

    def __init__(self, script: Path, stop: StopRequest) -> None:
        self.script = script
        self.stop = stop
        self.module = load_script(script)
        self.programs = Programs()
        self._cell: tuple[tuple[str, ...], Any, Experiment] | None = None

    def make(self, task: Task) -> int:
        """Makes a run, and gives its exit status."""
        if self._cell is None or self._cell[0] != task.options:
            config = parse(self.module.Config(), task.options, description="")
            self._cell = (task.options, config, self.module.build(config))
        _, config, experiment = self._cell
        config = with_values(config, {"seed": task.seed, "run.dir": task.directory})
        # The manifest is to name the command that makes this run alone.
        sys.argv = [
            str(self.script), *task.options, f"--seed={task.seed}", f"--run.dir={task.directory}"
        ]  # fmt: skip
        compiled = self.programs.compile(experiment, make_mesh(config.mesh))
        run = begin(
            experiment,
            config,
            compiled,
            script=self.script,
            stop=self.stop,
            notes={"seeds_by": "turns"},
        )
        return drive(run, compiled.step)


def answer(maker: Maker, task: Task) -> dict[str, Any]:
    """Makes a run and says how it ended: ``status``, and ``reason`` where it failed.

    What is wrong with the run alone is recorded in its directory. What would be wrong with
    the others too, such as a full disk, has ``all`` in the answer.
    """
    try:
        return {"status": maker.make(task)}
    except errors.NotFiniteError as error:
        return {"status": errors.NOT_FINITE, "reason": str(error)}
    except errors.StorageError as error:
        return {"status": errors.FAILED, "reason": str(error), "all": True}
    except InputError as error:
        reason = str(error)
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        traceback.print_exc()
        first = (str(error).splitlines() or [""])[0]
        short = isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in first
        reason = f"out of memory: {first}" if short else first
    except Exception as error:
        traceback.print_exc()
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    try:
        write_json(Path(task.directory) / FAILED, {"reason": reason})
    except errors.StorageError as error:
        return {"status": errors.FAILED, "reason": str(error), "all": True}
    return {"status": errors.FAILED, "reason": reason}


def main(script: Path) -> None:
    """Works until its input ends or a signal stops it."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(line: Mapping[str, Any]) -> None:
        answers.write(json.dumps(line) + "\n")
        answers.flush()

    with StopRequest() as stop:
        try:
            use_compilation_cache()
            maker = Maker(script, stop)
            for line in sys.stdin:
                task = json.loads(line)
                if "log" in task:
                    redirect_output(Path(task["log"]))
                    continue
                if stop.requested:
                    break
                one = Task(tuple(task["options"]), task["seed"], task["directory"])
                say(answer(maker, one))
        except Interrupted:
            os._exit(errors.RESUME)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
