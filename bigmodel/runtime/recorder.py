"""What is recorded of one run: its directory, its checkpoints, and what follows from them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from bigmodel.config import to_json
from bigmodel.data.personal.masking import noted
from bigmodel.data.samples import SAMPLES, dump_samples
from bigmodel.errors import NotFiniteError
from bigmodel.experiment import Experiment, InputError, Shown, is_maximized
from bigmodel.figures.curves import draw_curves
from bigmodel.frozen import merged
from bigmodel.output import warn
from bigmodel.processes.distributed import agree_on, fetch, is_first, wait_for_all
from bigmodel.processes.signals import Interrupted
from bigmodel.run_directory.changes import warn_of_changes
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.directory import ASSETS, MANIFEST, METRICS, SUMMARY, RunDirectory
from bigmodel.run_directory.history import History, best_step, evaluation_at, read_metrics
from bigmodel.run_directory.manifest import EXAMPLES, manifest
from bigmodel.run_directory.same_run import EARLY, is_exhausted, is_over
from bigmodel.run_directory.variables import VARIABLES, describe
from bigmodel.runtime.calls import size_of_step
from bigmodel.runtime.compilation import Compiled, Report
from bigmodel.runtime.evaluation import Splits, summarize
from bigmodel.runtime.held_out.names import metric_names
from bigmodel.runtime.held_out.summary import summary_of
from bigmodel.runtime.loop import Plan, init_key
from bigmodel.runtime.memory import check_fits, count_parameters
from bigmodel.runtime.settings import TEST, Run, Settings
from bigmodel.sharding.cores import count_devices
from bigmodel.tracking.progress import Reporter, print_results, say
from bigmodel.tracking.sinks import Sinks, check_sinks
from bigmodel.tracking.throughput import Timer
from bigmodel.tree import named_leaves


class RunRecorder:
    """Records a run in its directory from a step on; use it as a context manager.

    ``directory`` is locked and has the history up to the step ``start``.
    """

    def __init__(
        self,
        experiment: Experiment,
        config: Settings,
        compiled: Compiled,
        directory: RunDirectory,
        checkpoints: Checkpoints,
        start: int,
    ) -> None:
        self.experiment = experiment
        self.config = config
        self.compiled = compiled
        self.directory = directory
        self.checkpoints = checkpoints
        self.start = start
        self.plan = Plan.of(config.run, experiment.data)
        self.ended: str | None = None
        history = directory.history
        size = functools.partial(size_of_step, compiled, experiment, config.seed, start)
        self.timer = Timer(start, history[-1]["seconds"] if history else 0.0, size)
        # What happens inside counts in no speed, or as waiting for data.
        self.paused, self.waiting = self.timer.paused, self.timer.waiting
        self.reporter = Reporter(self.plan.total)
        self._saved = start if start > 0 else None
        if not (self.plan.evaluates(start) and self.lacks_evaluation(start)):
            self._decide(start)

    def __enter__(self) -> RunRecorder:
        self.reporter.__enter__()
        state = self.compiled.state
        devices = len(next(iter(named_leaves(state).values())).sharding.device_set)
        kind = f"{devices} {jax.devices()[0].device_kind} device{'s' * (devices > 1)}"
        since = f"on from step {self.start}" if self.start else "from the start"
        count = f"{count_parameters(state):,} parameters"
        self.reporter.line(f"{self.directory.path}: {count}, {kind}, {since}")
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.reporter.__exit__(kind, error, trace)
        # Ctrl-C a second time does not wait for a checkpoint.
        if kind is Interrupted:
            self.directory.unlock()
        else:
            self.directory.close()
            self.checkpoints.close()

    def lacks_evaluation(self, step: int) -> bool:
        """Whether the evaluation of this step has not been recorded yet."""
        return not evaluation_at(self.directory.history, step) or self.lacks_test(step)

    def lacks_test(self, step: int) -> bool:
        """Whether the run has ended early, at this step, and not been evaluated on its test."""
        tested = evaluation_at(self.directory.history, step, TEST)
        return self.ended == EARLY and TEST in self.experiment.data.splits and not tested

    def due(self, step: int) -> list[str]:
        """The splits that are to be evaluated now."""
        return [TEST] if self.lacks_test(step) else self.plan.due(step, self.experiment.data.splits)

    def trained(self, step: int, report: Report) -> None:
        """Checks what a step reported, which waits for it, and logs it if it is due.

        Raises:
            NotFiniteError: naming the step and the first value that is not finite.
        """
        if not bool(report.healthy):
            finite = np.asarray(report.finite)
            names = [n for n, ok in zip(self.compiled.names, finite, strict=True) if not ok]
            first = f"; first {names[1]}" if names[0] == "loss" and len(names) > 1 else ""
            raise self._diverged(int(report.step), f"{names[0]}{first}")
        self.reporter.moved(step)
        if not self.plan.logs(step):
            return
        self.checkpoints.check()
        means = jax.device_get(report.metrics)
        values = {
            f"train/{name}": float(mean.total / mean.count) if mean.count else float("nan")
            for name, mean in means.items()
        }
        speeds, protected = self.timer.speeds(step), self.experiment.privacy
        values |= {"train/epsilon": protected.spent(step)} if protected else {}
        self.reporter.trained(step, values, speeds)
        self.directory.log(step, values | speeds, seconds=self.timer.total)

    def inspected(self, step: int, finite: Any) -> None:
        """Takes which parameters are finite, before a state is evaluated or saved.

        Raises:
            NotFiniteError: naming the step and the first parameter that is not.
        """
        for path, ok in zip(named_leaves(self.compiled.state.params), finite, strict=True):
            if not ok:
                raise self._diverged(step, f"parameter {path}")

    def evaluated(self, step: int, splits: Splits, state: Any) -> None:
        """Records an evaluation and what is to be shown of the state."""
        found = summarize(self.experiment, splits)
        shown = {} if self.lacks_test(step) else self._show(state)
        self.directory.show(step, {**shown, **found.shown})
        if found.values:
            self.directory.log(step, found.values, seconds=self.timer.total)
            self.reporter.evaluated(step, found.values)
        self._decide(step)

    def wants_checkpoint(self, step: int) -> bool:
        """Whether the state is to be saved now."""
        best = self.best()
        is_best = best is not None and best[0] == step
        return self.plan.saves(step) or self.ended is not None or is_best

    def save(self, step: int, state: Any) -> None:
        """Starts to save a state; the last ones and the best one are kept."""
        self.checkpoints.wait()
        before = [saved for saved in self.checkpoints.steps() if saved < step]
        keep = set(before[max(0, len(before) - self.config.run.keep + 1) :])
        best = self.best()
        self.directory.sync()
        keep |= {best[0]} if best else set()
        self.checkpoints.save(step, state, keep=keep)
        self._saved = step

    def stop(self, step: int, state: Any) -> None:
        """Saves the last state if that has not been done, and waits for it."""
        if step > 0 and step != self._saved:
            self.save(step, state)
        self.checkpoints.wait()

    def best(self) -> tuple[int, float, int] | None:
        """Step and value of the best evaluation so far, and the number of evaluations since."""
        return find_best(self.directory.history, self.config.run, self.experiment)

    def finish(
        self, step: int, state: Any, cancelled: Callable[[], bool] = bool
    ) -> dict[str, Any] | None:
        """Writes the summary of a run that has ended, and returns it; None where it is cancelled.

        The arrays of the state may be deleted.
        """
        summary = summary_of(self, step, state, cancelled)
        if summary is not None:
            self.directory.finish(summary, draw_curves)
        return summary

    def _decide(self, step: int) -> None:
        """Whether the run has ended after an evaluation."""
        if step >= self.plan.total:
            self.ended = "completed"
        elif is_exhausted(self.best(), self.config.run.patience):
            self.ended = EARLY

    def _show(self, state: Any) -> Shown:
        """What a person looks at; of several processes the first makes it, from whole arrays."""
        if self.experiment.show is None:
            return {}
        evaluated = state.evaluated
        if jax.process_count() > 1:
            evaluated = fetch(evaluated)
        return self.experiment.show(merged(evaluated)) if is_first() else {}

    def _diverged(self, step: int, what: str) -> NotFiniteError:
        """Records that a run has diverged, and returns the error that says so."""
        reason = f"not finite at step {step}: {what}"
        self.checkpoints.wait()
        saved = self.checkpoints.steps()
        kept = f"the checkpoint of step {saved[-1]} is kept" if saved else "no checkpoint yet"
        summary = {
            "status": "not finite",
            "reason": reason,
            "step": step,
            "seconds": round(self.timer.total, 3),
        }
        self.directory.finish(summary, draw_curves)
        wait_for_all("a loss that is not finite")
        return NotFiniteError(f"{reason}; {kept}", step)


def open_run(
    experiment: Experiment,
    config: Settings,
    compiled: Compiled,
    path: Path,
    *,
    script: Path,
    newest: int | None = None,
    drawing: bool = True,
    meanwhile: Callable[[int], object] = int,
    notes: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[RunRecorder, Any] | None:
    """Opens the directory of a run, at its start or at its last checkpoint.

    Nothing is written before all that the user gave has been checked. Checkpoints after the step
    ``newest`` are not used. Without ``drawing`` no figures are made that take long to draw, and no
    curves at the end. ``meanwhile`` is called in another thread with the step to go on from, while
    the state is made; an error in it is none here, unless it is of an input. ``notes`` go into the
    manifest.

    Returns:
        The recorder and the state to go on from; None where the run has ended already.

    Raises:
        InputError: for options or a run directory that cannot be used.
        StorageError: where a file cannot be read or written.
    """
    as_json = to_json(config)
    first = is_first()
    directory = RunDirectory(path, writing=first, drawing=drawing)
    check_fits(compiled.state)
    config.check_protected(experiment)
    config.run.check_best(lambda: metric_names(experiment, compiled))
    total = config.run.total_steps(experiment.data.steps_per_epoch)
    fingerprint, maximize = experiment.data.fingerprint, experiment.maximize
    directory.check_same_run(as_json, fingerprint, experiment.data.assets, total=total)
    facts = manifest(
        script=script,
        seed=config.seed,
        fingerprint=fingerprint,
        maximize=maximize,
        devices=count_devices(compiled.state),
    )
    facts |= {EXAMPLES: experiment.data.alone, **notes, **noted(experiment.data.assets)}
    check_sinks(config.run.sinks)
    evaluated = describe(compiled.state, experiment.partition)
    samples = dump_samples(experiment.data.inputs)
    assets = {**experiment.data.assets, VARIABLES: evaluated, SAMPLES: samples}
    finished = directory.read_json(SUMMARY)
    best = find_best(read_metrics(path / METRICS), config.run, experiment)
    if finished is not None and is_over(finished, best, total, config.run.patience):
        if first:
            warn_of_changes(directory.path, directory.read_json(MANIFEST) or facts, facts)
            if not (path / ASSETS / VARIABLES).exists():
                directory.keep(assets)  # An older version wrote none.
        say(f"{directory.path}: already {finished['status']} at step {finished['step']}")
        print_results(finished)
        return None
    with contextlib.ExitStack() as undo:
        undo.callback(directory.close)
        directory.lock()
        checkpoints = Checkpoints(directory.checkpoints, warn=warn, writing=first)
        step = agree_on((checkpoints.newest_intact(newest) or 0) if first else 0)
        other = ThreadPoolExecutor(1).submit(meanwhile, step)
        init = functools.partial(compiled.init, init_key(config.seed))
        state = checkpoints.restore(step, compiled.state, init) if step else init()
        if step and first:
            warn_of_changes(directory.path, directory.read_json(MANIFEST) or facts, facts)
        if isinstance(error := other.exception(), InputError):  # which waits for it
            raise error
        directory.create(as_json, facts, step=step)
        directory.keep(assets)
        sinks = functools.partial(Sinks, config.run.sinks, path=path, config=as_json, warn=warn)
        directory.resume(step, sinks)
        undo.pop_all()
    return RunRecorder(experiment, config, compiled, directory, checkpoints, step), state


def find_best(history: History, run: Run, experiment: Experiment) -> tuple[int, float, int] | None:
    """Step and value of the best evaluation of a history, and the number of evaluations since."""
    return best_step(history, run.best, maximize=is_maximized(run.best, experiment.maximize))
