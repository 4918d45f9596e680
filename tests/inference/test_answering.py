"""Streams of answers: how far they read ahead, and what they spare meanwhile."""

import gc

import numpy as np
import pytest

from bigmodel.inference import answering
from bigmodel.inference.answering import Named, answers
from bigmodel.predictor import Predictor

DOUBLES = Predictor(
    lambda values: {"x": np.array(values)},
    lambda variables, batch: variables * batch["x"],
    lambda outputs: outputs.tolist(),
    "row",
    "numbers",
    "numbers",
)


# Batches that are read before the first of them is answered: outputs wait together where they are
# quick and small, which 16 numbers of 8 bytes each are.
@pytest.mark.parametrize(
    ("soon", "small", "ahead"), [(-1, 1 << 20, 2), (1000, 1, 2), (1000, 4 * 16 * 8, 5)]
)
def test_a_stream_of_inputs_is_answered_while_it_is_read(monkeypatch, soon, small, ahead):
    monkeypatch.setattr(answering, "SOON", soon)
    monkeypatch.setattr(answering, "SMALL", small)
    taken = []

    def inputs():
        for n in range(1000):
            taken.append(n)
            yield Named(n, f"line {n}")

    found = answers(DOUBLES, lambda batch: 2 * batch["x"], inputs(), batch_size=16)
    for n, answer in enumerate(found):
        assert answer == 2 * n
        assert len(taken) <= n + ahead * 16
    assert len(taken) == 1000


@pytest.mark.parametrize("frozen", [False, True])
def test_a_stream_gives_back_what_it_keeps_from_collections_of_garbage(frozen):
    if frozen:
        gc.freeze()
    try:
        found = answers(DOUBLES, lambda batch: 2 * batch["x"], range(100), batch_size=16)
        assert next(found) == 0
        assert gc.get_freeze_count() > 1000
        found.close()
        # What others froze stays so.
        assert (gc.get_freeze_count() > 1000) == frozen
    finally:
        gc.unfreeze()
