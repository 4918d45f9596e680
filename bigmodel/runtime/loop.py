"""The one loop that drives every experiment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from bigmodel.experiment import Data, Key
from bigmodel.processes.agreement import Agreement
from bigmodel.processes.heartbeat import Heartbeat
from bigmodel.runtime.calls import batches_of_calls, placed, steps_of_a_call, take
from bigmodel.runtime.compilation import Compiled, Report
from bigmodel.runtime.evaluation import measure
from bigmodel.runtime.settings import TEST, Run
from bigmodel.tracking.profile import Profile

if TYPE_CHECKING:
    from bigmodel.runtime.recorder import RunRecorder
    from bigmodel.runtime.side_by_side import Recorders


class Plan(NamedTuple):
    """When things happen, in steps."""

    total: int
    evaluate: int
    test: int
    """Of the test split; 0 leaves it for the end."""
    checkpoint: int
    log: int
    together: int | None
    """Updates in a call; None where their size decides."""

    @classmethod
    def of(cls, run: Run, data: Data) -> Plan:
        """The plan that the options of a run ask for."""
        every = run.evaluation_steps(data.steps_per_epoch)
        test = run.test_steps(every, data.splits)
        total = run.total_steps(data.steps_per_epoch)
        together = 1 if run.profile else run.steps_per_call
        return cls(total, every, test, run.checkpoint_every or every, run.log_every, together)

    def evaluates(self, step: int) -> bool:
        """Whether there is an evaluation after so many updates."""
        return self._is_due(step, self.evaluate) or self._is_due(step, self.test)

    def due(self, step: int, splits: Iterable[str]) -> list[str]:
        """Those of the splits that are evaluated after so many updates."""
        every = {TEST: self.test}
        return [one for one in splits if self._is_due(step, every.get(one, self.evaluate))]

    def saves(self, step: int) -> bool:
        """Whether there is a checkpoint after so many updates, whatever was evaluated."""
        return self._is_due(step, self.checkpoint)

    def _is_due(self, step: int, every: int) -> bool:
        return step == self.total or (step > 0 and every > 0 and step % every == 0)

    def logs(self, step: int) -> bool:
        """Whether the metrics of this update are written."""
        return step in (1, self.total) or step % self.log == 0

    def calls(self, start: int, most: int) -> Iterator[range]:
        """The steps of each call: at most so many, the last one that of something due."""
        while start < self.total:
            stop = start + 1
            while stop < start + most and not (
                self.logs(stop) or self.evaluates(stop) or self.saves(stop)
            ):
                stop += 1
            yield range(start, stop)
            start = stop


def train(
    compiled: Compiled,
    state: Any,
    start: int,
    *,
    data: Data,
    seed: Any,
    key: Key,
    plan: Plan,
    recorder: RunRecorder | Recorders,
    agreement: Agreement,
    profile: Profile,
    heartbeat: Heartbeat,
) -> tuple[Any, int]:
    """Trains from a step on, until the recorder has reasons to end or a signal says to stop.

    A call of one step or more is dispatched before what the one before reported is read, so the
    device never waits for the host. ``state`` is that after ``start`` updates; the key of each
    step is folded from ``key``.

    Returns:
        The last state, which has been saved, and its step.

    Raises:
        NotFiniteError: naming the step and the first value that is not finite.
        StorageError: where something cannot be written.
    """
    key, index = compiled.place_scalar(key), compiled.place_scalar(np.int32(start))

    def evaluate(step: int) -> None:
        due = {split: data.splits[split] for split in recorder.due(step)}
        asked = agreement.at_times(heartbeat.beat)
        with recorder.paused():
            found = measure(compiled.evaluate, state, due, place=compiled.place, cancelled=asked)
            # Where a signal says to stop, the evaluation is made when the run goes on.
            if found is not None:
                recorder.evaluated(step, found, state)
                heartbeat.beat()
        if found is not None and recorder.lacks_test(step):
            evaluate(step)

    def inspect(step: int) -> None:
        recorder.inspected(step, np.asarray(compiled.inspect(state)))

    def read(step: int, report: Report, asked: Any) -> None:
        recorder.trained(step, report)
        heartbeat.beat(step)
        agreement.hear(asked)

    if plan.evaluates(start) and recorder.lacks_evaluation(start):
        evaluate(start)
    step, unread = start, None
    first = placed(compiled, data, seed, range(start, start + 1))
    most = steps_of_a_call(compiled, plan, first, key, index)
    advance = compiled.step if most == 1 else compiled.several
    batches = batches_of_calls(compiled, data, seed, plan, start, most)
    while not recorder.ended and not agreement.reached and step < plan.total:
        asked = agreement.ask()
        count, batch = take(batches, unread, recorder.waiting)
        with profile.around(step, state):
            state, index, report = advance(state, batch, key, index)
        step += count
        profile.after(step - 1, state)
        if unread is not None:
            read(*unread)
        unread = (step, report, asked)
        if plan.evaluates(step) or plan.saves(step):
            read(*unread)
            unread = None
            inspect(step)
            if plan.evaluates(step):
                evaluate(step)
            if recorder.wants_checkpoint(step):
                with recorder.paused():
                    recorder.save(step, state)
                    heartbeat.beat()
    profile.close()
    if unread is not None:
        read(*unread)
        inspect(step)
    recorder.stop(step, state)
    return state, step


def step_key(seed: int) -> jax.Array:
    """The key from which that of each step is folded."""
    return _key(seed, 1)


def init_key(seed: int) -> jax.Array:
    """The key of the initial parameters."""
    return _key(seed, 0)


@jax.jit
def _key(seed: int, number: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), number)
