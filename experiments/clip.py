r"""Images and texts in one space, from pairs of them (Radford et al., 2021).

    python experiments/clip.py --run.steps 200   # digits: 97.2 % of test images find their name

Fashion-MNIST with the names of its classes (88.2 % of test images find theirs first, 4 min on 2
shared cores), and stamps of Tux Paint with what they say (`apt install tuxpaint-stamps-default`).
Of 157 stamps that training never saw, 25.5 % find their own text among the five nearest of 157, of
which 130 are in no training pair; by chance it would be 3.2 % (9 min on 2 shared cores):

    python experiments/clip.py --data.name fashion_mnist --data.validation 0.02 \
        --run.steps 700 --run.eval-every 350
    python experiments/clip.py --data.name stamps --data.shift 4 --data.batch-size 64 \
        --run.steps 600 --run.eval-every 150

Your own images, a file of lines IMAGE<tab>TEXT, and an image of which the text is told, chosen
among the lines of another file:

    python experiments/clip.py --data.name files --data.path TSV
    python launch.py predict runs/clip image.png -- --classes FILE
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import CaptionData, TextReader, image_reader, load_captions, text_reader
from bigmodel.data.captions.captions import encoded, read_classes
from bigmodel.experiment import Assets, Experiment, Model
from bigmodel.models import Clip
from bigmodel.models.clip import Contrast, zero_shot
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Optimizer, class_predictor, contrastive


@dataclass(frozen=True)
class Config(Settings):
    """An encoder of images and one of texts, and how they are trained."""

    data: CaptionData = CaptionData()
    model: Clip = Clip()
    contrast: Contrast = "infonce"
    """infonce: tell a text from all others of a batch, and an image; sigmoid: tell of each text
    whether it is an image's (Zhai et al., 2023)"""
    classes: str = ""
    """prediction: a file with a text on each line to choose among; by default those that it was
    trained on"""
    optimizer: Optimizer = Optimizer(
        "adamw", learning_rate=1e-3, warmup_steps=50, weight_decay=0.05, eps=1e-6
    )
    run: Run = Run(steps=1000, eval_every=250)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    pairs = load_captions(config.data, assets)
    return contrastive(
        config.begin(network(config, pairs.texts), assets),
        pairs.data,
        config.optimizer,
        contrast=config.contrast,
        captions=pairs.captions,
        steps=config.run.total_steps(pairs.data.steps_per_epoch),
    )


def network(config: Config, texts: TextReader) -> Model:
    """The model of a config for the texts that a reader encodes."""
    return config.model.build(
        vocab_size=texts.vocab_size, context=texts.time, contrast=config.contrast
    )


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the text of an image, of some to choose among."""
    texts = text_reader(assets)
    names = read_classes(config.classes) if config.classes else texts.names
    model = zero_shot(network(config, texts), encoded(names, texts))
    return class_predictor(model, image_reader(assets), names)


TINY = (
    "--model.width=16", "--model.image.widths", "8", "8", "--model.image.dense=16",
    "--model.image.dropout=0", "--model.text.layers=1", "--model.text.width=16",
    "--data.batch-size=32", "--optimizer.warmup-steps=0", "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
