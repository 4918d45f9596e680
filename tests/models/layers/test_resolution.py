import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.experiment import InputError
from bigmodel.models.layers.resolution import enlarged


def test_each_pixel_becomes_a_square_in_the_middle_of_zeros():
    x = np.arange(1, 7, dtype=np.float32).reshape(1, 2, 3, 1)
    found = np.asarray(enlarged(jnp.asarray(x), 7))[0, :, :, 0]
    expected = np.zeros((7, 7), np.float32)
    expected[1:5, :6] = np.kron(x[0, :, :, 0], np.ones((2, 2)))
    np.testing.assert_array_equal(found, expected)


def test_larger_images_are_refused():
    with pytest.raises(InputError, match=r"--model.resolution 4 is smaller than the images, 3x5"):
        enlarged(jnp.zeros((1, 3, 5, 1)), 4)
