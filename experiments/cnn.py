r"""Convolutional network for classes of images (LeCun et al., 1998).

    python experiments/cnn.py   # digits: 25 s on 2 cores, 98.9 % test accuracy over 5 seeds

Fashion-MNIST, 11 min on 2 cores, 93.1 % test accuracy:

    python launch.py run experiments/cnn.py --devices 2 -- --data.name fashion_mnist \
        --data.flip --data.shift 1 --data.validation 0.05 --model.widths 32 64 128 \
        --model.convolutions 1 --model.activation relu --model.pooling max \
        --model.batch-norm --model.dropout 0.2 --optimizer.name muon \
        --optimizer.learning-rate 5e-3 --optimizer.momentum 0.95 --optimizer.eps 1e-8 \
        --run.epochs 14 --run.eval-every-epochs 2

A network like VGG (`--model.name vgg`) reaches 93.2 %, and depthwise separable convolutions
(`--model.name xception`; Chollet, 2017) 93.0 %: `benchmarks/results.md` has the commands.

Your own images, one subfolder a class:

    python experiments/cnn.py --data.name folder --data.path DIR
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import ImageData, image_reader, load_images
from bigmodel.experiment import Assets, Experiment
from bigmodel.inference.teaching import load_teacher
from bigmodel.models import NamedCnn
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Ensemble, Optimizer, Teacher, class_predictor, classifier


@dataclass(frozen=True)
class Config(Settings):
    """An image classifier and how it is trained."""

    data: ImageData = ImageData(shift=1)
    model: NamedCnn = NamedCnn()
    optimizer: Optimizer = Optimizer(
        # The eps is not tiny: or else Adam amplifies rounding, and runs on different numbers of
        # devices part within twenty steps.
        "adamw",
        learning_rate=2e-3,
        weight_decay=0.01,
        eps=1e-6,
    )
    ensemble: Ensemble = Ensemble()
    teacher: Teacher = Teacher()
    run: Run = Run(steps=1500, eval_every=300)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    images = load_images(config.data, assets)
    return classifier(
        config.begin(config.model.build(images.classes), assets),
        images.data,
        images.names,
        config.optimizer,
        ensemble=config.ensemble,
        teaching=load_teacher(config.teacher, images.data, assets),
        steps=config.run.total_steps(images.data.steps_per_epoch),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the class of an image."""
    reader = image_reader(assets)
    model = config.model.build(len(reader.names))
    return class_predictor(model, reader, reader.names, ensemble=config.ensemble)


TINY = (
    "--model.widths", "8", "16", "--model.dense=16", "--data.batch-size=32",
    "--optimizer.learning-rate=5e-3", "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
