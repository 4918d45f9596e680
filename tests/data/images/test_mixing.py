"""What becomes of images on the devices: numbers, and mixtures of two."""

import jax
import numpy as np
import pytest

from bigmodel.data.images.mixing import mixtures, received, unit_range
from bigmodel.experiment import WHOLE

RNG = np.random.default_rng(0)
SIZE, SHAPE = 6, (8, 10)
BATCH = {
    "image": RNG.integers(0, 256, (SIZE, *SHAPE, 3)).astype(np.uint8),
    "label": np.arange(SIZE, dtype=np.int32),
    "weight": np.ones(SIZE, np.float32),
}


def mixed(step=0, rows=WHOLE, *, size=SIZE, mixup=0.0, cutmix=0.0):
    return mixtures(3, step, rows, size=size, shape=SHAPE, mixup=mixup, cutmix=cutmix)


@pytest.mark.parametrize("of", [unit_range, jax.jit(unit_range)])
def test_bytes_become_their_255ths_correctly_rounded(of) -> None:
    every = np.arange(256, dtype=np.uint8)
    found = np.asarray(of(every))
    np.testing.assert_array_equal(found, every.astype(np.float32) / np.float32(255))
    numbers = np.float32([0.1, 0.9])
    np.testing.assert_array_equal(of(numbers), numbers)


@pytest.mark.parametrize("of", [received, jax.jit(received)])
@pytest.mark.parametrize("how", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_each_pixel_is_the_blend_or_comes_from_the_other_image(of, how) -> None:
    for step in range(4):
        drawn = mixed(step, **how)
        found = of({**BATCH, **drawn})
        images = BATCH["image"] / 255
        for row in range(SIZE):
            top, left, bottom, right = drawn["box"][row]
            other = images[SIZE - 1 - row]
            expected = drawn["blend"][row] * images[row] + (1 - drawn["blend"][row]) * other
            expected[top:bottom, left:right] = other[top:bottom, left:right]
            np.testing.assert_allclose(found["image"][row], expected, atol=1e-6)
            own = 1 - (bottom - top) * (right - left) / (SHAPE[0] * SHAPE[1])
            assert found["share"][row] == pytest.approx(drawn["blend"][row] * own)
        np.testing.assert_array_equal(found["other_label"], BATCH["label"][::-1])
        assert set(found) == {"image", "label", "weight", "share", "other_label"}


def test_what_is_not_mixed_has_one_label() -> None:
    assert set(received(BATCH)) == set(BATCH)


def test_shares_are_those_of_the_beta_distributions() -> None:
    many = {"size": 20_000}
    share = mixed(mixup=0.5, **many)["share"]
    assert abs(share.mean() - 0.5) < 0.01
    assert abs(share.var() - 1 / 8) < 0.005  # 1 / (4 (2 alpha + 1))
    found = mixed(cutmix=1.0, **many)
    assert (found["blend"] == 1).all()
    top, left, bottom, right = found["box"].T
    inside = (top > 0) & (left > 0) & (bottom < SHAPE[0]) & (right < SHAPE[1])
    # A box has the proportions of the image, but for the rounding of its border.
    assert abs((bottom - top)[inside] / SHAPE[0] - (right - left)[inside] / SHAPE[1]).max() < 0.25
    both = mixed(mixup=0.5, cutmix=1.0, **many)
    assert abs((both["blend"] < 1).mean() - 0.5) < 0.02
    assert not ((both["blend"] < 1) & (both["box"][:, 2] > both["box"][:, 0])).any()


def test_rows_of_mixtures_are_drawn_with_the_whole_batch() -> None:
    whole = mixed(5, mixup=0.2, cutmix=1.0)
    for rows in (slice(0, 2), slice(2, 6)):
        for name, part in mixed(5, rows, mixup=0.2, cutmix=1.0).items():
            np.testing.assert_array_equal(part, whole[name][rows])
    assert not np.array_equal(mixed(6, mixup=0.2)["share"], whole["share"])
