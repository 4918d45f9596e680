"""What is done to one image, against formulas and other implementations."""

import colorsys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from bigmodel.data.images.alteration import (
    CROP_DRAWS,
    GREY,
    OPERATIONS,
    Alteration,
    altered,
    random_boxes,
    random_colours,
    random_operations,
)

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 24, 3)).astype(np.uint8)
SMOOTH = ndimage.gaussian_filter(RNG.integers(0, 256, (48, 48)).astype(float), 4)
SMOOTH = np.uint8(255 * (SMOOTH - SMOOTH.min()) / np.ptp(SMOOTH))[..., None]


@pytest.mark.parametrize("smallest", [0.08, 0.5, 1.0])
def test_parts_cover_what_is_asked_and_lie_inside(smallest: float) -> None:
    boxes = random_boxes(RNG.random((20_000, CROP_DRAWS)), smallest, (40, 100))
    left, top, right, bottom = boxes.T / np.array([[100], [40], [100], [40]])
    assert boxes.min() >= 0
    assert max(right.max(), bottom.max()) <= 1 + 1e-12
    area, ratio = (right - left) * (bottom - top), (right - left) / (bottom - top)
    assert area.min() >= smallest - 1e-9
    assert 3 / 4 - 1e-9 <= ratio.min() <= ratio.max() <= 4 / 3 + 1e-9
    if smallest == 0.08:
        # Small areas fit whatever their shape, so they are as even as they are drawn.
        small = area[area < 0.5]
        assert abs(small.mean() - 0.29) < 0.01
        assert abs(np.log(ratio[area < 0.5]).mean()) < 0.01
    if smallest < 1:
        part = area < 0.9
        for start, end in ((left[part], right[part]), (top[part], bottom[part])):
            assert abs((start / (1 - end + start)).mean() - 0.5) < 0.02


def test_a_part_of_a_slope_is_the_slope_of_its_middle_points() -> None:
    slope = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (100, 1))[..., None]
    found = altered(slope, Alteration((10.5, 20.0, 60.5, 70.0)), (50, 25))
    # A pixel of the result covers two of the slope, whose value at x is 2 (x - 1/2).
    expected = 2 * (10.5 + 2 * (np.arange(25) + 0.5) - 0.5)
    np.testing.assert_allclose(found[25, 1:-1, 0], expected[1:-1], atol=1)


def test_an_image_of_the_right_size_that_is_left_alone_keeps_its_bytes() -> None:
    np.testing.assert_array_equal(altered(PIXELS, Alteration((0, 0, 24, 24)), (24, 24)), PIXELS)
    middle = altered(PIXELS, Alteration((2, 4, 22, 20)), (16, 20))
    np.testing.assert_array_equal(middle, PIXELS[4:20, 2:22])


def operated(number: int, strength: float, pixels: np.ndarray = PIXELS) -> np.ndarray:
    height, width = pixels.shape[:2]
    how = Alteration((0, 0, width, height), ((number, strength),))
    return altered(pixels, how, (height, width)).astype(int)


def mapped(matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The smooth image, moved about pixels' middles by SciPy."""
    centre = np.array([0.5, 0.5])
    shift = matrix @ centre + offset - centre
    return ndimage.affine_transform(SMOOTH[..., 0].astype(float), matrix, shift, order=1, cval=GREY)


@pytest.mark.parametrize("strength", [-0.8, 0.5])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_shears_shifts_and_turns_are_scipys(number: int, strength: float) -> None:
    matrix, offset = np.eye(2), np.zeros(2)
    if number == 1:
        matrix[1, 0] = 0.3 * strength
    elif number == 2:
        matrix[0, 1] = 0.3 * strength
    elif number in (3, 4):
        offset[4 - number] = 150 / 331 * strength * 48
    else:
        turn = np.deg2rad(30 * strength)
        matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        offset = 24 - matrix @ np.array([24.0, 24.0])
    found, expected = operated(number, strength, SMOOTH)[..., 0], mapped(matrix, offset)
    inside = ndimage.binary_erosion(expected != GREY, iterations=2)
    assert inside.sum() > 500
    np.testing.assert_allclose(found[inside], expected[inside], atol=2)
    assert (found == GREY).sum() > 50


@pytest.mark.parametrize("strength", [-0.5, 1.0])
def test_colours_are_the_blends_and_tables_of_their_definition(strength: float) -> None:
    pixels, factor = PIXELS.astype(float), 1 + 0.9 * strength
    grey = np.asarray(Image.fromarray(PIXELS).convert("L")).astype(float)
    mean = int(grey.mean() + 0.5)
    near = {"atol": 1}
    np.testing.assert_allclose(operated(6, strength), np.clip(factor * pixels, 0, 255), **near)
    contrast = np.clip(mean + factor * (pixels - mean), 0, 255)
    np.testing.assert_allclose(operated(7, strength), contrast, **near)
    colour = np.clip(grey[..., None] + factor * (pixels - grey[..., None]), 0, 255)
    np.testing.assert_allclose(operated(8, strength), colour, **near)
    bits = {0.5: 6, 1.0: 4}[abs(strength)]
    np.testing.assert_array_equal(operated(10, strength), PIXELS >> (8 - bits) << (8 - bits))
    threshold = {0.5: 128, 1.0: 0}[abs(strength)]
    solarized = np.where(pixels < threshold, pixels, 255 - pixels)
    np.testing.assert_array_equal(operated(11, strength), solarized)


def test_the_range_and_the_shares_of_values_are_spread() -> None:
    dark = PIXELS // 4 + 50
    spread = operated(12, 1, dark)
    assert spread.min() == 0
    assert spread.max() >= 254
    counts = np.bincount(operated(13, 1, dark)[..., 0].ravel() // 64, minlength=4)
    assert counts.min() > 0.2 * counts.sum()
    assert len(OPERATIONS) == 14
    np.testing.assert_array_equal(operated(0, 1), PIXELS)


def test_all_operations_are_as_likely_and_as_strong_as_asked() -> None:
    drawn = random_operations(RNG.random((7000, 2, 2)), 9)
    numbers, strengths = np.array(drawn).reshape(-1, 2).T
    assert abs(np.bincount(numbers.astype(int), minlength=14) - 1000).max() < 5 * np.sqrt(1000)
    assert set(strengths.round(9)) == {0.3, -0.3}
    assert abs(strengths.mean()) < 0.02


def test_factors_are_even_and_the_hue_turns_around_the_circle() -> None:
    colours = np.array(random_colours(RNG.random((20_000, 4)), 0.4, 0.1))
    for column, (low, high) in zip(colours.T, [(0.6, 1.4)] * 3 + [(-0.1, 0.1)], strict=True):
        assert low <= column.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < column.max() <= high
        assert abs(column.mean() - (low + high) / 2) < 0.02 * (high - low)
    whole = {"shape": (24, 24)}
    turned = altered(PIXELS, Alteration((0, 0, 24, 24), (), (1, 1, 1, 0.25)), **whole)
    for before, after in zip(PIXELS.reshape(-1, 3), turned.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255))
        if saturation * value > 0.3:
            expected = np.array(colorsys.hsv_to_rgb(hue + 0.25, saturation, value)) * 255
            np.testing.assert_allclose(after, expected, atol=12)


@pytest.mark.parametrize("number", range(14))
def test_grey_images_stay_grey(number: int) -> None:
    grey = PIXELS[..., :1]
    how = Alteration((0, 0, 24, 24), ((number, 0.7),), (1.2, 0.9, 1.1, 0.3))
    assert altered(grey, how, (24, 24)).shape == grey.shape
