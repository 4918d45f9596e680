"""An encoder-decoder and pairs to an experiment."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from bigmodel.data.pairs import Pairs
from bigmodel.experiment import Array, Batch, Experiment, Model, PyTree, Shown
from bigmodel.figures.heatmap import draw_heatmap
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervised import TrainState, supervised
from bigmodel.training.translation import GATHERED, Summary, bleu, error_rates, nats, smoothed

DRAWN = 10


def sequence_to_sequence(
    model: Model,
    attention: Callable[[PyTree, Batch], Array],
    pairs: Pairs,
    optimizer: Optimizer,
    *,
    smoothing: float,
    steps: int,
) -> Experiment:
    """An experiment that learns the targets, and is judged by its own translations.

    Args:
        model: gives a translation with ``logits``, and in evaluation what it ``predicted``.
        attention: from parameters and a batch to ``[batch, target, source]``, how much the
            decoder looks at each token of the source.
        pairs: batches, and what reads them.
        optimizer: options of the Optax chain.
        smoothing: the share of the training targets that all tokens have alike.
        steps: length of the run.
    """
    return supervised(
        model,
        smoothed(smoothing),
        {"nats": nats},
        optimizer,
        pairs.data,
        steps=steps,
        show=_attention_map(attention, pairs),
        gathered=GATHERED,
        summarize=_summary(pairs),
    )


def _summary(pairs: Pairs) -> Summary:
    if pairs.units is None:
        return bleu(pairs.examples, decode=pairs.target.decode)
    return error_rates(
        pairs.examples,
        encode=pairs.target.encode,
        decode=pairs.target.decode,
        names=(f"{pairs.units[0]}_error_rate", f"{pairs.units[1]}_error_rate"),
    )


def _attention_map(
    attention: Callable[[PyTree, Batch], Array], pairs: Pairs
) -> Callable[[TrainState], Shown]:
    """A picture of where the decoder looks while it reads the right target."""
    splits = pairs.data.splits
    batch = next(iter(splits.values()))[0] if splits else pairs.data.train(0, 0)
    # The pair whose length suits a picture best; padding has none.
    row = int(np.argmin(np.abs(batch["source_length"] - DRAWN)))
    one = {name: array[row : row + 1] for name, array in batch.items()}
    columns = pairs.source.names(one["source"][0, : one["source_length"][0]])
    rows = pairs.target.names(one["target_out"][0, : one["target_length"][0]])
    look = jax.jit(attention)

    def show(state: TrainState) -> Shown:
        weights = np.asarray(look(state.evaluated["params"], one))[0]
        picture = draw_heatmap(
            weights[: len(rows), : len(columns)],
            x="source, read by the encoder",
            y="target, next token",
            value="weight of attention",
            rows=rows,
            columns=columns,
        )
        return {"attention": picture}

    return show
