r"""A network tells what happens in a short clip (Tran et al., 2015).

    python experiments/video.py   # which digit moves, and where to

`--model.name attention` convolves each frame by itself and attends to all of them after that. Your
own clips: a folder with a folder for each class, with a folder of frames for each clip:

    python experiments/video.py --data.name folder --data.path DIR --data.size 64
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import VideoData, load_videos, video_reader
from bigmodel.experiment import Assets, Experiment
from bigmodel.inference.teaching import load_teacher
from bigmodel.models import VideoNet
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Ensemble, Optimizer, Teacher, class_predictor, classifier


@dataclass(frozen=True)
class Config(Settings):
    """A classifier of clips and how it is trained."""

    data: VideoData = VideoData()
    model: VideoNet = VideoNet()
    optimizer: Optimizer = Optimizer(
        "adamw", learning_rate=3e-3, weight_decay=0.01, eps=1e-6, warmup_steps=50
    )
    ensemble: Ensemble = Ensemble()
    teacher: Teacher = Teacher()
    run: Run = Run(steps=1000, eval_every=250)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    data, reader = load_videos(config.data, assets)
    return classifier(
        config.begin(config.model.build(len(reader.names)), assets),
        data,
        reader.names,
        config.optimizer,
        ensemble=config.ensemble,
        teaching=load_teacher(config.teacher, data, assets),
        steps=config.run.total_steps(data.steps_per_epoch),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the class of a clip."""
    reader = video_reader(assets)
    model = config.model.build(len(reader.names))
    return class_predictor(model, reader, reader.names, ensemble=config.ensemble)


TINY = (
    "--model.widths", "8", "8", "--data.size=12", "--data.frames=3", "--data.clips=2560",
    "--data.batch-size=16", "--optimizer.warmup-steps=0", "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
