import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import check_gradients
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from bigmodel.models.layers.convolution import Conv, DepthwiseConv, UpConv, depthwise

RNG = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def written_out(x, kernel, stride, padding):
    """The sum over the kernel's elements, position by position, in float64."""
    x, kernel, size = np.asarray(x), np.asarray(kernel), kernel.shape[0]
    if padding == "SAME":
        needed = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in x.shape[1:3]]
        x = np.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in needed), (0, 0)))
    if padding == "SYMMETRIC":
        x = np.pad(x, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return np.einsum("nhwcij,ijcf->nhwf", windows[:, ::stride, ::stride], kernel, dtype=np.float64)


@pytest.mark.parametrize("padding", ["SAME", "VALID", "SYMMETRIC"])
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (4, 2)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_the_layer_is_the_sum_over_the_kernel_and_its_bias(size, stride, padding, use_bias):
    layer = Conv(4, size=size, stride=stride, padding=padding, use_bias=use_bias)
    x = normal(2, 9, 8, 3)
    params = {"kernel": normal(size, size, 3, 4)} | ({"bias": normal(4)} if use_bias else {})
    expected = written_out(x, params["kernel"], stride, padding) + np.asarray(
        params.get("bias", 0.0)
    )
    np.testing.assert_allclose(layer.apply({"params": params}, x), expected, rtol=1e-4, atol=1e-4)
    made = layer.init(jax.random.key(0), x)["params"]
    assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, params)


def test_gradients_are_those_of_finite_differences():
    params = {"kernel": normal(3, 3, 2, 2), "bias": normal(2)}
    layer = Conv(2, stride=2)
    check_grads(
        jax.jit(lambda p, x: layer.apply({"params": p}, x)),
        (params, normal(1, 5, 5, 2)),
        order=2,
        rtol=1e-2,
    )


def test_a_batch_over_eight_devices_has_the_gradient_of_one():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    x, params = normal(16, 6, 6, 3), {"kernel": normal(3, 3, 3, 4), "bias": normal(4)}

    @jax.jit
    def gradient(p, x):
        return jax.grad(lambda p: jnp.sum(jnp.sin(Conv(4).apply({"params": p}, x))))(p)

    expected = gradient(params, x)
    got = gradient(
        jax.device_put(params, NamedSharding(mesh, P())),
        jax.device_put(x, NamedSharding(mesh, P("data"))),
    )
    for name in params:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-4, atol=1e-4)


def test_the_first_kernel_keeps_the_scale_of_what_a_rectifier_lets_through():
    kernel = Conv(64).init(jax.random.key(0), normal(1, 3, 3, 32))["params"]["kernel"]
    # A variance of 2 / fan-in (He et al., 2015); 18,432 draws give it to about one percent.
    assert np.isclose(np.var(kernel), 2 / (3 * 3 * 32), rtol=0.05)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_depthwise_layer_is_the_convolution_in_as_many_groups_as_channels(size):
    x, kernel = normal(2, 7, 6, 5), normal(size, size, 5)
    expected = jax.lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=5,
    )
    layer = DepthwiseConv(size)
    got = layer.apply({"params": {"kernel": kernel}}, x)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert layer.init(jax.random.key(0), x)["params"]["kernel"].shape == kernel.shape


def test_gradients_of_the_depthwise_layer_are_those_of_finite_differences():
    def depthwise(kernel, x):
        return DepthwiseConv().apply({"params": {"kernel": kernel}}, x)

    check_gradients(depthwise, normal(3, 3, 2), normal(1, 4, 5, 2))


def test_what_the_depthwise_layer_is_elsewhere_has_its_values_and_gradients(monkeypatch):
    x, kernel = normal(2, 5, 6, 4), normal(3, 3, 4)

    def outputs_and_gradients():
        found, pull_back = jax.vjp(depthwise, x, kernel)
        return found, *pull_back(jnp.sin(found))

    def elsewhere(*arrays, default, **_):
        return default(*arrays)

    expected = outputs_and_gradients()
    monkeypatch.setattr(jax.lax, "platform_dependent", elsewhere)
    for got, here in zip(outputs_and_gradients(), expected, strict=True):
        np.testing.assert_allclose(got, here, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("platform", "convolutions"), [("cpu", 0), ("cuda", 3), ("tpu", 3)])
def test_the_depthwise_layer_is_xla_s_own_convolution_but_on_cpus(platform, convolutions):
    step = jax.jit(jax.value_and_grad(lambda x, kernel: jnp.sum(depthwise(x, kernel)), (0, 1)))
    lowered = jax.export.export(step, platforms=[platform])(normal(1, 5, 5, 4), normal(3, 3, 4))
    assert lowered.mlir_module().count("stablehlo.convolution(") == convolutions


def test_up_conv_is_the_transposed_convolution() -> None:
    x = jax.random.normal(jax.random.key(0), (3, 5, 6, 7))
    module = UpConv(4, use_bias=True, dtype=jnp.dtype("float32"))
    params = module.init(jax.random.key(1), x)["params"]
    params = {**params, "bias": jnp.arange(4, dtype=jnp.float32)}
    # Correlation of the stretched input with the flipped kernel, as lax defines it.
    expected = jax.lax.conv_transpose(x, params["kernel"][::-1, ::-1], (2, 2), "SAME")
    expected = expected + params["bias"].reshape(1, 1, 1, 4)
    np.testing.assert_allclose(module.apply({"params": params}, x), expected, atol=1e-5)


def test_gradients_of_the_up_convolution_are_those_of_finite_differences() -> None:
    x = jax.random.normal(jax.random.key(0), (1, 2, 3, 2))
    module = UpConv(2, use_bias=True, dtype=jnp.dtype("float32"))
    variables = module.init(jax.random.key(1), x)
    check_gradients(module.apply, variables, x, atol=1e-2)


def test_a_stride_over_any_number_of_images_is_a_slice() -> None:
    """Of a gather, which plain indices would be, other runtimes can make nothing."""
    (rows,) = jax.export.symbolic_shape("rows")
    conv = Conv(4, size=1, stride=2)
    variables = conv.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3), jnp.float32))
    images = jax.ShapeDtypeStruct((rows, 8, 8, 3), jnp.float32)
    traced = str(jax.make_jaxpr(conv.apply)(variables, images))
    assert " slice[" in traced
    assert "gather" not in traced
