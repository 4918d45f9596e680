import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bigmodel.data.images.augmentation import augment, shifted
from bigmodel.data.images.images import ImageData, load_images
from bigmodel.experiment import WHOLE

DIGITS = load_digits()
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 256, (16, 6, 5, 2)).astype(np.uint8)
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


def test_shifting_is_the_plain_loop_over_pixels():
    offsets = RNG.integers(-3, 4, (16, 2))
    expected = np.zeros_like(IMAGES)
    for n, (down, right) in enumerate(offsets):
        for y in range(6):
            for x in range(5):
                if 0 <= y - down < 6 and 0 <= x - right < 5:
                    expected[n, y, x] = IMAGES[n, y - down, x - right]
    np.testing.assert_array_equal(shifted(IMAGES, offsets), expected)


def test_all_shifts_up_to_the_limit_occur_and_none_beyond():
    spot = np.zeros((4000, 9, 9, 1), np.uint8)
    spot[:, 4, 4] = 1
    _, y, x, _ = np.nonzero(augment(spot, 0, 0, WHOLE, size=len(spot), shift=2, flip=False))
    assert set(zip(y - 4, x - 4, strict=True)) == {
        (down, right) for down in range(-2, 3) for right in range(-2, 3)
    }


def test_half_of_the_images_are_mirrored_and_the_rest_untouched():
    images = RNG.random((4000, 2, 3, 1))
    out = augment(images, 0, 0, WHOLE, size=len(images), shift=0, flip=True)
    mirrored = (out == images[:, :, ::-1]).all(axis=(1, 2, 3))
    untouched = (out == images).all(axis=(1, 2, 3))
    assert (mirrored ^ untouched).all()
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)


def test_augmentation_is_decided_by_seed_and_step():
    def at(seed, step):
        return augment(IMAGES, seed, step, WHOLE, size=len(IMAGES), shift=2, flip=True)

    np.testing.assert_array_equal(at(3, 5), at(3, 5))
    assert not np.array_equal(at(3, 5), at(3, 6))
    assert not np.array_equal(at(3, 5), at(4, 5))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_dtype_and_shape_stay(dtype):
    out = augment(IMAGES.astype(dtype), 0, 0, WHOLE, size=len(IMAGES), shift=1, flip=True)
    assert (out.dtype, out.shape) == (np.dtype(dtype), IMAGES.shape)
