"""Losses and metrics of segmentation and detection, held against plain formulas and references."""

import importlib.util
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.experiment import Mean, Rows
from bigmodel.training.scenes.average_precision import Found, average_precisions
from bigmodel.training.scenes.boxes import generalized_ious, ious, kept_boxes
from bigmodel.training.scenes.detection import (
    box_loss,
    cell_boxes,
    detection_loss,
    detections,
    heat_loss,
    precision_report,
    targets,
)
from bigmodel.training.scenes.segmentation import (
    confusion,
    iou_of_classes,
    iou_report,
    pixel_accuracy,
    pixel_cross_entropy,
)


def drawn(random, *shape):
    """Boxes with their edges in order, in [0, 1]."""
    edges = np.sort(random.random((*shape, 2, 2)), axis=-1)
    return edges.swapaxes(-1, -2).reshape(*shape, 4).astype(np.float32)


def area(box):
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def plain_iou(a, b):
    inner = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    return inner, area(a) + area(b) - inner


def test_overlaps_are_those_of_the_plain_formulas():
    random = np.random.default_rng(0)
    some, others = jnp.asarray(drawn(random, 50)), jnp.asarray(drawn(random, 50))
    for a, b, iou, generalized in zip(
        *map(np.asarray, (some, others, ious(some, others), generalized_ious(some, others))),
        strict=True,
    ):
        inner, union = plain_iou(a, b)
        hull = area([min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])])
        assert iou == pytest.approx(inner / union, abs=1e-6)
        assert generalized == pytest.approx(inner / union - (hull - union) / hull, abs=1e-5)


def test_suppression_is_greedy_by_score_and_by_class():
    random = np.random.default_rng(1)
    boxes, labels = drawn(random, 40), random.integers(2, size=40).astype(np.int32)
    real = np.arange(40) < 35
    expected: list[int] = []
    for number in range(35):
        rivals = [k for k in expected if labels[k] == labels[number]]
        pairs = [plain_iou(boxes[number], boxes[k]) for k in rivals]
        if all(inner / union <= 0.3 for inner, union in pairs):
            expected.append(number)
    kept = kept_boxes(jnp.asarray(boxes), jnp.asarray(labels), jnp.asarray(real), overlap=0.3)
    assert np.flatnonzero(kept).tolist() == expected
    assert 5 < len(expected) < 35


def some_images(random, count, classes):
    """Objects, and detections that are near some of them, with scores of which many are equal."""
    actual, predicted = [], []
    for _ in range(count):
        boxes = drawn(random, random.integers(5))
        labels = random.integers(1, classes + 1, len(boxes))
        near = boxes + random.normal(0, 0.02, boxes.shape)
        noise = drawn(random, random.integers(4))
        found = np.concatenate([near, noise])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1e-3)
        of = np.concatenate([labels, random.integers(1, classes + 1, len(noise))])
        actual.append(Found(boxes, labels))
        predicted.append(Found(found, of, np.round(random.random(len(found)), 1)))
    return predicted, actual


