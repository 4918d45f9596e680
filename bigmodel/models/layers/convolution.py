"""Convolutions of images with a square kernel: over all channels, depthwise, and transposed."""

from __future__ import annotations

from functools import partial, reduce
from typing import Literal, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from bigmodel.experiment import PyTree

Images = Float[Array, "batch height width channel"]


Padding: TypeAlias = Literal["SAME", "VALID", "SYMMETRIC"]


def window_padding(padding: Padding, size: int) -> str | list[tuple[int, int]]:
    """A padding for windows of ``size`` x ``size`` as XLA takes it."""
    return [(size // 2, size // 2)] * 2 if padding == "SYMMETRIC" else padding


def unrolls(variables: PyTree) -> bool:
    """Whether a loop over steps or networks with these variables is better unrolled.

    So it is on CPUs with kernels over height and width, ``[..., size, size, in, out]``: XLA takes
    ten times as long there for their gradients inside of a loop, and for the convolutions of
    several networks at once.
    """
    shapes = [np.shape(leaf)[-4:] for leaf in jax.tree.leaves(variables)]
    kernels = any(len(shape) == 4 and shape[0] == shape[1] for shape in shapes)
    return kernels and jax.default_backend() == "cpu"


class Conv(nn.Module):
    """A two-dimensional convolution, initialized as by He et al. (2015).

    It is XLA's own on every platform. On CPUs a matrix product of patches (im2col) was nowhere
    much faster, forwards and backwards, and for 3x3 kernels on many channels up to twice as
    slow. A 1x1 kernel needs no patches, and its matrix product takes a third of the time.
    ``dtype`` is that of the computation; parameters stay float32. With ``SYMMETRIC`` padding there
    are ``size // 2`` zeros on each side, also where the stride needs fewer: PyTorch's convention.
    """

    features: int
    size: int = 3
    stride: int = 1
    padding: Padding = "SAME"
    use_bias: bool = True
    dtype: jnp.dtype = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, x: Images) -> Float[Array, "batch down across feature"]:
        """Images to images."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.size == 1:
            # Of any number of images x[:, ::2] is a gather, which LiteRT has not.
            for axis in (1, 2) if self.stride > 1 else ():
                x = lax.slice_in_dim(x, 0, None, self.stride, axis)
            flat = x.reshape(-1, x.shape[-1]) @ kernel[0, 0]
            x = flat.reshape(*x.shape[:-1], self.features)
        else:
            x = lax.conv_general_dilated(
                x,
                kernel,
                window_strides=(self.stride, self.stride),
                padding=window_padding(self.padding, self.size),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
            x = x + bias.astype(self.dtype)[None, None, None, :]
        return x


class DepthwiseConv(nn.Module):
    """A convolution of each channel with a kernel of its own (Chollet, 2017), of stride 1."""

    size: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """Images to images of the same size; there is no bias."""
        # Each output reads size * size values: a variance of one over that keeps the scale.
        init = nn.initializers.normal(1 / self.size)
        kernel = self.param("kernel", init, (self.size, self.size, x.shape[-1]), jnp.float32)
        return depthwise(x.astype(self.dtype), kernel.astype(self.dtype))


@jax.custom_vjp
def depthwise(x: Images, kernel: Float[Array, "size size channel"]) -> Images:
    """The convolution in as many groups as channels, with zero padding.

    On CPUs it is the sum of shifted images, each times an element of the kernel, for XLA's own
    takes more than ten times as long there. So does XLA's gradient of that sum, hence the one
    below.
    """
    return lax.platform_dependent(x, kernel, cpu=_weighted_sum, default=_grouped)


def _grouped(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def _shifted(x: Array, size: int) -> list[Array]:
    """The image that each element of a kernel reads, row by row of the kernel."""
    height, width = x.shape[1:3]
    before = (size - 1) // 2
    border = (before, size - 1 - before)
    x = jnp.pad(x, ((0, 0), border, border, (0, 0)))
    return [x[:, i : i + height, j : j + width] for i in range(size) for j in range(size)]


def _weighted_sum(x: Array, kernel: Array) -> Array:
    size, _, channels = kernel.shape
    elements = kernel.reshape(size * size, 1, 1, 1, channels)
    return reduce(jnp.add, map(jnp.multiply, _shifted(x, size), elements))


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    # The barriers keep what makes x, and its gradient, from being computed for each shift again.
    x = lax.platform_dependent(x, cpu=lax.optimization_barrier, default=lambda x: x)
    return depthwise(x, kernel), (x, kernel)


def _backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    return lax.platform_dependent(
        *kept, gradient, cpu=_gradients_of_sum, default=_gradients_of_grouped
    )


def _gradients_of_grouped(x: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
    (to_images,) = jax.linear_transpose(lambda x: _grouped(x, kernel), x)(gradient)
    (to_kernel,) = jax.linear_transpose(lambda kernel: _grouped(x, kernel), kernel)(gradient)
    return to_images, to_kernel


def _gradients_of_sum(x: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
    gradient = lax.optimization_barrier(gradient)
    _, to_images = jax.vjp(partial(_weighted_sum, kernel=kernel), x)
    products = tuple((t * gradient).astype(jnp.float32) for t in _shifted(x, len(kernel)))
    # One pass for all elements, image by image: a quarter of the time of a sum for each.
    per_image = lax.reduce(products, (np.float32(0),) * len(products), _add_each, (1, 2))
    to_kernel = jnp.stack(per_image).sum(axis=1).reshape(kernel.shape).astype(kernel.dtype)
    return to_images(gradient)[0], to_kernel


def _add_each(one: tuple[Array, ...], other: tuple[Array, ...]) -> tuple[Array, ...]:
    return tuple(map(jnp.add, one, other))


depthwise.defvjp(_forward, _backward)


class UpConv(nn.Module):
    """Transposed convolution with a 4x4 kernel that doubles height and width.

    One matrix product computes what each input pixel adds to the 4x4 outputs around it; their
    overlaps are summed along the rows, then along the columns. XLA's own transposed
    convolution is several times slower on a CPU.
    """

    features: int
    use_bias: bool
    dtype: jnp.dtype
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.02)

    @nn.compact
    def __call__(self, x: Images) -> Float[Array, "batch 2*height 2*width features"]:
        """Images of twice the height and width."""
        shape = (4, 4, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        batch, height, width, channels = x.shape
        matrix = jnp.moveaxis(kernel, 2, 0).reshape(channels, -1).astype(self.dtype)
        taps = x.astype(self.dtype).reshape(-1, channels) @ matrix
        y = overlap(overlap(taps.reshape(batch, height, width, 4, 4, -1), 1), 2)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype).reshape(1, 1, 1, -1)
        return y


def overlap(taps: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Sum what the n inputs along ``axis`` add to its 2n outputs.

    Tap i of input r, on axis 3, belongs to output 2r + i - 1. Taps that fall outside are dropped.
    """
    before, even, odd, after = (taps[:, :, :, i] for i in range(4))
    n = even.shape[axis]
    none = jnp.zeros_like(lax.slice_in_dim(even, 0, 1, axis=axis))
    left = jnp.concatenate([none, lax.slice_in_dim(after, 0, n - 1, axis=axis)], axis)
    right = jnp.concatenate([lax.slice_in_dim(before, 1, n, axis=axis), none], axis)
    merged = jnp.stack([even + left, odd + right], axis + 1)
    return merged.reshape(*even.shape[:axis], 2 * n, *even.shape[axis + 1 :])
