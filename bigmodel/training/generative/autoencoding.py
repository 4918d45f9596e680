"""Autoencoders: plain, denoising (Vincent et al., 2008), variational (Kingma and Welling, 2014)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bigmodel.experiment import (
    Batch,
    Data,
    Experiment,
    InputError,
    Key,
    Mean,
    Measured,
    Model,
    PyTree,
    Results,
    Rows,
    Shown,
    Variables,
    scalars,
)
from bigmodel.figures.grid import tile
from bigmodel.figures.scatter import draw_scatter
from bigmodel.models.images.vqvae import Quantized
from bigmodel.predictor import Predictor, Reader
from bigmodel.training.generative.latents import with_latents
from bigmodel.training.generative.samples import as_bytes
from bigmodel.training.metrics import Metric, weighted
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.supervision import supervised

COLUMNS = 10
Kind = Literal["plain", "denoising", "variational"]


def autoencoding(
    model: Model,
    optimizer: Optimizer,
    data: Data,
    *,
    kind: Kind,
    latents: int,
    steps: int,
    names: Sequence[str],
    metrics: Mapping[str, Metric] = MappingProxyType({}),
) -> Experiment:
    """An experiment that compresses images to a few numbers and restores them.

    ``loss`` is the square of the error summed over the pixels of an image; for a variational
    autoencoder ``negative_elbo``, in nats per image. In evaluation noise and latents are
    fixed: one sample for each image, the same at every evaluation and in every run.

    Args:
        model: images to :class:`Coded`.
        optimizer: as for :func:`~bigmodel.training.supervision.supervised`.
        data: batches with ``image`` in [0, 1], ``label`` and ``weight``.
        kind: of the model.
        latents: of the model; where there are two, evaluation draws them.
        steps: length of the run.
        names: the classes.
        metrics: more functions ``(Coded, batch) -> Mean`` by name.
    """
    if kind == "variational":
        loss, named = negative_elbo, {"reconstruction": reconstruction, "divergence": divergence}
        data = with_latents(data, (latents,))
        named = {"negative_elbo": negative_elbo, **named}
    else:
        loss, named = sum_of_squares, {}
    if kind == "denoising":
        data = with_latents(data, data.example["image"].shape[1:], name="noise")

    def embedding(coded: Coded, batch: Batch) -> PyTree:
        return {"code": coded.code, "label": batch["label"]}

    def summarize(measured: Measured) -> Results:
        rows = measured.get("embedding")
        if not isinstance(rows, Rows):
            return scalars(measured)
        code, label = rows.values["code"], rows.values["label"]
        axes = {"x": "latent 0", "y": "latent 1"}
        drawn = partial(draw_scatter, code, **axes, classes=label, names=names)
        return {**scalars(measured), "embedding": drawn}

    return supervised(
        model,
        loss,
        {**named, "squared_error": pixel_error, **metrics},
        optimizer,
        data,
        steps=steps,
        show=reconstructions(model, data),
        gathered={"embedding": embedding} if latents == 2 else {},
        summarize=summarize,
    )


def reconstructions(model: Model, data: Data) -> Callable[[Variables], Shown]:
    """What to show: images of the last split, each above its reconstruction.

    Between the two is what the encoder saw, where that has noise.
    """
    split = list(data.splits.values())[-1] if data.splits else [data.train(0, 0)]
    batch = data.receive(split[0])
    real = int(batch["weight"].sum())
    columns = min(COLUMNS, real)

    @jax.jit
    def restore(variables: Variables) -> list[Array]:
        coded, _ = model.apply(variables, batch, train=False, key=None)
        noisy = [coded.given] if "noise" in batch else []
        return [jnp.asarray(batch["image"]), *noisy, jax.nn.sigmoid(coded.logits)]

    def show(variables: Variables) -> Shown:
        kinds = [np.asarray(images) for images in restore(variables)]
        starts = range(0, real - columns + 1, columns)[:3]
        rows = [images[start : start + columns] for start in starts for images in kinds]
        enlarge = -(-32 // kinds[0].shape[1])
        return {"reconstructions": tile(np.concatenate(rows), columns=columns, enlarge=enlarge)}

    return show


def reconstruction_predictor(
    encoder: Model,
    decoder: Model,
    reader: Reader,
    *,
    latents: int | None = None,
    code: str = "latent",
) -> Predictor:
    """A predictor of the latents of an image and what the decoder makes of them.

    Of a variational autoencoder the latents are their means.

    Args:
        encoder: as for :func:`coding`.
        decoder: as for :func:`coding`.
        reader: encodes images.
        latents: how many of what the encoder gives for an image the decoder reads; None for all.
        code: by what name it reads them.
    """

    def apply(variables: Variables, batch: Batch) -> PyTree:
        found = encoder.apply(variables, {"image": batch["image"]}, train=False, key=None)[0]
        found = found[:, :latents]
        logits, _ = decoder.apply(variables, {code: found}, train=False, key=None)
        restored = jax.nn.sigmoid(logits)
        error = jnp.mean(jnp.square(restored - batch["image"]), axis=(1, 2, 3))
        return {f"{code}s": found, "reconstruction": restored, "squared_error": error}

    def decode(outputs: PyTree) -> list[Any]:
        columns = (outputs[f"{code}s"], outputs["squared_error"], outputs["reconstruction"])
        return [
            {
                f"{code}s": np.asarray(found).tolist(),
                "squared_error": float(error),
                "reconstruction": as_bytes(np.asarray(image)),
            }
            for found, error, image in zip(*columns, strict=True)
        ]

    answer = f"{code}s, the reconstruction, and its mean squared error per pixel"
    return Predictor(reader.encode, apply, decode, reader.kind, reader.inputs, answer)


class Coded(NamedTuple):
    """The outputs of an autoencoder.

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

    return encoder._replace(apply=apply)


