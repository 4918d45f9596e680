r"""A U-Net tells the class of each pixel (Ronneberger et al., 2015).

    python experiments/segment.py   # handwritten digits on noise

Mean IoU 0.90 of 11 classes on digits that training never saw, after 10 minutes (measured on 2
cores).

Stamps of Tux Paint before photographs, six classes, tested on stamps that training never saw
(`apt install tuxpaint-stamps-default`, `pip install scikit-image`):

    python experiments/segment.py --data.name stamps --data.size 64 --run.steps 2000

Mean IoU 0.52 (letters 0.83, vehicles 0.32) after 26 minutes, 19 of CPU, beside other programs: the
480 stamps are learned by heart.

Your own images: a folder with `images` and `masks`, files of the same names, and `classes.txt`,
the names of the classes in the order of their numbers in the masks, that of the background first:

    python experiments/segment.py --data.name folder --data.path DIR
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import SceneData, image_reader, load_masks
from bigmodel.experiment import Assets, Experiment
from bigmodel.models import PixelUnet
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Optimizer, segment_predictor, segmenter


@dataclass(frozen=True)
class Config(Settings):
    """A network that tells the class of each pixel, and how it is trained."""

    data: SceneData = SceneData()
    model: PixelUnet = PixelUnet()
    optimizer: Optimizer = Optimizer(
        "muon", learning_rate=5e-3, momentum=0.95, weight_decay=0.01, eps=1e-8, warmup_steps=100
    )
    run: Run = Run(steps=5000, eval_every=1000)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    scenes = load_masks(config.data, assets)
    names = scenes.reader.names
    return segmenter(
        config.begin(config.model.build(len(names)), assets),
        scenes.data,
        names,
        config.optimizer,
        steps=config.run.total_steps(scenes.data.steps_per_epoch),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the class of each pixel of an image."""
    reader = image_reader(assets)
    return segment_predictor(config.model.build(len(reader.names)), reader)


TINY = (
    "--model.widths", "8", "8", "--data.size=16", "--data.scenes=64", "--data.objects=1",
    "--data.batch-size=16", "--optimizer.warmup-steps=0", "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
