import numpy as np
import pytest

from bigmodel.data.images.augmentation import augment, shifted

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 256, (16, 6, 5, 2)).astype(np.uint8)


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
    _, y, x, _ = np.nonzero(augment(spot, 0, 0, shift=2, flip=False))
    assert set(zip(y - 4, x - 4, strict=True)) == {
        (down, right) for down in range(-2, 3) for right in range(-2, 3)
    }


def test_half_of_the_images_are_mirrored_and_the_rest_untouched():
    images = RNG.random((4000, 2, 3, 1))
    out = augment(images, 0, 0, shift=0, flip=True)
    mirrored = (out == images[:, :, ::-1]).all(axis=(1, 2, 3))
    untouched = (out == images).all(axis=(1, 2, 3))
    assert (mirrored ^ untouched).all()
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)


def test_augmentation_is_decided_by_seed_and_step():
    def at(seed, step):
        return augment(IMAGES, seed, step, shift=2, flip=True)

    np.testing.assert_array_equal(at(3, 5), at(3, 5))
    assert not np.array_equal(at(3, 5), at(3, 6))
    assert not np.array_equal(at(3, 5), at(4, 5))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_dtype_and_shape_stay(dtype):
    out = augment(IMAGES.astype(dtype), 0, 0, shift=1, flip=True)
    assert (out.dtype, out.shape) == (np.dtype(dtype), IMAGES.shape)
