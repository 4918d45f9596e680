"""Runs of one experiment under several seeds, trained as one run.

Their states, batches and metrics have a leading axis, that of the runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from bigmodel.experiment import WHOLE, Batch, Experiment, Measured, PyTree, Rows
from bigmodel.processes.agreement import Agreement
from bigmodel.processes.heartbeat import Heartbeat
from bigmodel.processes.signals import StopRequest
from bigmodel.receiving import receiving
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.runtime.compilation import Report, compile_experiment
from bigmodel.runtime.evaluation import Splits
from bigmodel.runtime.loop import step_key, train
from bigmodel.runtime.recorder import RunRecorder
from bigmodel.tracking.profile import Profile


def side_by_side(experiment: Experiment) -> Experiment:
    """The experiment of several runs, which takes a seed and a key for each.

    ``jax.vmap`` over states, batches and keys; all runs are evaluated on the same data. Rows
    have the axis of the runs second, so that batches of them are joined on the first.
    """
    experiment = receiving(experiment)

    def train_batch(seeds: Any, step: int, rows: slice = WHOLE) -> Batch:
        batches = [experiment.data.train(seed, step, rows) for seed in seeds]
        return jax.tree.map(lambda *arrays: np.stack(arrays), *batches)

    def evaluate(states: PyTree, batch: Batch) -> Measured:
        measured = jax.vmap(experiment.eval_step, in_axes=(0, None))(states, batch)
        return {
            name: jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), metric)
            if isinstance(metric, Rows)
            else metric
            for name, metric in measured.items()
        }

    data = experiment.data._replace(train=train_batch)
    return experiment._replace(
        init=jax.vmap(experiment.init),
        train_step=jax.vmap(experiment.train_step),
        eval_step=evaluate,
        data=data,
        partition=((".*", PartitionSpec()),),
        flops=None,
    )


def stack(trees: Sequence[PyTree]) -> PyTree:
    """One tree of arrays whose first axis is that of the trees."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


class Recorders:
    """Records each of several runs; what goes wrong with one leaves the others alone.

    A run that has ended is computed on for nothing, so the others keep the bits that they have
    beside it. The recorders, by the numbers of the runs, are entered here. ``ended`` is told the
    number of a run that ends and its summary or error; None where a signal stopped it.
    """

    def __init__(
        self,
        recorders: Mapping[int, RunRecorder],
        ended: Callable[[int, dict[str, Any] | Exception | None], None],
    ) -> None:
        self.running = dict(recorders)
        self._plan = next(iter(recorders.values())).plan
        self._tell = ended
        for one in recorders.values():
            one.__enter__()

    @property
    def ended(self) -> str | None:
        """Whether all runs have ended."""
        return None if self.running else "completed"

    def lacks_evaluation(self, step: int) -> bool:
        """Whether one of the runs has not recorded the evaluation of this step."""
        return any(one.lacks_evaluation(step) for one in self.running.values())

    def lacks_test(self, step: int) -> bool:
        """Whether one of the runs has ended early here, and not been evaluated on its test."""
        return any(one.lacks_test(step) for one in self.running.values())

    def due(self, step: int) -> list[str]:
        """The splits that are to be evaluated of one of the runs."""
        lacking = [one for one in self.running.values() if one.lacks_evaluation(step)]
        return [*dict.fromkeys(split for one in lacking for split in one.due(step))]

    def trained(self, step: int, report: Report) -> None:
        """Records what a step reported of each run."""
        if np.asarray(report.healthy).all() and not self._plan.logs(step):
            return
        report = jax.device_get(report)
        self._each(lambda number, one: one.trained(step, _slice(report, number)))

    def inspected(self, step: int, finite: Any) -> None:
        """Takes which parameters of each run are finite."""
        finite = np.asarray(finite)
        self._each(lambda number, one: one.inspected(step, finite[number]))

    def evaluated(self, step: int, splits: Splits, state: PyTree) -> None:
        """Records an evaluation of each run."""

        def evaluated(number: int, one: RunRecorder) -> None:
            if one.lacks_evaluation(step):
                due = {split: splits[split] for split in one.due(step)}
                one.evaluated(step, _measured(due, number), _slice(state, number))

        self._each(evaluated)

    def wants_checkpoint(self, step: int) -> bool:
        """Whether the state of one of the runs is to be saved now."""
        return any(one.wants_checkpoint(step) for one in self.running.values())

    def save(self, step: int, state: PyTree) -> None:
        """Saves the states that are to be saved, and ends the runs that have ended."""

        def save(number: int, one: RunRecorder) -> None:
            if one.wants_checkpoint(step):
                one.save(step, _slice(state, number))

        self._each(save)
        self.finish(step, state)

    def finish(self, step: int, state: PyTree) -> None:
        """Ends the runs that have nothing more to train."""

        def finish(number: int, one: RunRecorder) -> None:
            if one.ended is not None:
                self._finish(number, step, state)

        self._each(finish)

    def stop(self, step: int, state: PyTree) -> None:
        """Saves the last states, waits for them, and ends all runs."""
        self._each(lambda number, _: self._finish(number, step, state))

    def paused(self) -> contextlib.ExitStack:
        """Leaves what happens inside out of the measured speeds."""
        return _all_of(one.paused() for one in self.running.values())

    def waiting(self) -> contextlib.ExitStack:
        """Counts what happens inside as waiting for data."""
        return _all_of(one.waiting() for one in self.running.values())

    def _finish(self, number: int, step: int, state: PyTree) -> None:
        one, mine = self.running[number], _slice(state, number)
        one.stop(step, mine)
        summary = one.finish(step, mine) if one.ended is not None else None
        self._end(number, summary)

    def _end(self, number: int, how: dict[str, Any] | Exception | None) -> None:
        try:
            self.running.pop(number).__exit__(None, None, None)
        except Exception as error:
            how = how if isinstance(how, Exception) else error
        self._tell(number, how)

    def _each(self, record: Callable[[int, RunRecorder], None]) -> None:
        for number, one in list(self.running.items()):
            try:
                record(number, one)
            except Exception as error:
                self._end(number, error)


