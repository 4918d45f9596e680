"""What becomes of a batch on the devices, before an experiment reads it."""

from __future__ import annotations

from typing import Any

from bigmodel.experiment import Batch, Experiment, Key, Measured


def receiving(experiment: Experiment) -> Experiment:
    """The experiment whose steps take batches as its data makes them.

    What its data does to them (``Data.receive``) is then a part of both steps, so that bytes go to
    the devices and become numbers there. Whoever compiles a step compiles that of this one; done
    twice, it is the same.
    """
    receive = experiment.data.receive

    def train_step(state: Any, batch: Batch, key: Key) -> Any:
        return experiment.train_step(state, receive(batch), key)

    def eval_step(state: Any, batch: Batch) -> Measured:
        return experiment.eval_step(state, receive(batch))

    data = experiment.data._replace(receive=dict)
    return experiment._replace(train_step=train_step, eval_step=eval_step, data=data)
