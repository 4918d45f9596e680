"""What autoencoders do with images, and what it costs."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bigmodel.experiment import Batch, InputError, Key, Mean, Model, Variables
from bigmodel.training.losses import weighted

Kind = Literal["plain", "denoising", "variational"]


class Coded(NamedTuple):
    """What an autoencoder makes of images.

    ``given`` is what the encoder saw; ``code`` the latents that it gave, of a variational one
    their means; ``log_variance`` is that of the latents, None where they are not random.
    """

    given: Float[Array, "batch height width channel"]
    code: Float[Array, "batch latent"]
    log_variance: Float[Array, "batch latent"] | None
    logits: Float[Array, "batch height width channel"]


def coding(encoder: Model, decoder: Model, *, kind: Kind, latents: int, noise: float) -> Model:
    """Images to :class:`Coded`.

    Args:
        encoder: reads ``image``, gives codes of ``latents`` numbers; a variational one gives
            the means of the latents, then the logarithms of their variances.
        decoder: reads ``latent``, gives the logits of pixels; it shares the encoder's
            variables.
        kind: plain; denoising, which sees the image with noise and restores it without; or
            variational, which draws its latents from a Gaussian.
        latents: how many numbers an image is squeezed into.
        noise: standard deviation of the noise of a denoising one, in the unit of the pixels.

    Raises:
        InputError: if the noise of a denoising autoencoder is not positive.
    """
    if kind == "denoising" and not noise > 0:
        raise InputError(f"--noise {noise} must be above 0 for --kind denoising")

    def apply(
        variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
    ) -> tuple[Coded, Variables]:
        image, log_variance = batch["image"], None
        if kind == "denoising":
            image = image + noise * _normal(batch, "noise", image.shape, key)
        code, _ = encoder.apply(variables, {"image": image}, train=train, key=None)
        latent = code
        if kind == "variational":
            code, log_variance = code[:, :latents], code[:, latents:]
            drawn = _normal(batch, "latent", code.shape, key)
            latent = code + jnp.exp(log_variance / 2) * drawn
        logits, _ = decoder.apply(variables, {"latent": latent}, train=train, key=None)
        return Coded(image, code, log_variance, logits), {}

    return Model(encoder.init, apply, encoder.partition)


def _normal(batch: Batch, name: str, shape: tuple[int, ...], key: Key | None) -> Array:
    """Standard normal numbers: of the key in training, the batch's own in evaluation."""
    return batch[name] if key is None else jax.random.normal(key, shape, jnp.float32)


def _per_image(pixels: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
    return jnp.sum(pixels, axis=tuple(range(1, pixels.ndim)))


def sum_of_squares(coded: Coded, batch: Batch) -> Mean:
    """The squares of the errors of an image's pixels, summed."""
    error = jax.nn.sigmoid(coded.logits) - batch["image"]
    return weighted(_per_image(jnp.square(error)), batch)


def squared_error(coded: Coded, batch: Batch) -> Mean:
    """The mean square of the error of a pixel."""
    pixels = coded.logits[0].size
    total, count = sum_of_squares(coded, batch)
    return Mean(total / pixels, count)


def reconstruction(coded: Coded, batch: Batch) -> Mean:
    """``-log p(image | latent)``, in nats summed over the pixels, each a Bernoulli variable.

    A pixel x between 0 and 1 costs ``-x log p - (1 - x) log(1 - p)``.
    """
    image, logits = batch["image"], coded.logits
    return weighted(_per_image(jax.nn.softplus(logits) - image * logits), batch)


def divergence(coded: Coded, batch: Batch) -> Mean:
    """``KL(q(latent | image) || N(0, 1))`` in nats, summed over the latents."""
    assert coded.log_variance is not None
    log_variance = coded.log_variance
    terms = jnp.exp(log_variance) + jnp.square(coded.code) - 1 - log_variance
    return weighted(_per_image(terms / 2), batch)


def negative_elbo(coded: Coded, batch: Batch) -> Mean:
    """``reconstruction + divergence``: at least ``-log p(image)``, in nats per image."""
    error, information = reconstruction(coded, batch), divergence(coded, batch)
    return Mean(error.total + information.total, error.count)
