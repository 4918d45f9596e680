"""Makes runs of a study in one process, where they share what is compiled."""

from __future__ import annotations

import itertools
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from bigmodel import errors
from bigmodel.config import with_values
from bigmodel.experiment import Experiment, InputError
from bigmodel.files import write_json
from bigmodel.processes.signals import StopRequest
from bigmodel.run_directory.directory import RunDirectory
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.compilation import Compiled
from bigmodel.runtime.entry import begin
from bigmodel.runtime.evaluation import metric_names
from bigmodel.runtime.loop import Step, Training, drive
from bigmodel.runtime.programs import Programs
from bigmodel.runtime.side_by_side import (
    Ended,
    common_checkpoint,
    drive_together,
    in_lane,
    stacked_step,
)
from bigmodel.script import load_script
from bigmodel.sharding.mesh import make_mesh
from bigmodel.studies.ablation.trial import Trial, measure
from bigmodel.studies.results import ENDED, FAILED, read_state
from bigmodel.tracking.progress import say


class Task(NamedTuple):
    """One run: the options of its cell as typed, its seed and its directory."""

    options: tuple[str, ...]
    seed: int
    directory: str


class Prepared(NamedTuple):
    """A run that is ready to begin."""

    task: Task
    config: Any
    experiment: Experiment
    compiled: Compiled


Answer = dict[str, Any]
"""How a run ended: its ``directory``, ``status``, and the ``reason`` where it failed. What would be
wrong with the others too, such as a full disk, has ``all``."""


class Maker:
    """Makes runs, and keeps what the next one may use: the experiment and its programs."""

    def __init__(self, script: Path, stop: StopRequest, drawing: bool) -> None:
        self.script = script
        self.stop = stop
        self.drawing = drawing
        self.module = load_script(script)
        self.programs = Programs()
        self._cell: tuple[tuple[str, ...], Any, Experiment] | None = None
        self._stacked: dict[int, Callable[..., Any]] = {}

    def make(
        self,
        tasks: Sequence[Task],
        began: Callable[[], None],
        ended: Callable[[Answer], None],
    ) -> None:
        """Makes one run, or several of one cell side by side.

        Args:
            tasks: the runs.
            began: called when a run that is alone has made its first step, so that it is compiled.
            ended: called for each run that has ended.
        """
        if len(tasks) > 1:
            self._make_together(tasks, ended)
            return
        (task,) = tasks
        try:
            run = self._prepare(task)
            training = self._begin(run, run.compiled, seeds_by="sequential")
            answer = _answer(task, drive(training, _telling(run.compiled.step, began)), None)
        except Exception as error:
            answer = _answer(task, None, error)
        ended(answer)

    def _make_together(self, tasks: Sequence[Task], answer: Callable[[Answer], None]) -> None:
        programs: dict[int, list[Prepared]] = {}
        for task in tasks:
            try:
                run = self._prepare(task)
            except Exception as error:
                answer(_answer(task, None, error))
            else:
                programs.setdefault(id(run.compiled.step), []).append(run)
        for program, runs in programs.items():
            compiled = runs[0].compiled
            step = self._stacked.setdefault(program, stacked_step(compiled))
            folders = [Path(run.task.directory) for run in runs]
            ended_before = [read_state(folder)[0] in ENDED for folder in folders]
            left = [f for f, over in zip(folders, ended_before, strict=True) if not over]
            newest = common_checkpoint([RunDirectory(f).checkpoints for f in left], say)
            trainings = [
                _nothing()
                if over
                else self._begin(run, in_lane(run.compiled), seeds_by="vmap", newest=newest)
                for run, over in zip(runs, ended_before, strict=True)
            ]

            def ended(number: int, how: Ended[int], runs: list[Prepared] = runs) -> None:
                answer(_answer(runs[number].task, how.result, how.error))

            drive_together(trainings, compiled, step, ended)

    def try_out(self, tasks: Sequence[Task], *, count: int, workers: int) -> Trial:
        """Tells whether ``count`` runs like these are quicker side by side.

        The alternative is that ``workers`` processes make them one after the other.
        """
        run = self._prepare(tasks[0])
        width = len(tasks)
        return measure(
            run.experiment, run.compiled, run.config, width=width, runs=count, crew=workers
        )

    def metrics(self, options: Sequence[str]) -> list[str] | None:
        """What a run with these options evaluates; None where it cannot be made."""
        try:
            run = self._prepare(Task(tuple(options), 0, "unused"))
            return metric_names(run.experiment, run.compiled)
        except Exception:  # which is for its runs to tell
            return None

    def _prepare(self, task: Task) -> Prepared:
        if self._cell is None or self._cell[0] != task.options:
            config = parse(self.module.Config(), task.options, description="")
            self._cell = (task.options, config, self.module.build(config))
        _, config, experiment = self._cell
        config = with_values(config, {"seed": task.seed, "run.dir": task.directory})
        compiled = self.programs.compile(experiment, make_mesh(config.mesh))
        return Prepared(task, config, experiment, compiled)

    def _begin(
        self, run: Prepared, compiled: Compiled, *, seeds_by: str, newest: int | None = None
    ) -> Training[int]:
        task = run.task
        own = [f"--seed={task.seed}", f"--run.dir={task.directory}"]
        return begin(
            run.experiment,
            run.config,
            compiled,
            script=self.script,
            stop=self.stop,
            newest=newest,
            drawing=self.drawing,
            # The manifest is to name the command that makes this run alone.
            notes={
                "seeds_by": seeds_by,
                "command": [sys.executable, str(self.script), *task.options, *own],
            },
        )


def _telling(step: Step, begun: Callable[[], None]) -> Step:
    steps = itertools.count()

    def made(*arguments: Any) -> Any:
        result = step(*arguments)
        if next(steps) == 0:
            begun()
        return result

    return made


def _nothing() -> Training[int]:
    """A training that is over; its place among others is kept."""
    yield from ()
    return errors.DONE


def _answer(task: Task, status: int | None, error: Exception | None) -> Answer:
    """Says how a run ended; what is wrong with it alone is recorded in its directory."""
    answer: Answer = {"directory": task.directory, "status": errors.FAILED}
    match error:
        case None:
            return {**answer, "status": status}
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
