"""Models that find objects: their experiment, and what they answer.

One stage, no anchors: each cell of a grid says how likely the centre of an object of each class
lies in it (Zhou et al., 2019), and how far the edges of that object are (Tian et al., 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bigmodel.data.scenes.boxes import BoxReader
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
    Shown,
    Variables,
    scalars,
)
from bigmodel.figures.boxes import draw_boxes
from bigmodel.predictor import Predictor
from bigmodel.training.metrics import weighted
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.scenes.average_precision import Found, average_precisions
from bigmodel.training.scenes.boxes import generalized_ious, kept_boxes
from bigmodel.training.supervision import supervised

SPREAD = 6.0
"""Standard deviations of the bump around an object's centre that its side is long."""
BOX_WEIGHT = 2.0
OVERLAP = 0.5
PRIOR = -2.2
"""The logit of a centre before anything is learned: a tenth of the cells at most have one."""
PEAKS = 32
"""Objects in an image at most."""
LEAST, DRAWN = 0.1, 0.3
"""The probabilities from which on an object is told, and drawn."""
SHOWN = 6

Outputs = Float[Array, "batch rows columns classes_and_edges"]


class Targets(NamedTuple):
    """What the cells of a grid should say.

    ``heat`` is 1 where a centre of the class lies, and falls around it; ``box`` is that of the
    nearest object, in shares of the image, and counts by ``weight``.
    """

    heat: Float[Array, "batch rows columns class"]
    box: Float[Array, "batch rows columns 4"]
    weight: Float[Array, "batch rows columns"]


class Detections(NamedTuple):
    """Boxes in shares of the image, by falling score, which is 0 where there is none."""

    boxes: Float[Array, "batch peak 4"]
    labels: Int[Array, "batch peak"]
    scores: Float[Array, "batch peak"]


def detector(
    model: Model, data: Data, names: Sequence[str], optimizer: Optimizer, *, steps: int
) -> Experiment:
    """An experiment that learns where objects are, and of which classes.

    Metrics are the two parts of the loss, ``heat`` and ``box``; ``map_50`` is the mean of the
    classes' average precisions where a box is found from an intersection over union of 0.5 on, and
    ``map`` the mean over ten such thresholds up to 0.95: COCO's definition
    (:func:`~bigmodel.training.scenes.average_precision.average_precisions`).

    Args:
        model: reads images, gives a logit for each class, and four edges, for each cell.
        data: batches with ``boxes`` and ``labels``.
        names: the classes by their labels; the first is that of no object.
        optimizer: options of the Optax chain.
        steps: length of the run.
    """
    return supervised(
        model,
        detection_loss,
        {"heat": heat_loss, "box": box_loss},
        optimizer,
        data,
        steps=steps,
        show=_shown(model, data, names),
        gathered={
            "found": lambda outputs, _: detections(outputs)._asdict(),
            "there": lambda _, batch: {name: batch[name] for name in ("boxes", "labels")},
        },
        summarize=lambda measured: precision_report(measured, names),
        maximize={"map", "map_50"},
    )


def targets(outputs: Outputs, batch: Batch) -> Targets:
    """What the outputs should be, from ``boxes`` ``[batch, object, 4]`` and ``labels``, 0 for none.

    An object is a bump, ``exp(-distance^2 / 2)`` in units of a sixth of its sides, that is 1 in the
    cell of its centre; a cell has the box of the object whose bump is highest there, and counts by
    its height (Liu et al., 2020).
    """
    _, rows, columns, width = outputs.shape
    boxes = jnp.asarray(batch["boxes"], jnp.float32)
    labels = jnp.asarray(batch["labels"])
    scale = jnp.array([columns, rows], jnp.float32)[None, None]
    centre = jnp.floor((boxes[..., :2] + boxes[..., 2:]) / 2 * scale)
    deviation = jnp.maximum((boxes[..., 2:] - boxes[..., :2]) * scale / SPREAD, 0.3)
    across, down = (jnp.arange(count, dtype=jnp.float32) for count in (columns, rows))

    def squared(at: Float[Array, " cell"], axis: int) -> Float[Array, "batch object cell"]:
        return ((at[None, None] - centre[..., axis, None]) / deviation[..., axis, None]) ** 2

    distance = squared(down, 1)[..., :, None] + squared(across, 0)[..., None, :]
    bump = jnp.where((labels > 0)[..., None, None], jnp.exp(-distance / 2), 0)
    index = jnp.arange(1, width - 3, dtype=jnp.int32)[None, None]
    of_class = (labels[..., None] == index).astype(jnp.float32)
    heat = jnp.max(bump[..., None] * of_class[:, :, None, None], axis=1)
    nearest = jax.nn.one_hot(jnp.argmax(bump, axis=1), boxes.shape[1], dtype=jnp.float32)
    box = jnp.einsum("byxo,boe->byxe", nearest, boxes)
    return Targets(heat, box, jnp.max(bump, axis=1))


