import numpy as np
import pytest

from bigmodel.data.batches import epochs, in_order
from bigmodel.data.parts import data_of, fingerprint

ROWS = {"x": np.arange(12, dtype=np.float32)[:, None], "label": np.arange(12, dtype=np.int32)}


def visited(train, steps, seed=0):
    return np.concatenate([train(seed, step)["label"] for step in steps])


def test_each_epoch_visits_each_row_once_however_late_it_is():
    train = epochs(ROWS, 4)
    for epoch in (0, 1, 2, 10**12):
        assert sorted(visited(train, range(3 * epoch, 3 * epoch + 3))) == list(range(12))


def test_the_incomplete_last_batch_is_dropped_and_no_row_comes_twice():
    train = epochs(ROWS, 5)
    assert len(set(visited(train, range(2)))) == 10
    assert len(set(visited(train, range(2, 4)))) == 10


def test_arrays_stay_together_and_weights_are_ones():
    batch = epochs(ROWS, 4)(0, 7)
    np.testing.assert_array_equal(batch["x"][:, 0], batch["label"].astype(np.float32))
    np.testing.assert_array_equal(batch["weight"], np.ones(4, np.float32))


def test_a_batch_is_decided_by_seed_and_step_alone():
    forwards, backwards = epochs(ROWS, 4), epochs(ROWS, 4)
    seen = [forwards(3, step) for step in range(20)]
    for step in reversed(range(20)):
        for name, array in backwards(3, step).items():
            np.testing.assert_array_equal(array, seen[step][name])


def test_seeds_and_epochs_have_different_orders():
    train = epochs({"label": np.arange(100)}, 100)
    orders = [tuple(train(seed, epoch)["label"]) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9


@pytest.mark.parametrize(("batch_size", "message"), [(13, "13 .* 12"), (0, "0"), (-4, "-4")])
def test_a_batch_size_that_cannot_be_filled_is_refused(batch_size, message, refused):
    with refused(message):
        epochs(ROWS, batch_size)


def test_arrays_of_different_lengths_are_refused(refused):
    with refused("differ"):
        epochs({"a": np.zeros(3), "b": np.zeros(4)}, 2)


@pytest.mark.parametrize("batch_size", [1, 4, 5, 12, 50])
def test_evaluation_weighs_every_row_once_in_batches_of_one_shape(batch_size):
    batches = in_order(ROWS, batch_size)
    assert {batch["x"].shape for batch in batches} == {(batch_size, 1)}
    assert {batch["x"].dtype for batch in batches} == {np.dtype(np.float32)}
    labels = np.concatenate([batch["label"][batch["weight"] == 1] for batch in batches])
    np.testing.assert_array_equal(labels, np.arange(12))
    assert sum(batch["weight"].sum() for batch in batches) == 12


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
        augment=lambda batch, seed, step, *_: {"x": batch["x"] + 100 * seed + 1000 * step},
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


PLAIN = ({"a": np.zeros((2, 2), np.float32)}, {"f": b"xy"})


@pytest.mark.parametrize(
    ("arrays", "files"),
    [
        ({"b": np.zeros((2, 2), np.float32)}, PLAIN[1]),
        ({"a": np.zeros((4, 1), np.float32)}, PLAIN[1]),
        ({"a": np.zeros((2, 2), np.int32)}, PLAIN[1]),
        ({"a": np.eye(2, dtype=np.float32)}, PLAIN[1]),
        (PLAIN[0], {}),
        (PLAIN[0], {"f": b"xz"}),
        (PLAIN[0], {"g": b"xy"}),
        (PLAIN[0], {"f": b"xy", "g": b""}),
    ],
    ids=["name", "shape", "dtype", "values", "no file", "content", "file's name", "empty file"],
)
def test_the_fingerprint_sees_arrays_and_files_that_say_what_they_mean(arrays, files) -> None:
    assert fingerprint(arrays, files) != fingerprint(*PLAIN)


def test_the_fingerprint_is_of_the_content_whatever_its_order_in_memory() -> None:
    a, b = np.arange(6).reshape(2, 3), np.ones(2)
    assert fingerprint({"a": a, "b": b}) == fingerprint({"b": b, "a": np.asfortranarray(a)})
