"""Entities in labels, and their scores, as seqeval has them."""

import numpy as np
import pytest

from bigmodel.training.texts.entities import Entity, entities, has_entities, scores


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("B-A I-A O B-B", [("A", 0, 2), ("B", 3, 4)]),
        # What begins with I is an entity; another kind begins another one.
        ("I-A I-A I-B O I-B", [("A", 0, 2), ("B", 2, 3), ("B", 4, 5)]),
        ("B-A B-A I-A", [("A", 0, 1), ("A", 1, 3)]),
        ("B-A I-A E-A S-A B-A E-A E-A", [("A", 0, 3), ("A", 3, 4), ("A", 4, 6), ("A", 6, 7)]),
        ("O O", []),
        ("", []),
        ("B-first-name I-first-name", [("first-name", 0, 2)]),
    ],
)
def test_entities_are_those_of_conll(labels, expected):
    assert entities(labels.split()) == [Entity(*each) for each in expected]


def test_an_entity_is_right_where_its_kind_and_both_its_ends_are():
    right = [["B-A", "I-A", "O", "B-B"], ["B-A", "O"]]
    found = [["B-A", "O", "O", "B-B"], ["B-A", "B-B"]]
    of_all, of_kinds = scores(found, right)
    assert of_all == (pytest.approx(2 / 4), pytest.approx(2 / 3), pytest.approx(4 / 7), 3)
    assert of_kinds["A"] == (0.5, 0.5, 0.5, 2)
    assert of_kinds["B"] == (0.5, 1.0, pytest.approx(2 / 3), 1)
    assert scores([["O"]], [["O"]]) == ((0, 0, 0, 0), {})


def test_labels_of_words_are_no_entities():
    assert has_entities(["O", "B-A", "S-x"])
    assert not has_entities(["O", "NN"])


@pytest.mark.parametrize("prefixes", ["BIO", "BIESO"])
def test_scores_are_those_of_seqeval(prefixes):
    metrics = pytest.importorskip("seqeval.metrics")
    random = np.random.default_rng(len(prefixes))
    choices = ["O", *(f"{prefix}-{kind}" for prefix in prefixes[:-1] for kind in "XYZ")]
    right, noise = (
        [random.choice(choices, length).tolist() for length in range(1, 60)] for _ in range(2)
    )
    found = [
        [b if random.random() < 0.3 else a for a, b in zip(*each, strict=True)]
        for each in zip(right, noise, strict=True)
    ]
    of_all, of_kinds = scores(found, right)
    assert of_all.precision == pytest.approx(metrics.precision_score(right, found))
    assert of_all.recall == pytest.approx(metrics.recall_score(right, found))
    assert of_all.f1 == pytest.approx(metrics.f1_score(right, found))
    report = metrics.classification_report(right, found, output_dict=True)
    for kind, each in of_kinds.items():
        assert each.f1 == pytest.approx(report[kind]["f1-score"])
        assert each.support == report[kind]["support"]
    macro = np.mean([each.f1 for each in of_kinds.values()])
    assert macro == pytest.approx(metrics.f1_score(right, found, average="macro"))
