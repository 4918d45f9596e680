"""Several runs of one program as one: their states are stacked, and a step is made of all."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.experiment import Batch, Metrics, PyTree
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.runtime.compilation import Compiled, Record
from bigmodel.runtime.loop import Training

Result = TypeVar("Result")


class Stacked:
    """The states of all lanes as one, after some step."""

    def __init__(self, states: PyTree) -> None:
        self._states = states
        self._last: tuple[int, Any] | None = None

    def lane(self, number: int) -> Any:
        """The state of one lane; that of the last one asked for is kept."""
        if self._last is None or self._last[0] != number:
            self._last = (number, jax.tree.map(lambda leaf: leaf[number], self._states))
        return self._last[1]


class Lane(NamedTuple):
    """What stands for the state of one run among others."""

    stacked: Stacked
    number: int

    @property
    def state(self) -> Any:
        """The state itself."""
        return self.stacked.lane(self.number)


class Reports:
    """What all lanes report of a step, fetched once and only when one of them asks."""

    def __init__(self, record: Record) -> None:
        self._record = record

    @functools.cached_property
    def fetched(self) -> Record:
        """The report with arrays of the host, whose first axis is that of the lanes."""
        return jax.device_get(self._record)


class LaneRecord:
    """The :class:`Record` of one lane."""

    def __init__(self, reports: Reports, number: int) -> None:
        self._reports = reports
        self._number = number

    @property
    def metrics(self) -> Metrics:
        """The metrics of the lane."""
        return jax.tree.map(lambda leaf: leaf[self._number], self._reports.fetched.metrics)

    @property
    def healthy(self) -> bool:
        """Whether all that is watched is finite."""
        return bool(self._reports.fetched.healthy[self._number])

    @property
    def finite(self) -> np.ndarray:
        """Which of the values that are watched are finite."""
        return np.asarray(self._reports.fetched.finite)[self._number]


def in_lane(compiled: Compiled) -> Compiled:
    """The functions of a run that is one lane: its state is a :class:`Lane`."""

    def state_of(state: Any) -> Any:
        return state.state if isinstance(state, Lane) else state

    return compiled._replace(
        # Batches are stacked on the host and go to the device as one.
        place=lambda batch: batch,
        trace=lambda _, batch, key, index: compiled.trace(
            compiled.state, compiled.place(batch), key, index
        ),
        evaluate=lambda state, batch: compiled.evaluate(state_of(state), compiled.place(batch)),
        whole=state_of,
    )


class Ended(NamedTuple, Generic[Result]):
    """How a run ended: with a result, or an error."""

    result: Result | None
    error: Exception | None


def drive_together(
    trainings: Sequence[Training[Result]],
    compiled: Compiled,
    step: Callable[..., Any],
    ended: Callable[[int, Ended[Result]], None],
) -> None:
    """Makes the steps of trainings together, each a lane, until all have ended.

    A lane that has ended, or has nothing to do, is computed on for nothing: so those that are left
    get the same bits as if it were there.

    Args:
        trainings: made with :func:`in_lane`; those that ask for a step begin with the same one.
        compiled: the functions of the one program.
        step: from :func:`stacked_step`.
        ended: told the number of a lane when it has ended, and how.
    """
    asked: dict[int, tuple[Any, ...]] = {}

    def go_on(number: int, begin: Callable[[], tuple[Any, ...]]) -> None:
        asked.pop(number, None)
        try:
            asked[number] = begin()
        except StopIteration as end:
            ended(number, Ended(end.value, None))
        except Exception as error:
            ended(number, Ended(None, error))

    for number, training in enumerate(trainings):
        go_on(number, functools.partial(next, training))
    if not asked:
        return
    # A lane without a run is a copy of another one.
    filled = {n: asked.get(n, next(iter(asked.values()))) for n in range(len(trainings))}
    states = stack_arrays([state for state, *_ in filled.values()])
    keys = jnp.stack([key for _, _, key, _ in filled.values()])
    index = next(iter(filled.values()))[3]
    batches: list[Batch] = [batch for _, batch, _, _ in filled.values()]
    with contextlib.ExitStack() as left:
        for training in trainings:
            left.enter_context(contextlib.closing(training))
        while asked:
            batch = compiled.place({n: np.stack([one[n] for one in batches]) for n in batches[0]})
            states, index, record = step(states, batch, keys, index)
            stacked, reports = Stacked(states), Reports(record)
            for number in list(asked):
                sent = (Lane(stacked, number), index, LaneRecord(reports, number))
                go_on(number, functools.partial(trainings[number].send, sent))
            batches = [asked[n][1] if n in asked else batches[n] for n in range(len(trainings))]


def stacked_step(compiled: Compiled) -> Callable[..., Any]:
    """The step of several lanes at once: ``(states, batches, keys, index)``.

    The first axis of the states, the batches, the keys and of what is reported is that of lanes.
    """
    together = jax.vmap(compiled.pure, in_axes=(0, 0, 0, None), out_axes=(0, None, 0))
    return jax.jit(together, donate_argnums=(0,))


def stack_arrays(trees: Iterable[PyTree]) -> PyTree:
    """One tree of arrays whose first axis is that of the trees."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


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