def _normal(batch: Batch, name: str, shape: tuple[int, ...], key: Key | None) -> Array:
    """Standard normal numbers: of the key in training, the batch's own in evaluation."""
    if key is None:
        return jnp.asarray(batch[name])
    return jax.random.normal(key, shape, jnp.float32)


def per_image(pixels: Float[Array, "batch ..."]) -> Float[Array, " batch"]:
    """The sums over the pixels, as a product.

    On CPUs XLA computes a sigmoid one element at a time where it is summed up, and many at a time
    where a product reads it.
    """
    rows = pixels.reshape(pixels.shape[0], -1)
    return jnp.matmul(rows, jnp.ones(rows.shape[1], rows.dtype), precision="highest")


def sum_of_squares(coded: Coded | Quantized, batch: Batch) -> Mean:
    """The squares of the errors of an image's pixels, summed."""
    error = jax.nn.sigmoid(coded.logits) - batch["image"]
    return weighted(per_image(jnp.square(error)), batch)


def pixel_error(coded: Coded | Quantized, batch: Batch) -> Mean:
    """The mean square of the error of a pixel."""
    pixels = coded.logits[0].size
    total, count = sum_of_squares(coded, batch)
    return Mean(total / pixels, count)


def reconstruction(coded: Coded, batch: Batch) -> Mean:
    """``-log p(image | latent)``, in nats summed over the pixels, each a Bernoulli variable.

    A pixel x between 0 and 1 costs ``-x log p - (1 - x) log(1 - p)``.
    """
    image, logits = batch["image"], coded.logits
    return weighted(per_image(jax.nn.softplus(logits) - image * logits), batch)


def divergence(coded: Coded, batch: Batch) -> Mean:
    """``KL(q(latent | image) || N(0, 1))`` in nats, summed over the latents."""
    assert coded.log_variance is not None
    log_variance = coded.log_variance
    terms = jnp.exp(log_variance) + jnp.square(coded.code) - 1 - log_variance
    return weighted(per_image(terms / 2), batch)


def negative_elbo(coded: Coded, batch: Batch) -> Mean:
    """``reconstruction + divergence``: at least ``-log p(image)``, in nats per image."""
    error, information = reconstruction(coded, batch), divergence(coded, batch)
    return Mean(error.total + information.total, error.count)


def pca_squared_error(data: Data, components: int) -> Metric:
    """The mean square of a pixel's error when an image is restored from its components.

    They are scikit-learn's, of the images of the first epoch of seed 0, and as many as there
    can be where more are asked for.
    """
    # Imported here, for it takes a second that other experiments need not spend.
    from sklearn.decomposition import PCA

    images = [data.receive(data.train(0, step))["image"] for step in range(data.steps_per_epoch)]
    rows = np.concatenate(images)
    rows = rows.reshape(len(rows), -1)
    pca = PCA(min(components, *rows.shape), svd_solver="covariance_eigh").fit(rows)
    mean, axes = np.asarray(pca.mean_, np.float32), np.asarray(pca.components_, np.float32)

    def metric(outputs: Any, batch: Batch) -> Mean:
        del outputs
        x = batch["image"].reshape(batch["image"].shape[0], -1) - mean[None]
        return weighted(jnp.mean(jnp.square(x @ axes.T @ axes - x), axis=1), batch)

    return metric
