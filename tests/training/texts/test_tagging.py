"""Metrics of labelled words, and what a tagger answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from initial import initial

from bigmodel.data.tagging.reading import TagReader
from bigmodel.data.texts.tokenizers import byte_tokenizer
from bigmodel.experiment import Mean, Rows
from bigmodel.models.texts.bert import Bert
from bigmodel.training.texts.tagging import (
    entity_report,
    tag_predictor,
    word_accuracy,
    word_cross_entropy,
)

LABELS = ("O", "B-A", "I-A")
BATCH = {
    "labels": np.array([[1, 2, 0], [1, 0, 0], [0, 0, 0]], np.int32),
    "words": np.array([3, 1, 2], np.int32),
    "weight": np.array([1, 1, 0], np.float32),
}


def test_words_that_are_padding_do_not_count():
    logits = np.random.default_rng(0).normal(size=(3, 3, 3)).astype(np.float32)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    real = [(0, 0), (0, 1), (0, 2), (1, 0)]
    nats = word_cross_entropy(jnp.asarray(logits), BATCH)
    np.testing.assert_allclose(
        nats.total, -sum(log_p[r, w, BATCH["labels"][r, w]] for r, w in real), rtol=1e-5
    )
    right = sum(logits[r, w].argmax() == BATCH["labels"][r, w] for r, w in real)
    accuracy = word_accuracy(jnp.asarray(logits), BATCH)
    assert (int(accuracy.total), int(accuracy.count), int(nats.count)) == (right, 4, 4)


def test_a_report_has_the_entities_of_the_words_that_are_no_padding():
    predicted = np.array([[1, 2, 0], [0, 1, 1], [1, 1, 1]], np.int32)
    measured = {
        "loss": Mean(1.0, 2.0),
        "predicted": Rows(predicted[:2], BATCH["weight"][:2]),
        "right": Rows({name: BATCH[name][:2] for name in ("labels", "words")}, BATCH["weight"][:2]),
    }
    found = entity_report(measured, LABELS)
    assert (found["loss"], found["precision"], found["recall"]) == (0.5, 1.0, 0.5)
    assert found["f1"] == found["f1_macro"] == pytest.approx(2 / 3)
    assert found["report"].splitlines()[1].split() == ["A", "1.0000", "0.5000", "0.6667", "2"]
    assert entity_report(measured, ("N", "V", "X")) == {"loss": 0.5}


def test_answers_are_the_likeliest_labels_and_the_entities_that_they_make():
    reader = TagReader(LABELS, 16, 8, byte_tokenizer())
    model = Bert(layers=1, width=16, heads=2).tagger(3, vocab_size=256, context=16)
    asked = tag_predictor(model, reader)
    batch = asked.encode(["Ada ran", ["a.b", "c", "d"]])
    variables = initial(model.init, jax.random.key(0), batch)
    variables = jax.tree.map(lambda leaf: 8 * leaf, variables)
    answers = asked.decode(jax.jit(asked.apply)(variables, batch))
    logits, _ = jax.jit(lambda v, b: model.apply(v, b, train=False))(variables, batch)
    assert [[w["word"] for w in each["words"]] for each in answers] == [
        ["Ada", "ran"],
        ["a.b", "c", "d"],
    ]
    for row, answer in enumerate(answers):
        best = np.argmax(logits[row], axis=-1)
        assert [w["label"] for w in answer["words"]] == [
            LABELS[i] for i in best[: len(answer["words"])]
        ]
        for entity in answer["entities"]:
            words = [w["word"] for w in answer["words"][entity["first"] : entity["end"]]]
            assert entity["text"].split() == words
    forced = {**jax.device_get(jax.jit(asked.apply)(variables, batch))}
    forced["probability"] = np.eye(3, dtype=np.float32)[[[1, 2, 0] * 2 + [0, 0]] * 2]
    assert asked.decode(forced)[0]["entities"] == [
        {"kind": "A", "text": "Ada ran", "first": 0, "end": 2}
    ]
