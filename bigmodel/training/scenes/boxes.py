"""Boxes as their left, top, right and bottom edges, as pure functions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bigmodel.models.layers.extremes import larger, smaller

Boxes = Float[Array, "*#some 4"]
OfBoxes = Float[Array, "..."]
TINY = 1e-9


def areas(boxes: Boxes) -> OfBoxes:
    """Their areas; a box whose edges are in the wrong order has none."""
    sides = jax.nn.relu(boxes[..., 2:] - boxes[..., :2])
    return sides[..., 0] * sides[..., 1]


def ious(some: Boxes, others: Boxes) -> OfBoxes:
    """Intersection over union of each box with the other one at its place."""
    shared, union = _shared_and_union(some, others)
    return shared / positive(union)


def generalized_ious(some: Boxes, others: Boxes) -> OfBoxes:
    """``IoU - (hull - union) / hull``, from -1 to 1 (Rezatofighi et al., 2019).

    The hull is the smallest box around both, so that boxes that are apart have a gradient too.
    """
    shared, union = _shared_and_union(some, others)
    hull = areas(
        jnp.concatenate(
            [
                smaller(some[..., :2], others[..., :2]),
                larger(some[..., 2:], others[..., 2:]),
            ],
            axis=-1,
        )
    )
    return shared / positive(union) - (hull - union) / positive(hull)


def _shared_and_union(some: Boxes, others: Boxes) -> tuple[OfBoxes, OfBoxes]:
    inner = jnp.concatenate(
        [
            larger(some[..., :2], others[..., :2]),
            smaller(some[..., 2:], others[..., 2:]),
        ],
        axis=-1,
    )
    shared = areas(inner)
    return shared, areas(some) + areas(others) - shared


def positive(area: OfBoxes) -> OfBoxes:
    """Areas by which one may divide."""
    return larger(area, jnp.full_like(area, TINY))


def kept_boxes(
    boxes: Float[Array, "box 4"],
    labels: Int[Array, " box"],
    real: Bool[Array, " box"],
    *,
    overlap: float,
) -> Bool[Array, " box"]:
    """Which boxes are left by non-maximum suppression: greedy, class by class.

    Args:
        boxes: by falling score.
        labels: their classes; a box suppresses those of its class alone.
        real: which boxes there are.
        overlap: intersection over union above which the later of two boxes goes.
    """
    pairs = ious(boxes[:, None], boxes[None])
    rivals = (pairs > overlap) & (labels[:, None] == labels[None])
    index = jnp.arange(boxes.shape[0], dtype=jnp.int32)
    kept = real
    # Unrolled, for they are few, and no other runtime has to know the loop.
    for number in range(boxes.shape[0]):
        own, others = (
            jax.lax.index_in_dim(each, number, keepdims=False) for each in (kept, rivals)
        )
        kept = kept & ~(own & others & (index > number))
    return kept
