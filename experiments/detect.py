r"""A one-stage network without anchors finds objects and their classes (Zhou et al., 2019).

    python experiments/detect.py   # handwritten digits on noise

mAP@0.5 is 0.960 on digits that training never saw, and mAP 0.820, after 2.7 minutes (measured on 2
cores).

Stamps of Tux Paint before photographs, six classes, tested on stamps that training never saw
(`apt install tuxpaint-stamps-default`, `pip install scikit-image`):

    python experiments/detect.py --data.name stamps --data.size 64 --run.steps 1500

mAP@0.5 0.517 and mAP 0.280 after 15 minutes, 9 of CPU (measured on 2 cores that other programs used
too).

Your own images: a folder with images, and `annotations.json` in COCO's format:

    python experiments/detect.py --data.name folder --data.path DIR
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import BoxReader, SceneData, image_reader, load_boxes
from bigmodel.experiment import Assets, Experiment
from bigmodel.models import Detector
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Optimizer, box_predictor, detector


@dataclass(frozen=True)
class Config(Settings):
    """A network that finds objects, and how it is trained."""

    data: SceneData = SceneData()
    model: Detector = Detector()
    optimizer: Optimizer = Optimizer(
        "adamw", learning_rate=3e-3, weight_decay=0.01, eps=1e-6, warmup_steps=100
    )
    run: Run = Run(steps=1500, eval_every=500)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    scenes = load_boxes(config.data, assets)
    names = scenes.reader.images.names
    return detector(
        config.begin(config.model.build(len(names) - 1), assets),
        scenes.data,
        names,
        config.optimizer,
        steps=config.run.total_steps(scenes.data.steps_per_epoch),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the objects in an image."""
    reader = BoxReader(image_reader(assets))
    return box_predictor(config.model.build(len(reader.images.names) - 1), reader)


TINY = (
    "--model.widths", "8", "8", "--data.size=16", "--data.scenes=64", "--data.objects=1",
    "--data.batch-size=16", "--optimizer.warmup-steps=0", "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
