"""The one loop that drives every experiment."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import grain
import jax
import numpy as np

from bigmodel.errors import NotFiniteError
from bigmodel.experiment import Array, Batch, Experiment, InputError, Key, Shown, is_maximized
from bigmodel.processes.agreement import Agreement
from bigmodel.processes.distributed import fetch, is_first
from bigmodel.processes.pulse import Pulse
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.directory import RunDirectory
from bigmodel.run_directory.history import best_step, has_evaluation
from bigmodel.runtime.compilation import Compiled, Reported
from bigmodel.runtime.evaluation import evaluate
from bigmodel.runtime.settings import Run
from bigmodel.tracking.profile import Profile
from bigmodel.tracking.progress import Reporter
from bigmodel.tracking.throughput import StepSize, peak_flops, rates, step_size

Result = TypeVar("Result")
Step: TypeAlias = Callable[[Any, Batch, Key, Array], tuple[Any, Array, Reported]]
"""State, batch, key and index to the next state and index, and what the step reports."""
Training: TypeAlias = Generator[tuple[Any, Batch, Key, Array], tuple[Any, Array, Reported], Result]
"""A training that yields the arguments of its next step, and gets what comes of it."""


class Plan(NamedTuple):
    """When things happen, in steps."""

    total: int
    evaluate: int
    checkpoint: int
    log: int

    @classmethod
    def of(cls, run: Run, steps_per_epoch: int) -> Plan:
        """The plan that the options of a run ask for."""
        every = run.evaluation_steps(steps_per_epoch)
        total = run.total_steps(steps_per_epoch)
        return cls(total, every, run.checkpoint_every or every, run.log_every)

    def pauses(self, step: int) -> bool:
        """Whether the loop has to wait for this update before it goes on."""
        return self.evaluates(step) or self.saves(step)

    def evaluates(self, step: int) -> bool:
        """Whether there is an evaluation after so many updates."""
        return step == self.total or (step > 0 and step % self.evaluate == 0)

    def saves(self, step: int) -> bool:
        """Whether there is a checkpoint after so many updates."""
        return step == self.total or (step > 0 and step % self.checkpoint == 0)

    def logs(self, step: int) -> bool:
        """Whether the metrics of this update are written."""
        return step in (1, self.total) or step % self.log == 0


class Trainer:
    """Takes a state from one step to the last, and writes down what happens on the way.

    The loop dispatches a step and, while the device works on it, reads what the step before
    reported, so the device never waits for the host.
    """

    def __init__(
        self,
        experiment: Experiment,
        compiled: Compiled,
        *,
        seed: int,
        run: Run,
        directory: RunDirectory,
        checkpoints: Checkpoints,
        reporter: Reporter,
        agreement: Agreement,
        pulse: Pulse,
    ) -> None:
        self.experiment = experiment
        self.compiled = compiled
        self.seed = seed
        self.run = run
        self.plan = Plan.of(run, experiment.data.steps_per_epoch)
        self.directory = directory
        self.checkpoints = checkpoints
        self.reporter = reporter
        self.agreement = agreement
        self.pulse = pulse
        self.timer = Timer(0)
        self.peak: float | None = None
        self.size: StepSize | None = None
        self._saved: int | None = None

    def train(self, state: Any, start: int) -> Training[tuple[Any, int, str | None]]:
        """Trains from a step on: yields the arguments of each step and is sent what it gives.

        So it may be driven alone, by :func:`drive`, or beside others.

        Returns:
            The state, its step, and ``completed`` or ``stopped early``, or None where a
            signal stopped the run. The state has been saved in any case.

        Raises:
            NotFiniteError: naming the step and the first value that is not finite.
            StorageError: where something cannot be written.
        """
        history = self.directory.history
        self._saved = start if start > 0 else None
        self.timer = Timer(start, history[-1]["seconds"] if history else 0.0)
        key = self.compiled.place_scalar(step_key(self.seed))
        index = self.compiled.place_scalar(np.int32(start))
        step, unread = start, None
        evaluated = True
        if self.plan.evaluates(start) and not has_evaluation(history, start):
            evaluated = self._evaluate(state, start)
        ended = self._ended(start) if evaluated else None
        if ended is None:
            self.peak = peak_flops(key.devices())
        batches = self._batches(start)
        steps = self.run.profiled_steps() if is_first() else range(0)
        profile = Profile(steps, self.directory.profile)
        while ended is None and not self.agreement.reached:
            asked = self.agreement.ask()
            batch = next(batches)
            if self.size is None:
                traced = self.compiled.trace(self.compiled.state, batch, key, index)
                self.size = step_size(self.experiment, traced, batch)
            with profile.around(step, state):
                state, index, record = yield state, batch, key, index
            profile.after(step, state)
            step += 1
            if unread is not None:
                self._read(*unread)
            unread = (step, record, asked)
            if self.plan.pauses(step):
                self._read(*unread)
                unread = None
                if self.plan.evaluates(step):
                    evaluated = self._evaluate(state, step)
                ended = self._ended(step) if evaluated else None
                if self.plan.saves(step) or ended or self._is_best(step):
                    self._save(state, step)
        profile.close()
        if unread is not None:
            self._read(*unread)
        if step > 0 and step != self._saved:
            self._save(state, step)
        self.checkpoints.wait()
        return state, step, ended

    def _batches(self, start: int) -> Iterator[Batch]:
        """Batches from a step on, on the devices, made ahead of time by another thread."""

        def batch(step: Any) -> Batch:
            return self.compiled.place(self.experiment.data.train(self.seed, int(step)))

        steps = grain.MapDataset.range(start, self.plan.total).map(batch)
        return iter(steps.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=3)))

    def _read(self, step: int, record: Reported, asked: Any) -> None:
        """Checks what a step reported, which waits for it, and writes it down if it is due."""
        healthy = bool(record.healthy)
        self.pulse.beat(step)
        self.agreement.hear(asked)
        if not healthy:
            finite = np.asarray(record.finite)
            first = self.compiled.names[int(np.argmin(finite))]
            diverged = [n for n, ok in zip(self.compiled.names, finite, strict=True) if not ok]
            inner = [name for name in diverged if name != "loss"]
            raise NotFiniteError(
                f"not finite at step {step}: {first}"
                + (f"; first {inner[0]}" if first == "loss" and inner else ""),
                step,
            )
        self.reporter.moved(step)
        if self.plan.logs(step):
            self.checkpoints.check()
            means = jax.device_get(record.metrics)
            values = {f"train/{n}": float(m.total / m.count) for n, m in means.items()}
            speed = self.timer.steps_per_second(step)
            speeds = self._speeds(speed)
            self.reporter.trained(step, loss=values["train/loss"], speeds=speeds)
            values |= speeds
            self.directory.log(step, values, seconds=self.timer.total)

    def _speeds(self, steps_per_second: float | None) -> dict[str, float]:
        """How fast the run is, by name; nothing where that is not known yet."""
        if steps_per_second is None or self.size is None:
            return {}
        found = {"steps_per_second": round(steps_per_second, 3)}
        return found | rates(self.size, steps_per_second=steps_per_second, peak=self.peak)

    def _evaluate(self, state: Any, step: int) -> bool:
        """Evaluates and shows; false where a signal says to stop, and a resume then does it."""
        with self.timer.paused():
            found = evaluate(self.experiment, self.compiled, state, cancelled=self._cancelled)
            if found is None:
                return False
            self.directory.show(step, {**self._show(state), **found.shown})
            self.pulse.beat()
        if found.values:
            self.directory.log(step, found.values, seconds=self.timer.total)
            self.reporter.evaluated(step, found.values)
        return True

    def _cancelled(self) -> bool:
        self.pulse.beat()
        return self.agreement.ask_now()

    def _show(self, state: Any) -> Shown:
        """What a person looks at; of several processes the first makes it, from whole arrays."""
        if self.experiment.show is None:
            return {}
        evaluated = self.compiled.whole(state).evaluated
        if jax.process_count() > 1:
            evaluated = fetch(evaluated)
        return self.experiment.show(evaluated) if is_first() else {}

    def _save(self, state: Any, step: int) -> None:
        with self.timer.paused():
            self.checkpoints.wait()
            before = [saved for saved in self.checkpoints.steps() if saved < step]
            keep = set(before[max(0, len(before) - self.run.keep + 1) :])
            best = self.best()
            self.directory.sync()
            keep |= {best[0]} if best else set()
            self.checkpoints.save(step, self.compiled.whole(state), keep=keep)
            self._saved = step
            self.pulse.beat()

    def best(self) -> tuple[int, float, int] | None:
        """Step and value of the best evaluation so far, and the evaluations since."""
        maximize = is_maximized(self.run.best, self.experiment.maximize)
        return best_step(self.directory.history, self.run.best, maximize=maximize)

    def _is_best(self, step: int) -> bool:
        best = self.best()
        return best is not None and best[0] == step

    def _ended(self, step: int) -> str | None:
        if step >= self.plan.total:
            return "completed"
        best = self.best()
        if self.run.patience is not None and best is not None and best[2] >= self.run.patience:
            return "stopped early"
        return None


def drive(training: Training[Result], step: Step) -> Result:
    """Makes the steps that a training asks for, and gives what it comes to.

    Where a step fails, the training is closed, so that it leaves its files in order.
    """
    with contextlib.closing(training):
        try:
            asked = next(training)
            while True:
                asked = training.send(step(*asked))
        except StopIteration as end:
            return end.value


class Timer:
    """Seconds of training: what evaluations and checkpoints take is not in the speed."""

    def __init__(self, step: int, before: float = 0.0) -> None:
        self._before = before
        self._start = self._mark = time.perf_counter()
        self._step = step
        self.first_step: float | None = None

    @property
    def total(self) -> float:
        """Seconds over all starts of the run."""
        return self._before + time.perf_counter() - self._start

    def steps_per_second(self, step: int) -> float | None:
        """The speed since the last call; None at first, when it would be that of the compiler."""
        now = time.perf_counter()
        speed = (step - self._step) / max(now - self._mark, 1e-9)
        self._mark, self._step = now, step
        if self.first_step is None:
            self.first_step = now - self._start
            return None
        return speed

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves what happens inside out of the speed."""
        start = time.perf_counter()
        yield
        self._mark += time.perf_counter() - start


def step_key(seed: int) -> jax.Array:
    """The key from which that of each step is folded."""
    return jax.random.fold_in(jax.random.key(seed), 1)


def init_key(seed: int) -> jax.Array:
    """The key of the initial parameters."""
    return jax.random.fold_in(jax.random.key(seed), 0)


def check_best(run: Run, evaluated: Callable[[], Sequence[str]]) -> None:
    """Raises InputError where the metric that decides is not among those evaluated.

    The default may be absent, where there is no validation split, if nothing depends on it.
    """
    if run.patience is None and run.best == Run().best:
        return
    names = evaluated()
    if run.best not in names:
        raise InputError(f"--run.best {run.best} is not evaluated; there are {', '.join(names)}")
