"""A trained run as the teacher of another one, or as what makes its tokens."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from bigmodel.data.images.reading import image_reader
from bigmodel.data.parts import fingerprint
from bigmodel.experiment import Assets, Data, InputError, PyTree
from bigmodel.inference.loading import load
from bigmodel.quantized import restored
from bigmodel.run_directory.sums import params_digest
from bigmodel.training.teaching.distillation import Teacher, Teaching
from bigmodel.training.teaching.taught import logits

if TYPE_CHECKING:
    from bigmodel.models.images.vqvae import Vqvae
    from bigmodel.training.generative.quantizing import Tokens


def load_teacher(options: Teacher, data: Data, assets: Assets | None = None) -> Teaching | None:
    """The teacher that options name, if any, for a network that is trained on some data.

    Args:
        options: where it is, and how it teaches.
        data: what the student learns from. Its assets say what the numbers of a batch mean, and
            the teacher's have to say the same.
        assets: those of a trained run, which needs no teacher any more to be evaluated.

    Raises:
        InputError: there is no such run, it has no logits, or it read other inputs.
        StorageError: its files are damaged or cannot be read.
    """
    if not options.run or assets is not None:
        return None
    option = f"--teacher.run {options.run}"
    try:
        run = load(options.run)
    except InputError as error:
        raise InputError(f"--teacher.run: {error}") from None
    if run.predictor.model is None:
        raise InputError(f"{option} is neither a classifier nor a language model; give such a run")
    for name, content in data.assets.items():
        if run.assets.get(name) != content:
            raise InputError(
                f"{option} was trained on other inputs, for its {name} differs from that of this "
                "data; give a run with the same options of --data"
            )
    variables, model = jax.device_get(restored(run.variables)), run.predictor.model
    batch = data.receive(data.example)
    try:
        shape = jax.eval_shape(partial(logits, model), variables, batch).shape
    except InputError as error:
        raise InputError(f"{option} cannot read what this learns from: {error}") from None
    except KeyError:  # It reads arrays that the batch does not have.
        shape = ()
    if shape[:-1] != np.shape(batch["weight"]):
        raise InputError(f"{option} tells something else apart; give a run of the same task")
    return Teaching(options, model, variables, params_digest(variables))


class Codebook(NamedTuple):
    """A network of image tokens: options, parameters, and the data with what a run keeps of it.

    The parameters are None for a trained run, which has them among its own.
    """

    options: Vqvae
    params: PyTree
    data: Data


def own_tokens(options: Tokens, run: Path) -> Tokens:
    """The options by which a trained run goes on with its own network of tokens."""
    from bigmodel.training.generative.quantizing import OwnTokens, Tokens

    kind = Tokens if options.run else OwnTokens
    return kind(**{**vars(options), "run": str(run)})


def load_codebook(
    options: Tokens, data: Data, shape: tuple[int, int, int], assets: Assets | None = None
) -> Codebook:
    """The codebook of the run that options name, or else of a network that is trained first.

    Args:
        options: where it is, or what is trained.
        data: images of a ``shape``.
        shape: height, width and channels.
        assets: those of a trained run, which has a codebook.

    Raises:
        InputError: there is no such run, it has no codebook, or its images have another shape.
        StorageError: its files are damaged or cannot be read.
    """
    # Imported here, for other students need neither.
    from bigmodel.models.text_to_image import CODES
    from bigmodel.training.generative.quantizing import (
        CODEBOOK,
        OwnTokens,
        dump_codebook,
        read_codebook,
    )

    if assets is not None:
        return Codebook(read_codebook(assets), None, data)
    if not options.run:
        kept = {**data.assets, **dump_codebook(options.model)}
        return Codebook(options.model, options.train(data, shape), data._replace(assets=kept))
    option = f"--tokens.run {options.run}"
    try:
        run = load(options.run)
    except InputError as error:
        raise InputError(f"--tokens.run: {error}") from None
    if CODEBOOK not in run.assets:
        raise InputError(f"{option} has no codebook; give a run that learned one")
    if (known := image_reader(run.assets).shape) != shape:
        raise InputError(f"{option} was trained on images of {known}, and these are of {shape}")
    params = jax.device_get(restored(run.variables))["params"]
    params = params.get(CODES, params)
    data = data._replace(assets={**data.assets, CODEBOOK: run.assets[CODEBOOK]})
    if not isinstance(options, OwnTokens):
        digest = {"data": data.fingerprint.encode(), "codes": params_digest(params).encode()}
        data = data._replace(fingerprint=fingerprint({}, digest), bare=data.alone)
    return Codebook(read_codebook(run.assets), params, data)
