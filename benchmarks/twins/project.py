"""This project's step, compiled and started as a run does it.

One step is one call here, as in a run of any of these rows: their steps take longer than a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from batches import CLASSES, SIZE, batch
from resident import Step, serve

from bigmodel.experiment import Data, Experiment
from bigmodel.models import (
    Autoencoder,
    Bert,
    ConvNet,
    Dcgan,
    Gpt,
    Mlp,
    ResNet,
    Rnn,
    Transformer,
    Unet,
    Vit,
)
from bigmodel.models.texts.beam import Beam
from bigmodel.processes.cpu import start_cpu
from bigmodel.runtime.compilation import compile_experiment
from bigmodel.runtime.loop import init_key, step_key
from bigmodel.runtime.settings import Settings
from bigmodel.runtime.xla import use_compilation_cache
from bigmodel.sharding.cores import mesh_of
from bigmodel.training import Optimizer, adversarial, autoencoding, classifier, coding
from bigmodel.training.generative.diffusion import denoising_error, noising
from bigmodel.training.metrics import next_token, token_accuracy
from bigmodel.training.supervision import supervised
from bigmodel.training.texts.language_model import language_model
from bigmodel.training.texts.translation import nats, smoothed

OPTIMIZER = Optimizer("adam", learning_rate=1e-3, clip=1.0)
STEPS = 100_000


def experiment(row: dict[str, Any]) -> Experiment:
    """The experiment of a row, made by the builders of the scripts in ``experiments/``."""
    arrays = batch(row)
    data = Data(lambda *_: arrays, {}, row["batch"], 1, "random")
    names, shape = [str(label) for label in range(CLASSES)], (SIZE, SIZE, 1)
    network: Any
    given: dict[str, Any] = {"optimizer": OPTIMIZER, "data": data, "steps": STEPS}
    size = {name: row[name] for name in ("layers", "width", "heads") if name in row}
    classifiers: dict[str, Callable[[], Any]] = {
        "mlp": lambda: Mlp(tuple(row["widths"]), "relu", dropout=0.0),
        "cnn": lambda: ConvNet(tuple(row["widths"]), (1,), dropout=0.0),
        "resnet": lambda: ResNet(row["depth"]),
        "rnn": lambda: Rnn(row["cell"], width=row["width"]),
        "vit": lambda: Vit(row["patch"], **size, dropout=0.0),
    }
    match row["kind"]:
        case "gpt":
            model = Gpt(**size).build(vocab_size=row["vocab"], context=row["context"])
            return language_model(model, characters=np.ones(row["vocab"]), **given)
        case "bert":
            model = Bert(**size).masked(vocab_size=row["vocab"], context=row["context"])
            return supervised(model, next_token, {"accuracy": token_accuracy}, **given)
        case "translation":
            network = Transformer(**size, dropout=0.0)
            vocabularies = {"source_vocab": row["vocab"], "target_vocab": row["vocab"]}
            model = network.build(**vocabularies, length=row["context"], beam=Beam()).model
            return supervised(model, smoothed(0.1), {"nats": nats}, **given)
        case "gan":
            generator, discriminator = Dcgan(row["latents"], tuple(row["widths"])).build(shape, 1)
            return adversarial(
                generator, discriminator, OPTIMIZER, OPTIMIZER, data,
                latent=row["latents"], steps=STEPS, features=lambda images: images,
            )  # fmt: skip
        case "vae":
            kind: Any = {"kind": "variational", "latents": row["latents"]}
            network = Autoencoder(latents=row["latents"], hidden=tuple(row["widths"]))
            model = coding(*network.build(shape, per_latent=2), noise=0.0, **kind)
            return autoencoding(model, names=names, **kind, **given)
        case "unet":
            network = Unet(tuple(row["widths"])).build(1)
            model = noising(network, prediction="noise", label_dropout=0.0)
            return supervised(model, denoising_error, {}, **given)
    return classifier(classifiers[row["kind"]]().build(CLASSES), names=names, **given)


def build(row: dict[str, Any]) -> Step:
    """The compiled step on the mesh of a run without options."""
    start_cpu()
    use_compilation_cache()
    built = experiment(row)
    compiled = compile_experiment(built, mesh_of(built, Settings().mesh))
    state = compiled.init(init_key(0))
    key, index = compiled.place_scalar(step_key(0)), compiled.place_scalar(np.int32(0))
    placed = compiled.place(built.data.train(0, 0))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))

    def run(steps: int) -> None:
        nonlocal state, index
        for _ in range(steps):
            state, index, report = compiled.step(state, placed, key, index)
        jax.block_until_ready((state, report))

    return Step(run, parameters)


if __name__ == "__main__":
    serve(build)
