from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bigmodel.data.images.images import ImageData, load_images
from bigmodel.experiment import InputError

DIGITS = load_digits()


def real(batches, name):
    return np.concatenate([batch[name][batch["weight"] == 1] for batch in batches])


def train_rows(data, name, seed=0):
    return np.concatenate([data.train(seed, step)[name] for step in range(data.steps_per_epoch)])


def test_digits_are_all_there_once_scaled_to_the_unit_range():
    images = load_images(ImageData(batch_size=1))
    data = images.data
    pixels = np.concatenate(
        [train_rows(data, "image"), *(real(split, "image") for split in data.splits.values())]
    )
    ours = sorted(map(bytes, (pixels * 16).astype(np.uint8)))
    assert ours == sorted(map(bytes, DIGITS.images.astype(np.uint8)))
    assert (images.classes, images.shape) == (10, (8, 8, 1))


def test_labels_stay_with_their_images():
    by_image = {
        bytes(i): t for i, t in zip(DIGITS.images.astype(np.uint8), DIGITS.target, strict=True)
    }
    data = load_images(ImageData()).data
    for batch in [data.train(0, 3), data.splits["validation"][0], data.splits["test"][1]]:
        for image, label in zip(
            (batch["image"] * 16).astype(np.uint8), batch["label"], strict=True
        ):
            assert by_image[bytes(image)] == label


def test_splits_are_stratified_as_scikit_learns():
    data = load_images(ImageData(batch_size=1)).data
    rest, test = train_test_split(DIGITS.target, test_size=0.2, stratify=DIGITS.target)
    train, validation = train_test_split(rest, test_size=0.1, stratify=rest)
    for ours, theirs in (
        (train_rows(data, "label"), train),
        (real(data.splits["validation"], "label"), validation),
        (real(data.splits["test"], "label"), test),
    ):
        difference = np.bincount(ours, minlength=10) - np.bincount(theirs, minlength=10)
        assert np.abs(difference).max() <= 1


def test_the_split_depends_on_its_own_seed_and_not_on_the_seed_of_the_run():
    first, again, other = (load_images(ImageData(split_seed=s)).data for s in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.splits.keys() == {"validation", "test"}


def test_a_fraction_of_zero_leaves_its_split_out():
    data = load_images(ImageData(validation=0.0, test=0.0, batch_size=1797)).data
    assert data.splits == {}
    assert data.steps_per_epoch == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 1.0}, "--data.validation 1.0"),
        ({"validation": -0.1}, "--data.validation -0.1"),
        ({"validation": float("nan")}, "--data.validation nan"),
        ({"test": 1.0}, "--data.test 1.0"),
        ({"shift": -1}, "--data.shift -1"),
        ({"shift": 8}, "--data.shift 8 .* 8x8"),
        ({"size": 0}, "--data.size 0"),
        ({"split_seed": -1}, "--data.split-seed -1"),
        ({"batch_size": 0}, "--data.batch-size 0"),
        ({"batch_size": 1500}, "--data.batch-size 1500 .* 129"),
        ({"path": "somewhere"}, "digits are bundled"),
        ({"name": "folder"}, "needs --data.path"),
        ({"name": "folder", "path": "/nonexistent"}, "/nonexistent is no folder"),
        ({"name": "fashion_mnist", "path": "/nonexistent"}, "/nonexistent is no folder"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(InputError, match=message) as error:
        load_images(replace(ImageData(), **options))
    assert "\n" not in str(error.value)


def test_folds_test_on_every_digit_once() -> None:
    found = [
        image[weight > 0].reshape(-1, 64)
        for fold in range(4)
        for image, weight in (
            (batch["image"], batch["weight"])
            for batch in load_images(ImageData(folds=4, fold=fold)).data.splits["test"]
        )
    ]
    rows = np.concatenate(found)
    expected = load_digits().data / 16
    assert len(rows) == len(expected)
    np.testing.assert_array_equal(
        rows[np.lexsort(rows.T)], expected.astype(np.float32)[np.lexsort(expected.T)]
    )
