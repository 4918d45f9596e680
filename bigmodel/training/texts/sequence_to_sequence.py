"""The experiment of an encoder-decoder, and what it predicts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from bigmodel.data.texts.pairs import Pairs
from bigmodel.data.texts.vocabulary import PairReader
from bigmodel.experiment import (
    Array,
    Batch,
    Experiment,
    InputError,
    Model,
    PyTree,
    Shown,
    Variables,
)
from bigmodel.figures.heatmap import draw_heatmap
from bigmodel.models.texts.beam import Beam
from bigmodel.models.texts.translation import EncoderDecoder, Translator
from bigmodel.predictor import Predictor
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised
from bigmodel.training.texts import rouge
from bigmodel.training.texts.translation import GATHERED, Summary, bleu, error_rates, nats, smoothed

DRAWN = 10


def sequence_to_sequence(
    network: EncoderDecoder,
    pairs: Pairs,
    optimizer: Optimizer,
    *,
    beam: Beam,
    smoothing: float,
    steps: int,
    begin: Callable[[Model], Model] = lambda model: model,
    judge: Callable[[Pairs], Summary] | None = None,
) -> Experiment:
    """An experiment that learns the targets, and is evaluated on its own translations.

    Args:
        network: options of an encoder-decoder.
        pairs: the data, and its tokenizers.
        optimizer: options of the Optax chain.
        beam: how translations are searched for.
        smoothing: the share of a training target that is spread evenly over all tokens.
        steps: length of the run.
        begin: lets the network begin with what was learned.
        judge: makes of the data what reports on the model's own targets; by default error rates
            of symbols, and BLEU of texts.

    Raises:
        InputError: the network copies, and the source has another vocabulary than the target.
    """
    translator = _translator(network, pairs.reader, beam)
    return supervised(
        begin(translator.model),
        smoothed(smoothing),
        {"nats": nats},
        optimizer,
        pairs.data,
        steps=steps,
        show=_attention_map(translator.attention, pairs),
        gathered=GATHERED,
        summarize=(judge or _summary)(pairs),
        maximize={"bleu", *rouge.KINDS},
    )


def translation_predictor(network: EncoderDecoder, reader: PairReader, *, beam: Beam) -> Predictor:
    """A predictor of the target of a source.

    Args:
        network: options of an encoder-decoder.
        reader: encodes sources, decodes targets.
        beam: how translations are searched for.
    """
    translate = _translator(network, reader, beam).translate

    def decode(outputs: PyTree) -> list[Any]:
        return [{"target": reader.target.decode(ids)} for ids in np.asarray(outputs)]

    answer = "the target that a beam search finds"
    return Predictor(reader.encode, translate, decode, reader.kind, reader.inputs, answer)


def by_rouge(pairs: Pairs) -> Summary:
    """Reports on summaries; see :func:`~bigmodel.training.texts.rouge.rouge`."""
    return rouge.rouge(pairs.examples, decode=pairs.reader.target.decode)


def _translator(network: EncoderDecoder, reader: PairReader, beam: Beam) -> Translator:
    if getattr(network, "copy", False) and reader.source.dump() != reader.target.dump():
        raise InputError("--model.copy needs one vocabulary of both sides; add --data.shared")
    return network.build(
        source_vocab=reader.source.size,
        target_vocab=reader.target.size,
        length=reader.length,
        beam=beam,
    )


def _summary(pairs: Pairs) -> Summary:
    if pairs.units is None:
        return bleu(pairs.examples, decode=pairs.reader.target.decode)
    return error_rates(
        pairs.examples,
        encode=pairs.reader.target.encode,
        decode=pairs.reader.target.decode,
        names=(f"{pairs.units[0]}_error_rate", f"{pairs.units[1]}_error_rate"),
    )


def _attention_map(
    attention: Callable[[PyTree, Batch], Array], pairs: Pairs
) -> Callable[[Variables], Shown]:
    """A picture of where the decoder looks while it reads the right target."""
    splits = pairs.data.splits
    batch = next(iter(splits.values()))[0] if splits else pairs.data.train(0, 0)
    # The pair whose length suits a picture best; padding has none.
    row = int(np.argmin(np.abs(batch["source_length"] - DRAWN)))
    one = {name: array[row : row + 1] for name, array in batch.items()}
    columns = pairs.reader.source.names(one["source"][0, : one["source_length"][0]])
    rows = pairs.reader.target.names(one["target_out"][0, : one["target_length"][0]])
    look = jax.jit(attention)

    def show(variables: Variables) -> Shown:
        weights = np.asarray(look(variables["params"], one))[0]
        picture = partial(
            draw_heatmap,
            weights[: len(rows), : len(columns)],
            x="source, read by the encoder",
            y="target, next token",
            value="weight of attention",
            rows=rows,
            columns=columns,
        )
        return {"attention": picture}

    return show
