"""Models that label the words of a sentence: their experiment, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.data.tagging.reading import TagReader
from bigmodel.experiment import (
    Batch,
    Data,
    Experiment,
    Mean,
    Measured,
    Model,
    PyTree,
    Results,
    Rows,
    Variables,
    scalars,
)
from bigmodel.predictor import Predictor
from bigmodel.training.metrics import negative_log_likelihood, weighted
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised
from bigmodel.training.texts.entities import Scores, entities, has_entities, scores


def tagger(
    model: Model, data: Data, labels: Sequence[str], optimizer: Optimizer, *, steps: int
) -> Experiment:
    """An experiment that learns the label of each word by cross entropy.

    It is evaluated by the share of words whose label is right and, where the labels are those of
    entities, by precision, recall and F1 of these (:func:`entity_report`).

    Args:
        model: reads sentences, gives a logit for each label of each word.
        data: batches with ``labels`` and the number of ``words``.
        labels: the labels, in the order of the logits.
        optimizer: options of the Optax chain.
        steps: length of the run.
    """
    return supervised(
        model,
        word_cross_entropy,
        {"accuracy": word_accuracy},
        optimizer,
        data,
        steps=steps,
        gathered={
            "predicted": lambda logits, _: jnp.argmax(logits, axis=-1).astype(jnp.int32),
            "right": lambda _, batch: {name: batch[name] for name in ("labels", "words")},
        },
        summarize=lambda measured: entity_report(measured, labels),
        maximize={"accuracy", "precision", "recall", "f1"},
    )


def of_words(values: Float[Array, "batch words"], batch: Batch) -> Mean:
    """The mean over the words that are no padding."""
    index = jnp.arange(values.shape[1], dtype=jnp.int32)
    real = index[None] < jnp.asarray(batch["words"])[:, None]
    weight = real.astype(jnp.float32) * jnp.asarray(batch["weight"], jnp.float32)[:, None]
    return weighted(values, {"weight": weight})


def word_cross_entropy(logits: Float[Array, "batch words label"], batch: Batch) -> Mean:
    """Nats per word between the logits and the ``labels``."""
    return of_words(negative_log_likelihood(logits, batch["labels"]), batch)


def word_accuracy(logits: Float[Array, "batch words label"], batch: Batch) -> Mean:
    """The share of words whose largest logit is that of the label."""
    right = jnp.argmax(logits, axis=-1) == jnp.asarray(batch["labels"])
    return of_words(right.astype(jnp.float32), batch)


def entity_report(measured: Measured, labels: Sequence[str]) -> Results:
    """The means and, where labels are those of entities, their scores, as seqeval defines them.

    ``precision``, ``recall`` and ``f1`` are of all entities together, ``f1_macro`` is the mean of
    the kinds; ``report`` is a table of the kinds.
    """
    if not has_entities(labels):
        return scalars(measured)
    predicted, right = measured["predicted"], measured["right"]
    assert isinstance(predicted, Rows)
    assert isinstance(right, Rows)
    words = np.asarray(right.values["words"])
    named = [
        [
            [labels[index] for index in row[:count]]
            for row, count in zip(np.asarray(ids).tolist(), words, strict=True)
        ]
        for ids in (predicted.values, right.values["labels"])
    ]
    of_all, of_kinds = scores(*named)
    return {
        **scalars(measured),
        "precision": of_all.precision,
        "recall": of_all.recall,
        "f1": of_all.f1,
        "f1_macro": float(np.mean([each.f1 for each in of_kinds.values()])) if of_kinds else 0.0,
        "report": table({**of_kinds, "all": of_all}),
    }


def table(rows: dict[str, Scores]) -> str:
    """Scores by name, a line each."""
    width = max(map(len, rows))
    head = f"{'':{width}}  precision  recall      f1  support\n"
    return head + "".join(
        f"{name:{width}}  {each.precision:9.4f}  {each.recall:6.4f}  {each.f1:6.4f}  "
        f"{each.support:7}\n"
        for name, each in rows.items()
    )


def tag_predictor(model: Model, reader: TagReader) -> Predictor:
    """A predictor of the label of each word, and of the entities where labels are of these.

    Args:
        model: reads what ``reader`` encodes, gives logits ``[batch, words, labels]``.
        reader: encodes sentences.
    """
    in_entities = has_entities(reader.labels)

    def apply(variables: Variables, batch: Batch) -> PyTree:
        logits, _ = model.apply(variables, batch, train=False, key=None)
        kept = {name: jnp.asarray(batch[name]) for name in ("tokens", "length", "chosen", "words")}
        return {"probability": jax.nn.softmax(logits, axis=-1), **kept}

    def decode(outputs: PyTree) -> list[Any]:
        rows = {name: np.asarray(array) for name, array in outputs.items()}
        return [
            answer({name: of[row] for name, of in rows.items()})
            for row in range(len(rows["length"]))
        ]

    def answer(row: dict[str, np.ndarray]) -> dict[str, Any]:
        count = int(row["words"])
        starts = [*row["chosen"][:count].tolist(), int(row["length"]) - len(reader.end)]
        best = row["probability"][:count].argmax(axis=-1)
        labels = [reader.labels[index] for index in best]

        def text(first: int, end: int) -> str:
            return reader.tokenizer.decode(row["tokens"][starts[first] : starts[end]]).strip()

        words = [
            {"word": text(at, at + 1), "label": label, "probability": float(probability)}
            for at, (label, probability) in enumerate(
                zip(labels, row["probability"][:count].max(axis=-1), strict=True)
            )
        ]
        if not in_entities:
            return {"words": words}
        found = [
            {"kind": kind, "text": text(first, end), "first": first, "end": end}
            for kind, first, end in entities(labels)
        ]
        return {"entities": found, "words": words}

    what = "the label of each word, and the entities that labels make, by words from 0 on"
    return Predictor(reader.encode, apply, decode, reader.kind, reader.inputs, what, model=model)
