"""Makes runs of a study, alone or side by side, and keeps what the next one may use."""

from __future__ import annotations

import itertools
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from bigmodel import errors
from bigmodel.config import with_values
from bigmodel.experiment import Experiment, InputError
from bigmodel.files import write_json
from bigmodel.output import warn
from bigmodel.processes.signals import StopRequest
from bigmodel.run_directory.directory import MANIFEST, RunDirectory
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.compilation import Compiled, compile_experiment
from bigmodel.runtime.entry import run_experiment
from bigmodel.runtime.held_out.names import metric_names
from bigmodel.runtime.recorder import open_run
from bigmodel.runtime.side_by_side import common_checkpoint, train_side_by_side
from bigmodel.runtime.xla import use_precision
from bigmodel.script import load_script
from bigmodel.sharding.cores import devices_before, mesh_of
from bigmodel.studies.ablation.trial import Trial, measure
from bigmodel.studies.runs import ENDED, FAILED, read_state


class Task(NamedTuple):
    """One run: the options of its cell as typed, its seed and its directory."""

    options: tuple[str, ...]
    seed: int
    directory: str


Answer = dict[str, Any]
"""How a run ended: its ``directory``, ``status``, and the ``reason`` where it failed. What would be
wrong with the others too, such as a full disk, has ``all``."""


class Cell(NamedTuple):
    """What the runs of a cell share."""

    options: tuple[str, ...]
    config: Any
    experiment: Experiment
    mesh: Mesh
    compiled: Compiled


class Maker:
    """Makes the runs of a script; those of one cell share its experiment and what is compiled."""

    def __init__(self, script: Path, stop: StopRequest, drawing: bool) -> None:
        self.script = script
        self.stop = stop
        self.drawing = drawing
        self.module = load_script(script)
        self._last: Cell | None = None

    def make(
        self, tasks: Sequence[Task], began: Callable[[], None], ended: Callable[[Answer], None]
    ) -> None:
        """Makes a run, or several of one cell side by side.

        ``began`` is called when a single one has made its first step, for then it is compiled, and
        ``ended`` with how each run ended.
        """
        if len(tasks) > 1:
            self._make_together(tasks, ended)
            return
        (task,) = tasks
        try:
            cell = self._cell(task)
            status = run_experiment(
                cell.experiment,
                self._config(cell, task),
                script=self.script,
                stop=self.stop,
                compiled=_telling(cell.compiled, began),
                drawing=self.drawing,
                notes=self._notes(task, "sequential"),
            )
            ended({"directory": task.directory, "status": status})
        except Exception as error:
            ended(_failed(task, error))

    def _make_together(self, tasks: Sequence[Task], ended: Callable[[Answer], None]) -> None:
        left = [Path(t.directory) for t in tasks if read_state(Path(t.directory))[0] not in ENDED]
        runs = {}
        try:
            cell = self._cell(tasks[0], devices=1)
            newest = common_checkpoint([RunDirectory(folder).checkpoints for folder in left], warn)
        except Exception as error:
            for task in tasks:
                ended(_failed(task, error))
            return
        for number, task in enumerate(tasks):
            if Path(task.directory) not in left:
                continue
            try:
                opened = open_run(
                    cell.experiment,
                    self._config(cell, task),
                    cell.compiled,
                    Path(task.directory),
                    script=self.script,
                    newest=newest,
                    drawing=self.drawing,
                    notes=self._notes(task, "vmap"),
                )
            except Exception as error:
                ended(_failed(task, error))
            else:
                assert opened is not None
                runs[number] = opened

        def tell(number: int, how: Mapping[str, Any] | Exception | None) -> None:
            task = tasks[number]
            if isinstance(how, Exception):
                ended(_failed(task, how))
            else:
                status = errors.RESUME if how is None else errors.DONE
                ended({"directory": task.directory, "status": status})

        if runs:
            self.stop.defer()
            train_side_by_side(
                cell.experiment,
                runs,
                [task.seed for task in tasks],
                mesh=cell.mesh,
                stop=self.stop,
                ended=tell,
            )

    def try_out(self, tasks: Sequence[Task], *, count: int, workers: int) -> Trial:
        """Measures whether ``count`` runs like these are faster side by side.

        The alternative is that ``workers`` processes make them one by one.
        """
        cell = self._cell(tasks[0])
        return measure(
            cell.experiment,
            cell.compiled,
            self._config(cell, tasks[0]),
            width=len(tasks),
            runs=count,
            workers=workers,
        )

    def metrics(self, options: Sequence[str]) -> list[str] | None:
        """The metrics that a run with these options evaluates; None where it cannot be made."""
        try:
            cell = self._cell(Task(tuple(options), 0, "unused"))
            return metric_names(cell.experiment, cell.compiled)
        except Exception:  # which is for its runs to tell
            return None

    def _cell(self, task: Task, devices: int = 0) -> Cell:
        """What the run shares with the last one; ``devices`` of a CPU, by default its own."""
        last = self._last
        if last is None or last.options != task.options:
            config = parse(self.module.Config(), task.options, description="")
            use_precision(config.run.matmul_precision)
            experiment = self.module.build(config)
        else:
            config, experiment = last.config, last.experiment
        before = devices_before(RunDirectory(Path(task.directory)).read_json(MANIFEST))
        mesh = mesh_of(experiment, config.mesh, devices or before)
        if last is None or last.experiment is not experiment or last.mesh != mesh:
            compiled = compile_experiment(experiment, mesh)
            self._last = last = Cell(task.options, config, experiment, mesh, compiled)
        return last

    def _config(self, cell: Cell, task: Task) -> Any:
        return with_values(cell.config, {"seed": task.seed, "run.dir": task.directory})

    def _notes(self, task: Task, seeds_by: str) -> dict[str, Any]:
        """For the manifest, which names the command that makes the run alone."""
        own = [f"--seed={task.seed}", f"--run.dir={task.directory}"]
        command = [sys.executable, str(self.script), *task.options, *own]
        return {"seeds_by": seeds_by, "command": command}


def _telling(compiled: Compiled, began: Callable[[], None]) -> Compiled:
    """The functions of a run, whose first step is told."""
    calls = itertools.count()

    def telling(step: Callable[..., Any]) -> Callable[..., Any]:
        def told(*arguments: Any) -> Any:
            result = step(*arguments)
            if next(calls) == 0:
                began()
            return result

        return told

    return compiled._replace(step=telling(compiled.step), several=telling(compiled.several))


def _failed(task: Task, error: Exception) -> Answer:
    """Says how a run failed; what is wrong with it alone is recorded in its directory."""
    answer: Answer = {"directory": task.directory, "status": errors.FAILED}
    match error:
        case errors.NotFiniteError():
            return {**answer, "status": errors.NOT_FINITE, "reason": str(error)}
        case errors.StorageError():
            return {**answer, "reason": str(error), "all": True}
        case InputError():
            reason = str(error)
        case jax.errors.JaxRuntimeError() | MemoryError():
            traceback.print_exception(error)
            first = (str(error).splitlines() or [""])[0]
            short = isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in first
            reason = f"out of memory: {first}" if short else first
        case _:
            traceback.print_exception(error)
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    try:
        write_json(Path(task.directory) / FAILED, {"reason": reason})
    except errors.StorageError as full:
        return {**answer, "reason": str(full), "all": True}
    return {**answer, "reason": reason}
