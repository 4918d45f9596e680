"""Contrastive learning of images with texts: two losses, and an experiment of either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bigmodel.experiment import (
    Batch,
    Data,
    Experiment,
    InputError,
    Mean,
    Measured,
    Model,
    PyTree,
    Results,
    Rows,
    Shown,
    Variables,
    scalars,
)
from bigmodel.figures.nearest import draw_nearest
from bigmodel.models.clip import Contrast
from bigmodel.training.metrics import Metric, weighted
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.retrieval.recall import COUNTS, recalls
from bigmodel.training.supervision import supervised

SHOWN, NEAREST, CANDIDATES = 6, 5, 512

Vectors = Mapping[str, Array]
"""``image`` and ``text`` ``[batch, width]`` of length 1, ``scale`` and ``bias``."""


def contrastive(
    model: Model,
    data: Data,
    optimizer: Optimizer,
    *,
    contrast: Contrast,
    captions: Sequence[str],
    steps: int,
) -> Experiment:
    """An experiment that brings images near their texts, and away from the others of a batch.

    The batch is the whole one, over all devices; of ``--optimizer.accumulate`` parts each is one by
    itself. ``loss`` depends on how many pairs there are in a batch; :func:`recalls` does not, for
    it looks at a whole split.

    Args:
        model: what ``Clip.build`` gives.
        data: batches of pairs, with ``picture`` and ``caption``.
        optimizer: options of the Optax chain.
        contrast: which loss.
        captions: the texts by the numbers ``caption``.
        steps: length of the run.

    Raises:
        InputError: ``model.privacy`` asks for what protects pairs one by one.
    """
    if model.privacy is not None:
        raise InputError(
            "--privacy.epsilon protects examples one by one, and a pair is told from the others "
            "of a batch; leave it out"
        )

    def summarize(measured: Measured) -> Results:
        rows = measured["pairs"]
        assert isinstance(rows, Rows)
        return {**scalars(measured), **recalls(**rows.values)}

    return supervised(
        model,
        LOSSES[contrast],
        {},
        optimizer,
        data,
        steps=steps,
        show=_shown(model, data, captions),
        gathered={"pairs": _pairs},
        summarize=summarize,
        maximize={f"{name}recall_at_{count}" for name in ("", "text_") for count in COUNTS},
    )


def infonce(vectors: Vectors, batch: Batch) -> Mean:
    """Nats per pair to tell its text from the others by the image, and the reverse, their mean.

    ``-log softmax(logits)[own]`` over the texts of an image, and over the images of a text (Radford
    et al., 2021; van den Oord et al., 2018), ``logits = scale * image @ text.T``. A pair with the
    same image or the same text is no other one, and does not count; nor does padding, nor a pair
    without any other.
    """
    logits = _logits(vectors)
    own, others = jnp.diagonal(logits), _others(batch)
    counted = others | jnp.eye(logits.shape[0], dtype=bool)
    by_image, by_text = (
        jax.nn.logsumexp(jnp.where(counted, each, -jnp.inf), axis=1) - own
        for each in (logits, logits.T)
    )
    return _of_pairs((by_image + by_text) / 2.0, others, batch)


def sigmoid(vectors: Vectors, batch: Batch) -> Mean:
    """Nats per image to tell of each text of the batch whether it is its own (Zhai et al., 2023).

    ``-log sigmoid(own) - sum of log sigmoid(-other)``, over what counts for :func:`infonce`.
    """
    logits, others = _logits(vectors), _others(batch)
    other = jnp.sum(jnp.where(others, jax.nn.softplus(logits), 0.0), axis=1)
    return _of_pairs(jax.nn.softplus(-jnp.diagonal(logits)) + other, others, batch)


def _of_pairs(
    values: Float[Array, " batch"], others: Bool[Array, "batch batch"], batch: Batch
) -> Mean:
    """The mean over pairs that have others; alone, one has nothing to learn from."""
    weight = jnp.asarray(batch["weight"], jnp.float32) * jnp.any(others, axis=1).astype(jnp.float32)
    return weighted(values, {"weight": weight})


LOSSES: dict[Contrast, Metric] = {"infonce": infonce, "sigmoid": sigmoid}


def _logits(vectors: Vectors) -> Float[Array, "batch batch"]:
    cosines = jnp.einsum("iw,tw->it", vectors["image"], vectors["text"])
    return vectors["scale"] * cosines + vectors["bias"]


def _others(batch: Batch) -> Bool[Array, "batch batch"]:
    """Whether the pair of a column is another one than that of a row, and real."""
    same = jnp.asarray(batch["weight"])[None] == 0
    for name in ("picture", "caption"):
        number = jnp.asarray(batch[name])
        same = same | (number[:, None] == number[None])
    return ~same


def _pairs(vectors: Vectors, batch: Batch) -> PyTree:
    numbers = {name: jnp.asarray(batch[name]) for name in ("picture", "caption")}
    return {"image": vectors["image"], "text": vectors["text"], **numbers}


def _shown(
    model: Model, data: Data, captions: Sequence[str]
) -> Callable[[Variables], Shown] | None:
    """The first images of the first split, and the nearest of the texts of its first pairs."""
    if not data.splits:
        return None
    batches = next(iter(data.splits.values()))
    told: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for batch in batches[: -(-CANDIDATES // data.batch_size)]:
        real = batch["weight"] > 0
        columns = (batch[name][real] for name in ("caption", "tokens", "length"))
        for number, tokens, length in zip(*columns, strict=True):
            told.setdefault(int(number), (tokens, length))
    tokens, lengths = (np.stack(part) for part in zip(*told.values(), strict=True))
    first = batches[0]
    count = min(SHOWN, int(first["weight"].sum()))
    images, own = first["image"][:count], [captions[each] for each in first["caption"][:count]]

    @jax.jit
    def cosines(variables: Variables) -> Array:
        batch = {"image": images, "tokens": tokens, "length": lengths}
        found, _ = model.apply(variables, batch, train=False, key=None)
        return jnp.einsum("iw,tw->it", found["image"], found["text"])

    def show(variables: Variables) -> Shown:
        similarity = np.asarray(cosines(variables))
        texts = [captions[number] for number in told]
        nearest = [
            [(texts[column], float(row[column])) for column in np.argsort(-row)[:NEAREST]]
            for row in similarity
        ]
        return {"nearest_texts": partial(draw_nearest, images, own, nearest)}

    return show