def heat_loss(outputs: Outputs, batch: Batch) -> Mean:
    """Focal loss of the centres of an image, by one more than its objects (Law and Deng, 2018).

    ``(1 - p)^2 log p`` where a centre is, elsewhere ``(1 - heat)^4 p^2 log(1 - p)``.
    """
    heat = targets(outputs, batch).heat
    logits = outputs[..., :-4] + PRIOR
    probability = jax.nn.sigmoid(logits)
    centre = heat >= 1
    right = jnp.square(1 - probability) * jax.nn.log_sigmoid(logits)
    wrong = (1 - heat) ** 4 * jnp.square(probability) * jax.nn.log_sigmoid(-logits)
    return _of_images(-jnp.sum(jnp.where(centre, right, wrong), axis=(1, 2, 3)), batch)


def box_loss(outputs: Outputs, batch: Batch) -> Mean:
    """``1 - GIoU`` of the boxes around the centres of an image, by the weight of their cells."""
    wanted = targets(outputs, batch)
    lost = wanted.weight * (1 - generalized_ious(cell_boxes(outputs), wanted.box))
    mean = jnp.sum(lost, axis=(1, 2)) / jnp.maximum(jnp.sum(wanted.weight, axis=(1, 2)), 1e-6)
    return weighted(mean, batch)


def detection_loss(outputs: Outputs, batch: Batch) -> Mean:
    """The loss of the centres, and twice that of the boxes."""
    heat, box = heat_loss(outputs, batch), box_loss(outputs, batch)
    return Mean(heat.total + BOX_WEIGHT * box.total, heat.count)


def _of_images(values: Float[Array, " batch"], batch: Batch) -> Mean:
    objects = jnp.sum(jnp.asarray(batch["labels"]) > 0, axis=1).astype(jnp.float32)
    return weighted(values / (1 + objects), batch)


def cell_boxes(outputs: Outputs) -> Float[Array, "batch rows columns 4"]:
    """The box of each cell, in shares of the image: its edges' distances are exponentials."""
    _, rows, columns, _ = outputs.shape
    across = (jnp.arange(columns, dtype=jnp.float32) + 0.5) / columns
    down = (jnp.arange(rows, dtype=jnp.float32) + 0.5) / rows
    across, down = across[None, None, :], down[None, :, None]
    # From less than a thousandth of the image up to twice of it.
    distance = 0.1 * jnp.exp(jnp.clip(outputs[..., -4:], -5, 3))
    left, top, right, bottom = (distance[..., edge] for edge in range(4))
    return jnp.stack([across - left, down - top, across + right, down + bottom], axis=-1)


def detections(outputs: Outputs) -> Detections:
    """The highest peaks of a grid's probabilities, without those that others suppress.

    A peak is the highest of the 3x3 cells around it (Zhou et al., 2019).
    """
    batch, rows, columns, width = outputs.shape
    probability = jax.nn.sigmoid(outputs[..., :-4] + PRIOR)
    peaks = jnp.where(probability >= _around(probability), probability, 0)
    classes = width - 4
    count = min(PEAKS, rows * columns * classes)
    scores, index = jax.lax.top_k(peaks.reshape(batch, rows * columns * classes), count)
    # Without the remainder of what is below zero, which ONNX has not for any batch size.
    cells = jax.lax.div(index, jnp.full_like(index, classes))
    labels = index - cells * classes + 1
    flat = cell_boxes(outputs).reshape(batch, rows * columns, 4)
    boxes = jnp.clip(jnp.take_along_axis(flat, cells[..., None], axis=1), 0, 1)
    kept = jax.vmap(partial(kept_boxes, overlap=OVERLAP))(boxes, labels, scores > 0)
    order = jnp.argsort(~kept, axis=1, stable=True)
    boxes = jnp.take_along_axis(boxes, order[..., None], axis=1)
    labels = jnp.take_along_axis(labels, order, axis=1)
    scores = jnp.take_along_axis(jnp.where(kept, scores, 0), order, axis=1)
    return Detections(boxes, labels.astype(jnp.int32), scores)


