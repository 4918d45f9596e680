import numpy as np
import pytest

from bigmodel.figures.grid import tile


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_where_it_is_read(channels: int) -> None:
    images = np.random.default_rng(0).random((5, 4, 6, channels), np.float32)
    picture = tile(images, columns=2)
    assert picture.dtype == np.uint8
    assert picture.shape == ((3 * 6, 2 * 8) if channels == 1 else (3 * 6, 2 * 8, 3))
    for i, image in enumerate(images):
        top, left = i // 2 * 6 + 1, i % 2 * 8 + 1
        part = picture[top : top + 4, left : left + 6].reshape(image.shape)
        np.testing.assert_allclose(part / 255, image, atol=0.5 / 255 + 1e-6)
    assert not picture[13:17, 9:15].any()


def test_pixels_are_enlarged_to_squares() -> None:
    picture = tile(np.array([0.0, 1.0], np.float32).reshape(1, 1, 2, 1), columns=1, enlarge=3)
    expected = np.pad(np.array([[0] * 3 + [255] * 3] * 3), 1, constant_values=64)
    np.testing.assert_array_equal(picture, expected)
