"""Arrays by part as the data of an experiment."""

import numpy as np
import pytest

from bigmodel.data.parts import data_of
from bigmodel.experiment import InputError


def part(*values: int) -> dict[str, np.ndarray]:
    return {"x": np.array(values, np.int32)}


PARTS = {"train": part(1, 2, 3, 4, 5), "validation": part(), "test": part(6, 7, 8)}


def test_parts_with_rows_are_splits_and_the_batches_of_all_are_prepared() -> None:
    data = data_of(PARTS, 2, prepare=lambda batch: batch | {"y": 10 * batch["x"]})
    assert list(data.splits) == ["test"]
    assert [batch["y"].tolist() for batch in data.splits["test"]] == [[60, 70], [80, 0]]
    assert data.splits["test"][1]["weight"].tolist() == [1, 0]
    assert data.steps_per_epoch == 2
    batch = data.train(0, 0)
    assert batch["y"].tolist() == (10 * batch["x"]).tolist()
    assert set(batch["x"].tolist()) < {1, 2, 3, 4, 5}


def test_training_batches_alone_are_augmented_before_they_are_prepared() -> None:
    data = data_of(
        PARTS,
        2,
        augment=lambda batch, seed, step: {"x": batch["x"] + 100 * seed + 1000 * step},
        prepare=lambda batch: {"x": 10 * batch["x"]},
    )
    assert sorted(data.train(3, 1)["x"] % 10_000 // 1000) == [3, 3]
    assert (data.train(3, 1)["x"] > 10_000).all()
    assert data.splits["test"][0]["x"].tolist() == [60, 70]


@pytest.mark.parametrize(
    "other",
    [
        {"beside": {"unit": np.array([2.0])}},
        {"deciding": {"vocabulary.json": b"{}"}},
        {"parts": {**PARTS, "test": part(6, 7, 9)}},
    ],
)
def test_the_fingerprint_covers_what_decides(other: dict) -> None:
    parts = other.pop("parts", PARTS)
    assert data_of(parts, 2, **other).fingerprint != data_of(PARTS, 2).fingerprint


def test_assets_do_not_decide() -> None:
    data = data_of(PARTS, 2, assets={"counts.json": b"{}"})
    assert data.assets == {"counts.json": b"{}"}
    assert data.fingerprint == data_of(PARTS, 2).fingerprint


def test_a_batch_that_cannot_be_filled_is_an_error() -> None:
    with pytest.raises(InputError, match="larger than the training data: 5 examples"):
        data_of(PARTS, 6)
