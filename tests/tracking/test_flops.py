import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.tracking.flops import Work, count_work

X = jnp.ones((8, 16))
W = jnp.ones((16, 16))
FORWARD = 2 * 8 * 16 * 16


def work(function, *arguments) -> Work:
    return count_work(jax.make_jaxpr(function)(*arguments))


def test_a_matrix_product_is_two_operations_for_each_weight_and_row() -> None:
    assert work(jnp.matmul, X, W) == Work(FORWARD, 0, FORWARD, 4 * (8 * 16 + 16 * 16 + 8 * 16))


def test_products_of_bfloat16_are_told_from_those_of_float32() -> None:
    narrow = X.astype(jnp.bfloat16)
    found = work(lambda x: (X @ W, x @ x.T), narrow)
    assert found.flops - found.float32 == 2 * 8 * 8 * 16


def test_a_gradient_costs_twice_the_forward_pass() -> None:
    both = work(jax.grad(lambda x, w: jnp.sum(jnp.sin(x @ w)), argnums=(0, 1)), X, W)
    assert both.flops == 3 * FORWARD


def test_a_convolution_counts_its_window_and_its_gradients_as_much_each() -> None:
    image, kernel = jnp.ones((2, 9, 9, 4)), jnp.ones((3, 3, 4, 8))

    def convolve(image, kernel):
        dimensions = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            image, kernel, (2, 2), "VALID", dimension_numbers=dimensions
        )

    forward = 2 * (2 * 4 * 4 * 8) * (3 * 3 * 4)
    assert work(convolve, image, kernel).flops == forward
    gradient = jax.grad(lambda *args: jnp.sum(jnp.sin(convolve(*args))), argnums=(0, 1))
    # The gradient of the image covers also the pixels that no window begins at: 9 * 9 places
    # of 3 * 3 * 8 weights, a quarter of which meet no inserted zero.
    image_gradient = 2 * (2 * 9 * 9 * 4) * (3 * 3 * 8) // 4
    assert work(gradient, image, kernel).flops == 2 * forward + image_gradient


def test_a_scan_counts_as_often_as_it_runs() -> None:
    assert work(lambda x: lax.scan(lambda c, _: (c @ W, None), x, None, 5), X).flops == 5 * FORWARD


def test_of_branches_the_dearest_counts() -> None:
    found = work(lambda p, x: lax.cond(p, lambda x: x @ W @ W, lambda x: x @ W, x), True, X)
    assert found.flops == 2 * FORWARD


@pytest.mark.parametrize("loop", [False, True])
def test_what_a_checkpoint_computes_again_is_a_repetition(loop) -> None:
    def block(x, w):
        return jnp.sin(jnp.sin(x @ w) @ w.T)

    def loss(block, x, weights):
        if loop:
            x, _ = lax.scan(lambda x, w: (block(x, w), None), x, weights)
        else:
            for w in weights:
                x = block(x, w)
        return jnp.sum(x)

    def gradient(block):
        return work(jax.grad(lambda x, w: loss(block, x, w), argnums=(0, 1)), X, weights)

    weights = jnp.stack([W, 2 * W, 3 * W])
    plain, again = gradient(block), gradient(jax.checkpoint(block))
    assert (plain.flops, plain.repeated) == (3 * 3 * 2 * FORWARD, 0)
    assert again.flops == plain.flops + 3 * 2 * FORWARD
    assert again.model_flops == plain.flops


def test_a_second_layer_of_other_weights_is_no_repetition() -> None:
    def two(x, first, second):
        return (
            lax.scan(lambda c, _: (c @ first, None), x, None, 3)[0]
            + lax.scan(lambda c, _: (c @ second, None), x, None, 3)[0]
        )

    assert work(two, X, W, 2 * W).repeated == 0


def test_what_every_device_does_is_counted_on_all() -> None:
    mesh = make_mesh(MeshShape(8))
    local = jax.shard_map(
        lambda x, w: x @ w, mesh=mesh, in_specs=(P("data"), P()), out_specs=P("data")
    )
    assert work(local, X, W).flops == FORWARD


def test_xla_counts_the_same_where_nothing_loops() -> None:
    def gradient(x, w):
        return jax.grad(lambda w: jnp.sum(jnp.sin((x @ w) @ w)))(w)

    compiled = jax.jit(gradient).lower(X, W).compile().cost_analysis()["flops"]
    np.testing.assert_allclose(work(gradient, X, W).flops, compiled, rtol=0.02)
