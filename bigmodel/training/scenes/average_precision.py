"""Average precision of detections, as COCO defines it (Lin et al., 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Intersections over union from which on a box is found."""
RECALLS = np.linspace(0, 1, 101)
MOST = 100
"""Detections of a class in an image that count at most, the best ones."""


class Found(NamedTuple):
    """Boxes in an image, with their classes and, where they are predicted, their scores."""

    boxes: Float[np.ndarray, "box 4"]
    labels: Int[np.ndarray, " box"]
    scores: Float[np.ndarray, " box"] | None = None


def average_precisions(
    predicted: Sequence[Found], actual: Sequence[Found], classes: Sequence[int]
) -> Float[np.ndarray, "threshold class"]:
    """Of each class at each of :data:`THRESHOLDS`: nan where no image has an object of it.

    A detection is right if it is the first, by falling score, of its class that overlaps an object
    enough. Precision at a recall is the best at that recall or a higher one, and its mean over 101
    recalls is the average precision.

    Args:
        predicted: the boxes with scores of each image.
        actual: the boxes that are there.
        classes: the numbers of the classes.
    """
    return np.stack([_of_class(predicted, actual, label) for label in classes], axis=1)


def _of_class(
    predicted: Sequence[Found], actual: Sequence[Found], label: int
) -> Float[np.ndarray, " threshold"]:
    scores, hits, objects = [], [], 0
    for found, there in zip(predicted, actual, strict=True):
        assert found.scores is not None
        (mine,) = np.nonzero(found.labels == label)
        mine = mine[np.argsort(-found.scores[mine], kind="stable")][:MOST]
        boxes = there.boxes[there.labels == label]
        objects += len(boxes)
        scores.append(found.scores[mine])
        hits.append(_matches(found.boxes[mine], boxes))
    if not objects:
        return np.full(len(THRESHOLDS), np.nan)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hit = np.concatenate(hits, axis=1)[:, order]
    right = np.cumsum(hit, axis=1)
    count = np.arange(1, hit.shape[1] + 1)
    recall, precision = right / objects, right / count
    # The best precision at each recall or a higher one.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    values = np.zeros((len(THRESHOLDS), len(RECALLS)))
    for row in range(len(THRESHOLDS)):
        at = np.searchsorted(recall[row], RECALLS, side="left")
        reached = at < recall.shape[1]
        values[row, reached] = precision[row, at[reached]]
    return values.mean(axis=1)


def _matches(
    boxes: Float[np.ndarray, "detection 4"], objects: Float[np.ndarray, "object 4"]
) -> Bool[np.ndarray, "threshold detection"]:
    """Whether each detection finds an object that none before it has found."""
    hit = np.zeros((len(THRESHOLDS), len(boxes)), bool)
    if not len(objects) or not len(boxes):
        return hit
    overlaps = overlap(boxes, objects)
    for row, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(objects), bool)
        for number, of in enumerate(overlaps):
            left = np.where(free, of, -1.0)
            # Of equals the last, as pycocotools has it.
            best = len(left) - 1 - int(np.argmax(left[::-1]))
            if left[best] >= min(threshold, 1 - 1e-10):
                hit[row, number], free[best] = True, False
    return hit


def overlap(
    some: Float[np.ndarray, "some 4"], others: Float[np.ndarray, "other 4"]
) -> Float[np.ndarray, "some other"]:
    """Intersection over union of each box with each other one, in float64."""
    some, others = np.asarray(some, np.float64)[:, None], np.asarray(others, np.float64)[None]
    low, high = (
        np.maximum(some[..., :2], others[..., :2]),
        np.minimum(some[..., 2:], others[..., 2:]),
    )
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = sum(np.prod(b[..., 2:] - b[..., :2], axis=-1) for b in (some, others)) - shared
    return shared / np.maximum(union, 1e-12)