def _around(values: Float[Array, "batch rows columns class"]) -> Float[Array, "..."]:
    """The largest of the 3x3 cells around each, as no pooling: ONNX Runtime has none like it."""
    for axis in (1, 2):
        size = values.shape[axis]
        part = partial(jax.lax.slice_in_dim, values, axis=axis)
        before = jnp.concatenate([part(0, 1), part(0, size - 1)], axis)
        after = jnp.concatenate([part(1, size), part(size - 1, size)], axis)
        values = jnp.maximum(values, jnp.maximum(before, after))
    return values


def precision_report(measured: Measured, names: Sequence[str]) -> Results:
    """``map`` and ``map_50``, and the average precision of each class as text."""
    found, there = measured["found"], measured["there"]
    assert isinstance(found, Rows)
    assert isinstance(there, Rows)
    predicted = [
        Found(boxes[scores > 0], labels[scores > 0], scores[scores > 0])
        for boxes, labels, scores in zip(
            found.values["boxes"], found.values["labels"], found.values["scores"], strict=True
        )
    ]
    actual = [
        Found(boxes[labels > 0], labels[labels > 0])
        for boxes, labels in zip(there.values["boxes"], there.values["labels"], strict=True)
    ]
    each = average_precisions(predicted, actual, range(1, len(names)))
    real = each[:, np.isfinite(each[0])]
    counts = np.bincount(np.concatenate([one.labels for one in actual]), minlength=len(names))
    width = max(5, *map(len, names[1:]))
    lines = [f"{'class':{width}}     AP  AP@0.5  objects"]
    lines += [
        f"{name:{width}}  {of.mean():5.3f}   {of[0]:5.3f}  {count}"
        for name, of, count in zip(names[1:], each.T, counts[1:], strict=True)
    ]
    return {
        **scalars(measured),
        "map": float(real.mean()) if real.size else float("nan"),
        "map_50": float(real[0].mean()) if real.size else float("nan"),
        "report": "\n".join(lines),
    }


def _shown(model: Model, data: Data, names: Sequence[str]) -> Callable[[Variables], Shown] | None:
    """The first images of the first split, with the boxes that are there and those predicted."""
    if not data.splits:
        return None

    def show(variables: Variables) -> Shown:
        batch = next(iter(data.splits.values()))[0]
        some = {name: np.asarray(array)[:SHOWN] for name, array in batch.items()}
        outputs, _ = model.apply(variables, some, train=False, key=None)
        found = jax.tree.map(np.asarray, detections(outputs))
        count = int((some["weight"] > 0).sum())
        there = [
            Found(boxes[labels > 0], labels[labels > 0])
            for boxes, labels in zip(some["boxes"], some["labels"], strict=True)
        ]
        # The likeliest last, above the others.
        likely = [
            Found(*(each[scores >= DRAWN][::-1] for each in (boxes, labels, scores)))
            for boxes, labels, scores in zip(*found, strict=True)
        ]
        return {
            "boxes": partial(
                draw_boxes, some["image"][:count], there[:count], likely[:count], names
            )
        }

    return show


def box_predictor(model: Model, reader: BoxReader) -> Predictor:
    """A predictor of the objects in an image: their classes and boxes, the likeliest first.

    Args:
        model: reads what ``reader`` encodes, gives logits and edges for each cell.
        reader: encodes images.
    """
    names = reader.images.names

    def apply(variables: Variables, batch: Batch) -> PyTree:
        outputs, _ = model.apply(variables, batch, train=False, key=None)
        found = detections(outputs)
        # In what is not told, the smallest difference of another runtime would be another order.
        told = found.scores >= LEAST
        sides = jnp.tile(jnp.asarray(batch["sides"], jnp.float32), 2)[:, None]
        boxes = jnp.where(told[..., None], found.boxes * sides, 0)
        labels, scores = (jnp.where(told, each, 0) for each in found[1:])
        return Detections(boxes, labels, scores)._asdict()

    def decode(outputs: PyTree) -> list[Any]:
        rows = zip(*(np.asarray(outputs[name]) for name in Detections._fields), strict=True)
        return [{"objects": answer(*row)} for row in rows]

    def answer(boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> list[Any]:
        return [
            {"class": names[label], "probability": float(score), "box": box.tolist()}
            for box, label, score in zip(boxes, labels, scores, strict=True)
            if label
        ]

    what = "objects, with the left, top, right and bottom edges of their boxes in pixels"
    return Predictor(reader.encode, apply, decode, reader.kind, reader.inputs, what)
