r"""A network writes down what is said (Graves et al., 2006).

    python experiments/speech.py   # up to four digits as melodies, tested on voices never heard

The label error rate is 0 % there, after 5 minutes (3 of CPU; measured on 2 cores that other
programs used too).

Digits as espeak-ng says them in 72 voices, which are synthetic (`apt install espeak-ng`):

    python experiments/speech.py --data.name espeak --data.rate 16000 --data.recordings 2880

Of voices that are in no other part it writes each digit right: a label error rate of 0 %, after 8
minutes (5 of CPU; measured on 2 cores that other programs used too).

Your own recordings: a file of lines FILE<tab>TRANSCRIPT, perhaps <tab>VOICE, so that no voice is in
two parts. WAV is read by itself, FLAC and others with `pip install -e '.[sound]'`:

    python experiments/speech.py --data.name files --data.path TSV --data.rate 16000

`test/label_error_rate` is the share of letters to edit in the likeliest ones of all moments; the
answers of a trained run are found by a beam search (`--beam`).
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import SoundData, load_speech, sound_reader
from bigmodel.experiment import Assets, Experiment, InputError
from bigmodel.models import Listener
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Optimizer, text_predictor, transcriber


@dataclass(frozen=True)
class Config(Settings):
    """A network that writes down what is said, and how it is trained."""

    data: SoundData = SoundData(digits=4)
    model: Listener = Listener("lstm")
    beam: int = 8
    """beginnings of a text that the search for an answer keeps"""
    optimizer: Optimizer = Optimizer(
        "adamw", learning_rate=2e-3, weight_decay=0.01, eps=1e-6, warmup_steps=100, clip=1.0
    )
    run: Run = Run(steps=1000, eval_every=250)

    def __post_init__(self) -> None:
        """Raises InputError where the beam keeps nothing."""
        super().__post_init__()
        if self.beam < 1:
            raise InputError(f"--beam {self.beam} is too small; use 1 or more")


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    data, reader = load_speech(config.data, assets)
    return transcriber(
        config.begin(config.model.transcriber(len(reader.names)), assets),
        data,
        reader.names,
        config.optimizer,
        steps=config.run.total_steps(data.steps_per_epoch),
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: what is said in a recording."""
    reader = sound_reader(assets)
    return text_predictor(config.model.transcriber(len(reader.names)), reader, beam=config.beam)


TINY = (
    "--data.recordings=144", "--data.rate=4000", "--data.bands=16", "--data.digits=2",
    "--model.width=16", "--model.layers=1", "--model.dropout=0", "--optimizer.warmup-steps=0",
    "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
