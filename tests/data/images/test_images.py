import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bigmodel.data.images.images import ImageData, load_images

DIGITS = load_digits()
ALL = sorted(map(bytes, DIGITS.images.astype(np.uint8)))


def real(batches, name):
    return np.concatenate([batch[name][batch["weight"] == 1] for batch in batches])


def train_rows(data, name, seed=0):
    return np.concatenate([data.train(seed, step)[name] for step in range(data.steps_per_epoch)])


def test_digits_are_all_there_once_scaled_to_the_unit_range():
    images = load_images(ImageData(batch_size=1))
    held = [real(split, "image") for split in images.data.splits.values()]
    pixels = np.concatenate([train_rows(images.data, "image"), *held])
    assert sorted(map(bytes, (pixels * 16).astype(np.uint8))) == ALL
    assert (images.classes, images.shape) == (10, (8, 8, 1))


def test_labels_stay_with_their_images():
    by_image = {
        bytes(i): t for i, t in zip(DIGITS.images.astype(np.uint8), DIGITS.target, strict=True)
    }
    data = load_images(ImageData()).data
    for batch in [data.train(0, 3), data.splits["validation"][0], data.splits["test"][1]]:
        images = (batch["image"] * 16).astype(np.uint8)
        assert [by_image[bytes(image)] for image in images] == batch["label"].tolist()


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


def test_folds_test_on_every_digit_once() -> None:
    folds = [load_images(ImageData(folds=4, fold=fold)).data for fold in range(4)]
    rows = np.concatenate([real(data.splits["test"], "image") for data in folds])
    assert sorted(map(bytes, (rows * 16).astype(np.uint8))) == ALL