def test_average_precision_is_that_of_pycocotools():
    if importlib.util.find_spec("pycocotools") is None:
        pytest.skip("needs pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    predicted, actual = some_images(np.random.default_rng(2), 60, 3)

    def corner_and_sides(box):
        return [float(x) for x in (box[0], box[1], box[2] - box[0], box[3] - box[1])]

    def records(images):
        return [
            {"image_id": number, "category_id": int(label), "bbox": corner_and_sides(box)}
            for number, image in enumerate(images)
            for box, label in zip(image.boxes, image.labels, strict=True)
        ]

    numbered = itertools.count(1)
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number} for number in range(len(actual))],
        "categories": [{"id": label} for label in (1, 2, 3)],
        "annotations": [
            {**each, "id": next(numbered), "iscrowd": 0, "area": each["bbox"][2] * each["bbox"][3]}
            for each in records(actual)
        ],
    }
    truth.createIndex()
    scores = np.concatenate([each.scores for each in predicted])
    told = [
        {**each, "score": float(score)}
        for each, score in zip(records(predicted), scores, strict=True)
    ]
    evaluation = COCOeval(truth, truth.loadRes(told), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    found = average_precisions(predicted, actual, (1, 2, 3))
    np.testing.assert_allclose(found, precision.mean(axis=1), atol=1e-6)
    assert 0.1 < found.mean() < 0.9


def test_average_precision_of_a_few_boxes_by_hand():
    box, far = [0.0, 0.0, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]
    nothing = Found(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    # One of two objects found, by the second of two detections: precision 1/2 up to recall 1/2.
    predicted = [Found(np.array([far, box]), np.array([1, 1]), np.array([0.9, 0.8])), nothing]
    actual = [Found(np.array([box]), np.array([1]))] * 2
    np.testing.assert_allclose(average_precisions(predicted, actual, (1,)), 0.5 * 51 / 101)
    # An image without an object is right without one; a class without objects has no number.
    found = average_precisions([predicted[0], nothing], [actual[0], nothing], (1, 2))
    np.testing.assert_allclose(found[:, 0], 0.5)
    assert np.isnan(found[:, 1]).all()


def grid_of(batch, classes=2, side=6, heat=8.0):
    """Outputs that say what the targets of a batch are."""
    blank = jnp.zeros((len(batch["labels"]), side, side, classes + 4), jnp.float32)
    wanted = targets(blank, batch)
    at = (jnp.arange(side, dtype=jnp.float32) + 0.5) / side
    across, down = at[None, None, :], at[None, :, None]
    left, top, right, bottom = (wanted.box[..., edge] for edge in range(4))
    distance = jnp.stack([across - left, down - top, right - across, bottom - down], axis=-1)
    edges = jnp.log(jnp.maximum(distance, 1e-4) / 0.1)
    logits = jnp.where(wanted.heat >= 1, heat, -heat)
    return jnp.concatenate([logits, edges], axis=-1)


BATCH = {
    "boxes": np.array(
        [[[0.1, 0.1, 0.5, 0.4], [0.5, 0.6, 0.9, 1.0]], [[0.2, 0.3, 0.8, 0.9], [0, 0, 0, 0]]],
        np.float32,
    ),
    "labels": np.array([[1, 2], [2, 0]], np.int32),
    "weight": np.ones(2, np.float32),
}


def test_what_the_targets_say_is_found_again():
    found = detections(grid_of(BATCH))
    for row, count in enumerate((2, 1)):
        real = np.asarray(found.scores[row]) > 0.5
        assert real.sum() == count
        order = np.argsort(np.asarray(found.labels[row])[real])
        np.testing.assert_array_equal(
            np.asarray(found.labels[row])[real][order], BATCH["labels"][row, :count]
        )
        np.testing.assert_allclose(
            np.asarray(found.boxes[row])[real][order], BATCH["boxes"][row, :count], atol=1e-5
        )
    assert box_loss(grid_of(BATCH), BATCH).total < 0.4
    assert heat_loss(grid_of(BATCH), BATCH).total < 1e-2


def test_boxes_and_images_of_padding_never_count():
    random = np.random.default_rng(3)
    outputs = jnp.asarray(random.normal(size=(2, 6, 6, 6)), jnp.float32)
    padded = {
        "boxes": np.pad(BATCH["boxes"], ((0, 0), (0, 3), (0, 0)), constant_values=0.3),
        "labels": np.pad(BATCH["labels"], ((0, 0), (0, 3))),
        "weight": BATCH["weight"],
    }
    for loss in (detection_loss, heat_loss, box_loss):
        expected = loss(outputs, BATCH)
        np.testing.assert_allclose(loss(outputs, padded), expected, rtol=1e-6)
        twice = {name: np.concatenate([array, array]) for name, array in BATCH.items()}
        twice["weight"] = np.array([1, 1, 0, 0], np.float32)
        np.testing.assert_allclose(
            loss(jnp.tile(outputs, (2, 1, 1, 1)), twice), expected, rtol=1e-6
        )


def test_an_image_without_an_object_has_no_loss_of_boxes_and_finite_gradients():
    empty = {**BATCH, "labels": np.zeros_like(BATCH["labels"])}
    outputs = jnp.zeros((2, 6, 6, 6), jnp.float32)
    assert box_loss(outputs, empty).total == 0
    gradient = jax.grad(lambda of: detection_loss(of, empty).total)(outputs)
    assert jnp.isfinite(gradient).all()
    assert jnp.abs(gradient).max() > 0


def test_cell_boxes_lie_around_their_cells():
    boxes = np.asarray(cell_boxes(jnp.zeros((1, 2, 4, 5), jnp.float32)))
    np.testing.assert_allclose(boxes[0, 1, 2], [0.525, 0.65, 0.725, 0.85], rtol=1e-6)


def test_a_report_has_the_mean_over_classes_that_are_there():
    values = {"boxes": BATCH["boxes"], "labels": BATCH["labels"]}
    found = {**values, "scores": (BATCH["labels"] > 0).astype(np.float32)}
    measured = {
        "loss": Mean(1.0, 1.0),
        "found": Rows(found, BATCH["weight"]),
        "there": Rows(values, BATCH["weight"]),
    }
    report = precision_report(measured, ("background", "cat", "dog", "bird"))
    assert (report["map"], report["map_50"]) == (1.0, 1.0)
    assert "bird     nan     nan  0" in report["report"]


def masks(seed=0, classes=4):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(3, 5, 7, classes)).astype(np.float32)
    mask = random.integers(classes, size=(3, 5, 7)).astype(np.int32)
    mask[0, :2] = 255
    return jnp.asarray(logits), {"mask": mask, "weight": np.array([1, 1, 0], np.float32)}


def test_intersection_over_union_is_that_of_scikit_learn():
    from sklearn.metrics import accuracy_score, jaccard_score, log_loss

    logits, batch = masks()
    counted = (batch["mask"] != 255) & (batch["weight"] > 0)[:, None, None]
    actual = batch["mask"][counted]
    predicted = np.asarray(logits).argmax(-1)[counted]
    matrix = np.asarray(confusion(logits, batch))[batch["weight"] > 0].sum(axis=0)
    assert matrix.sum() == counted.sum()
    expected = jaccard_score(actual, predicted, average=None)
    np.testing.assert_allclose(iou_of_classes(matrix.astype(float)), expected)
    right = pixel_accuracy(logits, batch)
    assert right.total / right.count == pytest.approx(accuracy_score(actual, predicted))
    lost = pixel_cross_entropy(logits, batch)
    probability = np.asarray(jax.nn.softmax(logits))[counted]
    assert lost.total / lost.count == pytest.approx(log_loss(actual, probability), rel=1e-5)


def test_an_image_without_an_object_is_right_without_one():
    matrix = np.zeros((1, 3, 3), np.int32)
    matrix[0, 0, 0] = 12
    measured = {"loss": Mean(0.0, 1.0), "confusion": Rows(matrix, np.ones(1))}
    report = partial(iou_report, measured, ("ground", "cat", "dog"))
    assert (report()["mean_iou"], report()["object_iou"]) == (1.0, 1.0)
    matrix[0, 0, 1] = 4
    assert (report()["mean_iou"], report()["object_iou"]) == (12 / 16 / 2, 0.0)
