"""Rates of groups and their differences are those of the formulas, and of fairlearn."""

import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from bigmodel.analysis import estimates
from bigmodel.analysis.fairness.auditing import audit_groups
from bigmodel.analysis.fairness.grouping import Groups
from bigmodel.analysis.fairness.rates import positive_class
from bigmodel.analysis.fairness.report import (
    Report,
    criteria_of,
    differences_table,
    groups_table,
    plain,
    warnings,
)
from bigmodel.analysis.predictions import Predictions
from bigmodel.experiment import InputError

RUN: Any = SimpleNamespace(path="runs/one", step=7)
SIZES = {"a": 150, "b": 90, "c": 60, "few": 8}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of intervals, of which other tests are."""
    monkeypatch.setattr(estimates, "DRAWS", 50)
    monkeypatch.setattr(estimates, "FEWEST", 50)


def predictions(classes: int = 2, seed: int = 0) -> Predictions:
    """Of three groups that are served unequally, and of one of eight examples."""
    rng = np.random.default_rng(seed)
    count = sum(SIZES.values())
    right = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), right] += np.repeat([2.0, 1.0, 0.2, 1.0], list(SIZES.values()))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(tuple("xyz"[:classes]), probability, right)


GROUPS = Groups("site", tuple(SIZES), np.repeat(np.arange(4), list(SIZES.values())))


def audited(predicted: Predictions, smallest: int = 1, **options: Any) -> Report:
    found = {"split": "test", "positive": None, "seed": 0, **options}
    return audit_groups(RUN, predicted, GROUPS, smallest=smallest, **found)


def rates_of(report: Report, metric: str) -> list[float]:
    return [one.value for one in report.comparison.by_group[metric]]


def test_rates_are_those_of_scikit_learn_in_each_group() -> None:
    made = predictions()
    report = audited(made)
    chosen = made.predicted.argmax(axis=1)
    for metric, function in {
        "accuracy": metrics.accuracy_score,
        "true positive rate": metrics.recall_score,
        "precision": metrics.precision_score,
        "false positive rate": lambda y, p: 1 - metrics.recall_score(y, p, pos_label=0),
        "selection rate": lambda _, p: p.mean(),
        "share of the class": lambda y, _: y.mean(),
    }.items():
        rows = [GROUPS.number == at for at in range(4)]
        expected = [function(made.right[some], chosen[some]) for some in rows]
        assert rates_of(report, metric) == pytest.approx(expected)
    some = GROUPS.number == 1
    probability = made.predicted[some]
    for metric, expected in {
        "ROC AUC": metrics.roc_auc_score(made.right[some], probability[:, 1]),
        "log loss": metrics.log_loss(made.right[some], probability),
    }.items():
        assert rates_of(report, metric)[1] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_differences_are_those_of_fairlearn(seed: int) -> None:
    fairlearn = pytest.importorskip("fairlearn.metrics")
    made = predictions(seed=seed)
    chosen = made.predicted.argmax(axis=1)
    names = np.array(GROUPS.names)[GROUPS.number]
    report = audited(made)
    frame = fairlearn.MetricFrame(
        metrics={
            "selection rate": fairlearn.selection_rate,
            "true positive rate": fairlearn.true_positive_rate,
            "false positive rate": fairlearn.false_positive_rate,
            "accuracy": metrics.accuracy_score,
        },
        y_true=made.right,
        y_pred=chosen,
        sensitive_features=names,
    )
    for metric in frame.by_group.columns:
        assert rates_of(report, metric) == pytest.approx(frame.by_group[metric].tolist())
        found = report.comparison.differences[metric]
        assert found.difference == pytest.approx(frame.difference()[metric])
        assert found.ratio == pytest.approx(frame.ratio()[metric])
    found = criteria_of(report)
    given = {"y_true": made.right, "y_pred": chosen, "sensitive_features": names}
    for criterion in ("demographic parity", "equalized odds", "equal opportunity"):
        for at, kind in enumerate(("difference", "ratio")):
            expected = getattr(fairlearn, f"{criterion.replace(' ', '_')}_{kind}")(**given)
            assert found[criterion][at] == pytest.approx(expected)


def test_p_is_that_of_all_groupings() -> None:
    made = predictions()
    two = Groups("site", ("a", "b"), (np.arange(made.examples) < 120).astype(int))
    report = audit_groups(RUN, made, two, split="test", positive=None, smallest=1, seed=0)
    hits = made.predicted.argmax(axis=1) == made.right
    size, total, count = int((two.number == 1).sum()), int(hits.sum()), made.examples
    inside = np.arange(size + 1)
    gaps = np.abs(inside / size - (total - inside) / (count - size))
    chance = stats.hypergeom(count, total, size).pmf(inside)
    found = report.comparison.differences["accuracy"]
    exact = chance[gaps >= found.difference - 1e-12].sum()
    assert found.p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 1000) + 0.002)
    # The same for a metric that is no share: the log loss differs as much as it does.
    assert report.comparison.differences["log loss"].p < 0.05


def test_groups_that_are_too_small_are_in_no_difference() -> None:
    report = audited(predictions(), smallest=20)
    assert {one.groups for one in report.comparison.differences.values()} == {3}
    text = {row[0].text: row for row in groups_table(report).rows}
    assert "of 8, too few" in text["few"][2].text
    assert any("fewer than 20 examples" in said and "'few'" in said for said in warnings(report))
    assert plain(report)["groups"]["few"]["metrics"]["accuracy"]["too_few"]
    # Of rates of some examples it is these that must be enough: those of the class, here.
    report = audited(predictions(), smallest=40)
    assert report.comparison.differences["true positive rate"].groups == 2
    assert report.comparison.differences["accuracy"].groups == 3
    assert any("true positive rate of 'c' is of fewer" in said for said in warnings(report))
    none = audited(predictions(), smallest=200)
    assert none.comparison.differences == {}
    assert "there are no two groups that are large enough to be compared" in warnings(none)


def test_of_several_classes_the_worst_is_told() -> None:
    made = predictions(classes=3)
    report = audited(made)
    assert report.positive is None
    chosen = audited(made, positive="y")
    for name, one in report.classes["y"].items():
        assert one[:4] == chosen.comparison.differences[name][:4]
    gaps = {c: of["selection rate"].difference for c, of in report.classes.items()}
    difference, _, label = criteria_of(report)["demographic parity"]
    assert (difference, label) == (max(gaps.values()), max(gaps, key=gaps.__getitem__))


def test_numbers_have_errors_in_each_group() -> None:
    rng = np.random.default_rng(0)
    right = rng.normal(size=308)
    predicted = right + rng.normal(size=308) + (GROUPS.number == 1)
    report = audited(Predictions((), predicted, right), smallest=20)
    some = GROUPS.number == 1
    for metric, expected in {
        "MAE": metrics.mean_absolute_error(right[some], predicted[some]),
        "RMSE": metrics.root_mean_squared_error(right[some], predicted[some]),
        "R2": metrics.r2_score(right[some], predicted[some]),
        "mean error": (predicted - right)[some].mean(),
    }.items():
        assert rates_of(report, metric)[1] == pytest.approx(expected)
    found = report.comparison.differences["mean error"]
    assert found.greatest == "b"
    assert found.p == 1 / 51  # no draw of 50 has as much
    assert len(differences_table(report).rows) == 6


@pytest.mark.parametrize("size", [1e-9, 1e-3, 1.0])
def test_no_number_but_zero_is_shown_as_zero(size: float) -> None:
    rng = np.random.default_rng(0)
    right = 10 * size * rng.normal(size=308)
    predicted = right + size * rng.normal(size=308)
    report = audited(Predictions((), predicted, right), smallest=20)
    for table in (groups_table(report), differences_table(report)):
        for row in table.rows:
            for entry in (one for one in row if one.number):
                words = re.findall(r"-?[0-9.]+(?:e[-+][0-9]+)?", entry.text.replace(",", ""))
                assert all(float(word) for word in words)
                assert len(set(words)) == len(words)


def test_a_calibrated_group_has_the_calibration_error_of_chance() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 300)
    probability = np.stack([1 - confidence, confidence], axis=1)
    errors, chances = [], []
    for seed in range(5):
        right = (np.random.default_rng(seed).random(300) < confidence).astype(int)
        groups = Groups("site", ("a", "b"), (np.arange(300) < 30).astype(int))
        made = Predictions(("no", "yes"), probability, right)
        report = audit_groups(RUN, made, groups, split="test", positive=None, smallest=1, seed=0)
        errors.append(rates_of(report, "calibration error"))
        chances.append(report.chance[1:])
    assert np.mean(errors, axis=0) == pytest.approx(np.mean(chances, axis=0), abs=0.05)
    assert np.mean(chances, axis=0)[1] > 2 * np.mean(chances, axis=0)[0]


def test_a_class_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"--positive yy is no class; .*the classes are x, y"):
        positive_class(predictions(), "yy")
