"""Denoising diffusion of small images (Ho et al., 2020), drawn by DDIM (Song et al., 2021).

    python experiments/diffusion.py   # digits: Fréchet distance 0.9 to 1.0 (2 seeds)

The network, a small U-Net, is told the class of an image, and the distance is measured as for
`gan.py`, with images of the classes of the test set: real digits of the training set have 0.7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.data import ImageData, ImageReader, image_reader, load_images
from bigmodel.experiment import (
    Array,
    Assets,
    Batch,
    Experiment,
    InputError,
    Model,
    Shown,
    Variables,
)
from bigmodel.figures.grid import tile
from bigmodel.models import Unet
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import (
    Optimizer,
    Prediction,
    Quality,
    SampleReader,
    Sampling,
    denoising_error,
    image_predictor,
    latents,
    noising,
    sampler,
    supervised,
    with_distance,
    with_noise,
    with_sample_inputs,
)


@dataclass(frozen=True)
class Config(Settings):
    """A network that removes noise, and how it is trained."""

    data: ImageData = ImageData()
    model: Unet = Unet(conditional=True)
    prediction: Prediction = "velocity"
    """what the network predicts: the noise, or the velocity from image to noise"""
    label_dropout: float = 0.1
    """share of the images whose class is not told in training, for --sampling.guidance"""
    optimizer: Optimizer = Optimizer("muon", learning_rate=5e-3, momentum=0.95, eps=1e-6, ema=0.99)
    sampling: Sampling = Sampling()
    quality: Quality = Quality()
    run: Run = Run(steps=500, eval_every=250, best="validation/frechet_distance")

    def __post_init__(self) -> None:
        """Raises InputError where there is nothing to guide by."""
        super().__post_init__()
        if not 0 <= self.label_dropout < 1:
            raise InputError(f"--label-dropout {self.label_dropout}: at least 0 and below 1")
        if self.sampling.guidance and not (self.model.conditional and self.label_dropout):
            raise InputError(
                "--sampling.guidance needs --model.conditional and a --label-dropout above 0"
            )


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    config.data.check_unmixed("a generator is trained on real images")
    images = load_images(config.data, assets)
    network = config.model.build(images.classes)
    denoiser = noising(network, prediction=config.prediction, label_dropout=config.label_dropout)
    experiment = supervised(
        config.begin(denoiser, assets),
        denoising_error,
        {},
        config.optimizer,
        with_noise(images.data),
        steps=config.run.total_steps(images.data.steps_per_epoch),
    )
    generate = generator(config, network)
    features = config.quality.features(images.data, images.classes)
    experiment = with_distance(experiment, generate, features, count=config.sampling.count)
    experiment = with_sample_inputs(experiment, sample_reader(config, images.reader))
    return experiment._replace(show=shown(generate, images.shape, images.classes))


def generator(config: Config, network: Model) -> Callable[[Variables, Batch], Array]:
    """Images of the noise and the labels of a batch."""
    sample = sampler(network, config.sampling, prediction=config.prediction)
    return lambda variables, batch: sample(
        variables, jnp.asarray(batch["noise"]), jnp.asarray(batch["label"])
    )


def sample_reader(config: Config, images: ImageReader) -> SampleReader:
    """What encodes the class and the seed of an image to draw."""
    names = images.names if config.model.conditional else ()
    return SampleReader(names, "noise", images.shape)


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: an image of a class."""
    images = image_reader(assets)
    network = config.model.build(len(images.names))
    return image_predictor(sample_reader(config, images), generator(config, network))


def shown(
    generate: Callable[[Variables, Batch], Array], shape: tuple[int, int, int], classes: int
) -> Callable[[Variables], Shown]:
    """What to show: ten rows of images, of the same noise each time, a class a column."""
    batch = {
        "noise": latents(10 * classes, shape, stream="show"),
        "label": np.tile(np.arange(classes, dtype=np.int32), 10),
    }
    draw = jax.jit(lambda variables: generate(variables, batch))

    def show(variables: Variables) -> Shown:
        enlarge = -(-32 // shape[1])
        return {"samples": tile(np.asarray(draw(variables)), columns=classes, enlarge=enlarge)}

    return show


TINY = (
    "--model.widths", "8", "--data.batch-size=32", "--sampling.steps=3",
    "--quality.model.widths", "4", "--quality.model.dense=8", "--quality.steps=20",
    "--optimizer.name=adamw", "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
