r"""A network tells what is heard in a recording: keywords, say (Warden, 2018).

    python experiments/audio.py   # ten digits as melodies, tested on voices never heard

It hears all of those of the test part (0.3 minutes of CPU, measured on 2 cores).

Digits as espeak-ng says them in 72 voices, which are synthetic (`apt install espeak-ng`):

    python experiments/audio.py --data.name espeak --data.rate 16000

There too it hears all digits of the voices that training never heard (a minute).

Your own recordings: a file of lines FILE<tab>CLASS, perhaps <tab>VOICE, so that no voice is in two
parts. WAV is read by itself, FLAC and others with `pip install -e '.[sound]'`:

    python experiments/audio.py --data.name files --data.path TSV --data.rate 16000
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import SoundData, load_sounds, sound_reader
from bigmodel.experiment import Assets, Experiment
from bigmodel.inference.teaching import load_teacher
from bigmodel.models import Listener
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Ensemble, Optimizer, Teacher, class_predictor, classifier


@dataclass(frozen=True)
class Config(Settings):
    """A classifier of recordings and how it is trained."""

    data: SoundData = SoundData()
    model: Listener = Listener(width=64)
    optimizer: Optimizer = Optimizer(
        "adamw", learning_rate=1e-3, weight_decay=0.05, eps=1e-6, warmup_steps=50
    )
    ensemble: Ensemble = Ensemble()
    teacher: Teacher = Teacher()
    run: Run = Run(steps=400, eval_every=100)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    data, reader = load_sounds(config.data, assets)
    return classifier(
        config.begin(config.model.classifier(len(reader.names)), assets),
        data,
        reader.names,
        config.optimizer,
        ensemble=config.ensemble,
        teaching=load_teacher(config.teacher, data, assets),
        steps=config.run.total_steps(data.steps_per_epoch),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the class of a recording."""
    reader = sound_reader(assets)
    model = config.model.classifier(len(reader.names))
    return class_predictor(model, reader, reader.names, ensemble=config.ensemble)


TINY = (
    "--data.recordings=144", "--data.rate=4000", "--data.bands=16", "--model.width=16",
    "--model.layers=1", "--model.dropout=0", "--optimizer.warmup-steps=0", "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
