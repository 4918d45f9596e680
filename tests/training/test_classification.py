import jax
import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from bigmodel.experiment import Mean, Rows
from bigmodel.training.class_report import (
    calibration_error,
    classification_report,
    describe,
)

NAMES = tuple("abcdefg")


def predictions(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    label = random.integers(classes, size=count)
    logits = random.normal(size=(count, classes)) + 1.5 * np.eye(classes)[label]
    return np.asarray(jax.nn.softmax(logits, axis=1), np.float64), label


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_report_is_scikit_learns(classes: int, ties: bool) -> None:
    probability, label = predictions(500, classes)
    if ties:
        probability = probability.round(1) + 0.1
        probability /= probability.sum(axis=1, keepdims=True)
    predicted = probability.argmax(1)
    found = describe(probability, label, NAMES[:classes])
    macro = {"average": "macro", "zero_division": 0}
    assert found["precision_macro"] == metrics.precision_score(label, predicted, **macro)
    assert found["recall_macro"] == metrics.recall_score(label, predicted, **macro)
    assert found["f1_macro"] == metrics.f1_score(label, predicted, **macro)
    assert found["f1_micro"] == pytest.approx(metrics.accuracy_score(label, predicted))
    scores = probability[:, 1] if classes == 2 else probability
    auc = metrics.roc_auc_score(label, scores, multi_class="ovr")
    assert found["roc_auc"] == pytest.approx(auc, abs=1e-12)
    if classes == 7 and not ties:
        top = metrics.top_k_accuracy_score(label, probability, k=5)
        assert found["top_5_accuracy"] == pytest.approx(top)
    each = metrics.f1_score(label, predicted, average=None)
    for name, value in zip(NAMES[:classes], each, strict=True):
        assert any(line.split()[:1] == [name] and f"{value:.4f}" in line for line in
                   str(found["report"]).splitlines())  # fmt: skip


def test_calibration_error_is_the_gap_of_scikit_learns_curve() -> None:
    probability, label = predictions(400, 2)
    confidence, correct = probability.max(1), probability.argmax(1) == label
    accuracy, mean = calibration_curve(correct, confidence, n_bins=15)
    edges = np.linspace(0, 1, 16)
    counts = np.histogram(confidence, edges)[0]
    expected = np.sum(counts[counts > 0] * np.abs(accuracy - mean)) / 400
    assert calibration_error(probability, label) == pytest.approx(expected, abs=1e-12)


def test_a_perfect_and_sure_classifier_is_calibrated() -> None:
    label = np.array([0, 1, 2, 1])
    assert calibration_error(np.eye(3)[label], label) == 0.0
    assert calibration_error(np.eye(3)[(label + 1) % 3], label) == 1.0


def test_labels_of_one_class_have_no_roc_auc() -> None:
    probability, label = predictions(20, 3)
    found = describe(probability, np.zeros_like(label), NAMES[:3])
    assert np.isnan(found["roc_auc"])
    assert np.isfinite(found["f1_macro"])


def test_report_reads_what_was_gathered_and_keeps_the_means() -> None:
    report = classification_report(NAMES)
    logits = np.random.default_rng(0).normal(size=(30, 7)).astype(np.float32)
    label = np.arange(30) % 7
    rows = report["gathered"]["prediction"](logits, {"label": label})
    rows = Rows(jax.tree.map(np.asarray, rows), np.ones(30))
    measured = {"prediction": rows, "loss": Mean(np.asarray(6.0), np.asarray(3.0))}
    found = report["summarize"](measured)
    assert found["loss"] == 2.0
    assert found["f1_micro"] == pytest.approx(np.mean(logits.argmax(1) == label))
