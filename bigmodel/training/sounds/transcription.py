"""Models that write down what is said: their experiment, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from bigmodel.data.sounds.reading import SoundReader
from bigmodel.experiment import (
    Batch,
    Data,
    Experiment,
    Mean,
    Measured,
    Model,
    PyTree,
    Results,
    Rows,
    Shown,
    Variables,
    scalars,
)
from bigmodel.figures.spectrum import draw_alignment
from bigmodel.models.sounds.listener import moments
from bigmodel.predictor import Predictor
from bigmodel.training.metrics import weighted
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.sounds.beam import beam_search, best_path
from bigmodel.training.supervision import supervised
from bigmodel.training.texts.edit_distance import edit_distances

Logits = Float[Array, "batch moment letter"]


def transcriber(
    model: Model, data: Data, letters: Sequence[str], optimizer: Optimizer, *, steps: int
) -> Experiment:
    """An experiment that learns the letters of a recording, not told when each is said.

    The loss is that of all ways to place them (connectionist temporal classification; Graves et
    al., 2006). It is evaluated by the share of edits that make the likeliest letters of all moments
    the transcript, ``label_error_rate``, and by the share of recordings that need some,
    ``recording_error_rate``.

    Args:
        model: reads recordings, gives logits of no letter and of each for every moment.
        data: batches with ``letters``.
        letters: in the order of their numbers, from 1 on.
        optimizer: options of the Optax chain.
        steps: length of the run.
    """
    return supervised(
        model,
        ctc,
        {},
        optimizer,
        data,
        steps=steps,
        show=_shown(model, data, letters),
        gathered={"written": written},
        summarize=error_report,
    )


def moments_of(batch: Batch) -> Array:
    """How many moments each recording has: one for every two frames."""
    return moments(jnp.asarray(batch["length"]))


def ctc(logits: Logits, batch: Batch) -> Mean:
    """Nats per recording: minus the logarithm of the probability of its letters."""
    letters = jnp.asarray(batch["letters"])
    index = jnp.arange(logits.shape[1], dtype=jnp.int32)
    beyond = (index[None] >= moments_of(batch)[:, None]).astype(jnp.float32)
    nats = optax.ctc_loss(logits, beyond, letters, (letters == 0).astype(jnp.float32))
    return weighted(nats, batch)


def written(logits: Logits, batch: Batch) -> PyTree:
    """The likeliest letter of each moment, and the letters that are said."""
    best = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return {"best": best, "moments": moments_of(batch), "letters": batch["letters"]}


def error_report(measured: Measured) -> Results:
    """``label_error_rate`` and ``recording_error_rate``."""
    rows = measured["written"]
    assert isinstance(rows, Rows)
    found = best_path(rows.values["best"], rows.values["moments"])
    said = [row[row > 0] for row in rows.values["letters"]]
    edits = edit_distances(found, said)
    return {
        **scalars(measured),
        "label_error_rate": float(edits.sum() / max(1, sum(map(len, said)))),
        "recording_error_rate": float((edits > 0).mean()),
    }


def _shown(model: Model, data: Data, letters: Sequence[str]) -> Callable[[Variables], Shown] | None:
    """The spectrum of the first recording of the first split, with the letters over time."""
    if not data.splits:
        return None

    def show(variables: Variables) -> Shown:
        batch = next(iter(data.splits.values()))[0]
        one = {name: np.asarray(array)[:1] for name, array in batch.items()}
        logits, _ = model.apply(variables, one, train=False, key=None)
        probability = np.asarray(jax.nn.softmax(logits[0], axis=-1))
        frames = int(one["length"][0])
        said = "".join(letters[number - 1] for number in one["letters"][0] if number)
        return {
            "alignment": partial(
                draw_alignment,
                one["spectrum"][0, :frames],
                probability[: (frames + 1) // 2],
                ("", *letters),
                said=said,
                seconds=frames / 100,
            )
        }

    return show


def text_predictor(model: Model, reader: SoundReader, *, beam: int) -> Predictor:
    """A predictor of what is said.

    Args:
        model: reads what ``reader`` encodes, gives logits of no letter and of each.
        reader: encodes recordings, and knows the letters.
        beam: beginnings that the search keeps.
    """

    def apply(variables: Variables, batch: Batch) -> PyTree:
        logits, _ = model.apply(variables, batch, train=False, key=None)
        return {"nats": jax.nn.log_softmax(logits, axis=-1), "moments": moments_of(batch)}

    def decode(outputs: PyTree) -> list[Any]:
        rows = zip(np.asarray(outputs["nats"]), np.asarray(outputs["moments"]), strict=True)
        return [answer(nats[:count]) for nats, count in rows]

    def answer(nats: np.ndarray) -> Any:
        numbers, logarithm = beam_search(nats, width=beam)
        text = "".join(reader.names[number - 1] for number in numbers)
        return {"text": text, "probability": float(np.exp(logarithm))}

    what = "what is said, and its probability"
    return Predictor(reader.encode, apply, decode, reader.kind, reader.inputs, what)
