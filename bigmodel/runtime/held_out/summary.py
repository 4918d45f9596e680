"""What a run has come to: its last metrics, and its best checkpoint on the test split."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax

from bigmodel.output import warn
from bigmodel.processes.distributed import agree_on, is_first
from bigmodel.run_directory.history import evaluation_at
from bigmodel.run_directory.sums import params_digest
from bigmodel.runtime.evaluation import measure, summarize
from bigmodel.runtime.loop import init_key
from bigmodel.runtime.memory import count_parameters
from bigmodel.runtime.settings import TEST

if TYPE_CHECKING:
    from bigmodel.runtime.recorder import RunRecorder


def summary_of(
    recorder: RunRecorder, step: int, state: Any, cancelled: Callable[[], bool]
) -> dict[str, Any] | None:
    """The summary of a run that has ended at a step; None where its test was cancelled.

    ``best`` is the step of the best evaluation with the metric that decides, and the metrics of the
    test split there. Where that has not been evaluated, the checkpoint is loaded in the place of
    ``state``, whose arrays are deleted so that two need not fit into memory.
    """
    if recorder.lacks_test(step):
        return None
    last: dict[str, Any] = {}
    for line in recorder.directory.history:
        last.update({name: value for name, value in line.items() if "/" in name})
    digest, protected = params_digest(state.params), recorder.experiment.privacy
    best, found = None, recorder.best()
    if found is not None:
        tested: dict[str, Any] | None = evaluation_at(recorder.directory.history, found[0], TEST)
        if not tested and TEST in recorder.experiment.data.splits:
            tested = _test(recorder, found[0], state, cancelled)
        if tested is None:
            return None
        best = {"step": found[0], recorder.config.run.best: found[1], **tested}
    return {
        "status": recorder.ended,
        "step": step,
        "seconds": round(recorder.timer.total, 3),
        "first_step_seconds": round(recorder.timer.first_step or 0.0, 3),
        "params_digest": digest,
        "parameters": count_parameters(recorder.compiled.state),
        "best": best,
        **last,
        **({"privacy": protected.report(step)} if protected else {}),
    }


def _test(
    recorder: RunRecorder, step: int, state: Any, cancelled: Callable[[], bool]
) -> dict[str, float | None] | None:
    """The metrics of the test split at a checkpoint, none where it is gone or damaged.

    What is not finite is None.
    """
    if not agree_on(is_first() and recorder.checkpoints.is_intact(step)):
        warn(f"checkpoint of step {step} is gone or damaged, so the best has no test metrics")
        return {}
    for leaf in jax.tree.leaves(state):
        leaf.delete()
    compiled, test = recorder.compiled, {TEST: recorder.experiment.data.splits[TEST]}
    key = init_key(recorder.config.seed)
    best = recorder.checkpoints.restore(step, compiled.state, lambda: compiled.init(key))
    found = measure(compiled.evaluate, best, test, place=compiled.place, cancelled=cancelled)
    if found is None:
        return None
    values = summarize(recorder.experiment, found).values
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