def train_side_by_side(
    experiment: Experiment,
    runs: Mapping[int, tuple[RunRecorder, PyTree]],
    seeds: Sequence[int],
    *,
    mesh: Mesh,
    stop: StopRequest,
    ended: Callable[[int, dict[str, Any] | Exception | None], None],
) -> None:
    """Trains runs of one experiment together, from a step that all of them have come to.

    ``runs`` are what :func:`~bigmodel.runtime.recorder.open_run` returned, by number, ``seeds``
    those of all numbers: one that is left out, of a run that had ended before, keeps its place. The
    mesh has one device. ``ended`` is that of :class:`Recorders`.
    """
    together = side_by_side(experiment)
    compiled = compile_experiment(together, mesh, runs=(len(seeds),))
    for one, _ in runs.values():
        # The step of a run alone may never be traced, which is when its list is filled.
        one.compiled = one.compiled._replace(names=compiled.names)
    filling = next(iter(runs.values()))
    opened = [runs.get(number, filling) for number in range(len(seeds))]
    recorder = Recorders({number: one for number, (one, _) in runs.items()}, ended)
    state, start = stack([state for _, state in opened]), filling[0].start
    recorder.finish(start, state)
    train(
        compiled,
        state,
        start,
        data=together.data,
        seed=tuple(seeds),
        key=jnp.stack([step_key(seed) for seed in seeds]),
        plan=filling[0].plan,
        recorder=recorder,
        agreement=Agreement(mesh, stop),
        profile=Profile(range(0), Path()),
        heartbeat=Heartbeat(0),
    )


def _all_of(contexts: Iterable[contextlib.AbstractContextManager[object]]) -> contextlib.ExitStack:
    """All of them, entered at once."""
    entered = contextlib.ExitStack()
    for one in contexts:
        entered.enter_context(one)
    return entered


def _slice(tree: PyTree, number: int) -> PyTree:
    """What is that of one run."""
    return jax.tree.map(lambda leaf: leaf[number], tree)


def _measured(splits: Splits, number: int) -> Splits:
    """What was measured of one run."""

    def one(metric: Any) -> Any:
        at = (slice(None), number) if isinstance(metric, Rows) else number
        return jax.tree.map(lambda leaf: leaf[at], metric)

    return {
        split: {name: one(metric) for name, metric in measured.items()}
        for split, measured in splits.items()
    }


def common_checkpoint(directories: Sequence[Path], warn: Callable[[str], None]) -> int:
    """The newest step of which every directory has an intact checkpoint; 0 for the start."""
    newest: int | None = None
    while True:
        steps = [
            Checkpoints(directory, warn=warn, writing=False).newest_intact(newest) or 0
            for directory in directories
        ]
        if len(set(steps)) == 1 or min(steps) == 0:
            return min(steps)
        newest = min(steps)
