"""Denoising diffusion (Ho et al., 2020), with samples by DDIM (Song et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bigmodel.experiment import Batch, Data, InputError, Key, Mean, Model, Variables
from bigmodel.training.generative.latents import with_latents
from bigmodel.training.metrics import weighted

Prediction = Literal["noise", "velocity"]
Images = Float[Array, "batch height width channel"]

# Keeps a trace of the noise at the start and of the image at the end (Nichol and Dhariwal, 2021).
MARGIN = 0.008


class Denoised(NamedTuple):
    """What the network predicted, and what it should have."""

    predicted: Images
    target: Images


@dataclass(frozen=True)
class Sampling:
    """How images are drawn."""

    steps: int = 20
    """steps from noise to image"""
    guidance: float = 0.0
    """how far to go beyond what the class adds (Ho and Salimans, 2022); 0 is the class alone"""
    count: int = 2000
    """images that are drawn of each split to measure the Fréchet distance"""

    def __post_init__(self) -> None:
        """Raises InputError for what draws no image."""
        for name in ("steps", "count"):
            if getattr(self, name) < 1:
                value = getattr(self, name)
                raise InputError(f"--sampling.{name} is {value}; it must be at least 1")


def mixture(time: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """The shares of image and of noise at a time from 0 to 1: their squares add up to 1.

    The cosine schedule of Nichol and Dhariwal (2021), in continuous time.
    """
    angle = (time + MARGIN) * (pi / 2 / (1 + 2 * MARGIN))
    return jnp.cos(angle), jnp.sin(angle)


def _spread(values: Float[Array, " batch"]) -> Float[Array, "batch 1 1 1"]:
    return values[:, None, None, None]


def noising(network: Model, *, prediction: Prediction, label_dropout: float) -> Model:
    """Images to :class:`Denoised`: the network's prediction for them with noise.

    With shares a and s of image x and noise n the network sees ``a x + s n``, and predicts n,
    or the velocity ``a n - s x`` (Salimans and Ho, 2022). In training time and noise are
    random, the times of a batch evenly apart; in evaluation they are the batch's own.

    Args:
        network: reads ``image``, ``time`` and, if it likes, ``label``.
        prediction: what it predicts.
        label_dropout: share of the training images whose label it is not told (-1).
    """

    def init(key: Key, batch: Batch) -> Variables:
        return network.init(key, {**batch, "time": jnp.zeros(len(batch["image"]), jnp.float32)})

    def apply(
        variables: Variables, batch: Batch, *, train: bool, key: Key | None = None
    ) -> tuple[Denoised, Variables]:
        image, known = 2 * batch["image"] - 1, batch.get("label")
        count = image.shape[0]
        if key is None:
            time, noise, inner = jax.scipy.stats.norm.cdf(batch["time"]), batch["noise"], None
        else:
            start, drawn, dropped, inner = jax.random.split(key, 4)
            first = jax.random.uniform(start, (1,), jnp.float32)
            time = (first + jnp.arange(count, dtype=jnp.float32) / count) % 1
            noise = jax.random.normal(drawn, image.shape, jnp.float32)
            if known is not None and label_dropout:
                hidden = jax.random.bernoulli(dropped, label_dropout, (count,))
                known = jnp.where(hidden, -1, known)
        a, s = (_spread(share) for share in mixture(time))
        given = {**batch, "image": a * image + s * noise, "time": time, "label": known}
        predicted, updates = network.apply(variables, given, train=train, key=inner)
        target = noise if prediction == "noise" else a * noise - s * image
        return Denoised(predicted, target), updates

    return network._replace(init=init, apply=apply)


def with_noise(data: Data) -> Data:
    """The data with a fixed noise and a fixed time for each image to evaluate on."""
    shape = data.example["image"].shape[1:]
    return with_latents(with_latents(data, shape, name="noise"), (), name="time")


def denoising_error(outputs: Denoised, batch: Batch) -> Mean:
    """The mean square of the prediction's error, per value of an image."""
    error = jnp.mean(jnp.square(outputs.predicted - outputs.target), axis=(1, 2, 3))
    return weighted(error, batch)


def sampler(
    network: Model, sampling: Sampling, *, prediction: Prediction
) -> Callable[[Variables, Images, Int[Array, " batch"]], Images]:
    """Noise and labels to images with values in [0, 1], by the deterministic steps of DDIM.

    At each time the image that the network sees in ``y = a x + s n`` is clipped to the range
    of pixels, and mixed with the noise that is then left in ``y`` to that of the next time.
    """
    times = jnp.linspace(1.0, 0.0, sampling.steps + 1, dtype=jnp.float32)

    def predict(variables: Variables, y: Images, time: Array, label: Array) -> Images:
        batch = {"image": y, "time": jnp.broadcast_to(time, y.shape[:1]), "label": label}
        known, _ = network.apply(variables, batch, train=False, key=None)
        if not sampling.guidance:
            return known
        batch["label"] = jnp.full_like(label, -1)
        free, _ = network.apply(variables, batch, train=False, key=None)
        return known + sampling.guidance * (known - free)

    def sample(variables: Variables, noise: Images, label: Int[Array, " batch"]) -> Images:
        def step(y: Images, pair: tuple[Array, Array]) -> tuple[Images, None]:
            (a, s), (a_next, s_next) = mixture(pair[0]), mixture(pair[1])
            found = predict(variables, y, pair[0], label)
            x = (y - s * found) / a if prediction == "noise" else a * y - s * found
            x = jnp.clip(x, -1, 1)
            return a_next * x + s_next * (y - a * x) / s, None

        y, _ = jax.lax.scan(step, noise, (times[:-1], times[1:]))
        return jnp.clip((y + 1) / 2, 0, 1)

    return sample
