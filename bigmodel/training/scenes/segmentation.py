"""Models that tell the class of each pixel: their experiment, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from bigmodel.data.images.reading import ImageReader
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
from bigmodel.figures.heatmap import draw_heatmap
from bigmodel.figures.masks import draw_masks
from bigmodel.predictor import Predictor, Ranked
from bigmodel.training.metrics import negative_log_likelihood
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised

UNDECIDED = 255
"""The class of a pixel that does not count, as in the masks of PASCAL VOC."""
SHOWN = 6

Logits = Float[Array, "batch height width class"]


def segmenter(
    model: Model, data: Data, names: Sequence[str], optimizer: Optimizer, *, steps: int
) -> Experiment:
    """An experiment that learns the class of each pixel by cross entropy.

    It is evaluated by the intersection over union of the pixels of each class, counted over all
    images together (Everingham et al., 2010): :func:`iou_report`.

    Args:
        model: reads images, gives a logit for each class of each pixel.
        data: batches with ``mask``.
        names: the classes, in the order of the logits, that of the background first.
        optimizer: options of the Optax chain.
        steps: length of the run.
    """
    return supervised(
        model,
        pixel_cross_entropy,
        {"accuracy": pixel_accuracy},
        optimizer,
        data,
        steps=steps,
        show=_shown(model, data, names),
        gathered={"confusion": confusion},
        summarize=lambda measured: iou_report(measured, names),
        maximize={"accuracy", "mean_iou", "object_iou"},
    )


def of_pixels(values: Float[Array, "batch height width"], batch: Batch) -> Mean:
    """The mean over the pixels that count, of images that are no padding."""
    real = jnp.asarray(batch["weight"])[:, None, None] > 0
    counted = (_counted(batch) & real).astype(jnp.float32)
    # Image by image, for there may be more pixels than 24 bits can count.
    total, count = (jnp.sum(each, axis=(1, 2)) for each in (values * counted, counted))
    return Mean(jnp.sum(total), jnp.sum(count))


def _counted(batch: Batch) -> Array:
    return jnp.asarray(batch["mask"]) != UNDECIDED


def pixel_cross_entropy(logits: Logits, batch: Batch) -> Mean:
    """Nats per pixel between the logits and the ``mask``."""
    mask = jnp.asarray(batch["mask"])
    return of_pixels(negative_log_likelihood(logits, jnp.where(mask == UNDECIDED, 0, mask)), batch)


def pixel_accuracy(logits: Logits, batch: Batch) -> Mean:
    """The share of pixels whose largest logit is that of the mask."""
    right = jnp.argmax(logits, axis=-1) == jnp.asarray(batch["mask"])
    return of_pixels(right.astype(jnp.float32), batch)


def confusion(logits: Logits, batch: Batch) -> Int[Array, "batch actual predicted"]:
    """How many pixels of each image and actual class are predicted as each."""
    classes = logits.shape[-1]
    index = jnp.arange(classes, dtype=jnp.int32)[None, None, None]
    counted = _counted(batch)[..., None]
    actual = ((jnp.asarray(batch["mask"])[..., None] == index) & counted).astype(jnp.int8)
    predicted = (jnp.argmax(logits, axis=-1)[..., None] == index).astype(jnp.int8)
    return jnp.einsum("bhwa,bhwp->bap", actual, predicted, preferred_element_type=jnp.int32)


def iou_of_classes(
    matrix: Float[np.ndarray, "actual predicted"],
) -> Float[np.ndarray, " class"]:
    """The intersection over union of each class: nan of one that is neither there nor predicted."""
    right = np.diagonal(matrix)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - right
    return np.divide(right, union, out=np.full(len(matrix), np.nan), where=union > 0)


def iou_report(measured: Measured, names: Sequence[str]) -> Results:
    """``mean_iou`` over all classes, ``object_iou`` over those but the first, and figures.

    A class that is neither there nor predicted does not count; where that is so of all objects,
    ``object_iou`` is 1.
    """
    rows = measured["confusion"]
    assert isinstance(rows, Rows)
    matrix = rows.values.sum(axis=0, dtype=np.float64)
    each = iou_of_classes(matrix)
    objects = each[1:][np.isfinite(each[1:])]
    actual = matrix.sum(axis=1)
    shares = matrix / np.maximum(actual[:, None], 1)
    width = max(map(len, names))
    lines = [f"{'class':{width}}  {'IoU':>6}  pixels"]
    lines += [
        f"{name:{width}}  {iou:6.4f}  {int(count)}"
        for name, iou, count in zip(names, each, actual, strict=True)
    ]
    return {
        **scalars(measured),
        "mean_iou": float(np.nanmean(each)) if np.isfinite(each).any() else 1.0,
        "object_iou": float(objects.mean()) if len(objects) else 1.0,
        "report": "\n".join(lines),
        "confusion": partial(
            draw_heatmap,
            shares,
            x="predicted class",
            y="actual class",
            value="share of the actual class's pixels",
            rows=names,
            columns=names,
        ),
    }


def _shown(model: Model, data: Data, names: Sequence[str]) -> Callable[[Variables], Shown] | None:
    """The first images of the first split, with their masks and the predicted ones."""
    if not data.splits:
        return None

    def show(variables: Variables) -> Shown:
        batch = next(iter(data.splits.values()))[0]
        some = {name: np.asarray(array)[:SHOWN] for name, array in batch.items()}
        logits, _ = model.apply(variables, some, train=False, key=None)
        real = some["weight"] > 0
        arrays = (some["image"], some["mask"], np.asarray(jnp.argmax(logits, axis=-1)))
        images, actual, predicted = (array[real] for array in arrays)
        return {"masks": partial(draw_masks, images, actual, predicted, names)}

    return show


def segment_predictor(model: Model, reader: ImageReader) -> Predictor:
    """A predictor of the class of each pixel, and of the share of the image that each class has.

    Args:
        model: reads what ``reader`` encodes, gives a logit for each class of each pixel.
        reader: encodes images.
    """

    def apply(variables: Variables, batch: Batch) -> PyTree:
        logits, _ = model.apply(variables, batch, train=False, key=None)
        return {"mask": jnp.argmax(logits, axis=-1).astype(jnp.uint8)}

    def decode(outputs: PyTree) -> list[Any]:
        return [_answer(mask, reader.names) for mask in np.asarray(outputs["mask"])]

    what = "the share of each class, and a grey image of the number of each pixel's class"
    return Predictor(reader.encode, apply, decode, reader.kind, reader.inputs, what)


def _answer(mask: UInt8[np.ndarray, "height width"], names: Sequence[str]) -> Any:
    shares = np.bincount(mask.ravel(), minlength=len(names)) / mask.size
    order = np.argsort(-shares, kind="stable")
    ranked = Ranked((names[index], float(shares[index])) for index in order if shares[index])
    return {"shares": ranked, "mask": mask}
