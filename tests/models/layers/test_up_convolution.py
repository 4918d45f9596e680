import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from bigmodel.models.layers.convolution import UpConv


def test_up_conv_is_the_transposed_convolution() -> None:
    x = jax.random.normal(jax.random.key(0), (3, 5, 6, 7))
    module = UpConv(4, use_bias=True, dtype=jnp.dtype("float32"))
    params = module.init(jax.random.key(1), x)["params"]
    params = {**params, "bias": jnp.arange(4, dtype=jnp.float32)}
    # Correlation of the stretched input with the flipped kernel, as lax defines it.
    expected = jax.lax.conv_transpose(x, params["kernel"][::-1, ::-1], (2, 2), "SAME")
    expected = expected + params["bias"].reshape(1, 1, 1, 4)
    np.testing.assert_allclose(module.apply({"params": params}, x), expected, atol=1e-5)


def test_gradients_agree_with_finite_differences() -> None:
    x = jax.random.normal(jax.random.key(0), (1, 2, 3, 2))
    module = UpConv(2, use_bias=True, dtype=jnp.dtype("float32"))
    variables = module.init(jax.random.key(1), x)
    check_grads(module.apply, (variables, x), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)
