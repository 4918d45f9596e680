"""Convolutions over time are those that the formula says, though frames are stacked for them."""

import jax
import jax.numpy as jnp
import numpy as np
from initial import initial
from networks import BATCH

from bigmodel.models import VideoNet
from bigmodel.models.taps import tapped


def test_kernels_over_frames_rows_and_columns_are_convolutions_of_three_dimensions() -> None:
    model = VideoNet(widths=(4, 6), dropout=0.0).build(3)
    variables = initial(model.init, jax.random.key(0), BATCH)

    def apply(variables, batch):
        return model.apply(variables, batch, train=False, key=None)[0]

    found = tapped(apply, variables, BATCH).layers["space_time_0"]
    clips = BATCH["video"]
    kernel = variables["params"]["space_time_0"]["kernel"]
    rows, columns, stacked, width = kernel.shape
    # The channels of three frames side by side are frames and channels.
    kernel = jnp.moveaxis(kernel.reshape(rows, columns, 3, stacked // 3, width), 2, 0)
    expected = jax.lax.conv_general_dilated(
        clips, kernel, (1, 1, 1), "SAME", dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def test_no_gradient_of_the_largest_is_lost_where_it_is_compiled() -> None:
    model = VideoNet(widths=(4, 6), dropout=0.0).build(3)
    variables = initial(model.init, jax.random.key(0), BATCH)

    def loss(variables):
        return jnp.sum(jnp.sin(model.apply(variables, BATCH, train=False, key=None)[0]))

    one_by_one, compiled = jax.grad(loss)(variables), jax.jit(jax.grad(loss))(variables)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5), one_by_one, compiled
    )
