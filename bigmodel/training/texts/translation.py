"""Losses of sequence to sequence, and what an evaluation says of the model's own translations."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bigmodel.data.texts.pair_file import Pair
from bigmodel.experiment import Batch, InputError, Mean, Measured, Results, Rows, scalars
from bigmodel.models.texts.scores import Scores
from bigmodel.training.metrics import Metric, negative_log_likelihood, weighted
from bigmodel.training.texts.edit_distance import edit_distances

GATHERED: Mapping[str, Callable[[Any, Batch], Array]] = {
    "predicted": lambda translation, _: translation.predicted,
    "example": lambda _, batch: batch["example"],
}
"""What ``supervised`` gathers for the summaries of this file."""

Summary: TypeAlias = Callable[[Measured], Results]

SHOWN = 10


def token_weights(batch: Batch) -> Float[Array, "batch time"]:
    """1 for each token of the targets, their ends included, and 0 for padding."""
    time = jnp.arange(batch["target_out"].shape[1], dtype=jnp.int32)
    real = time[None, :] < jnp.asarray(batch["target_length"])[:, None]
    return real.astype(jnp.float32) * jnp.asarray(batch["weight"], jnp.float32)[:, None]


def smoothed(smoothing: float) -> Metric:
    """Nats per token against targets that have ``smoothing`` of all tokens alike.

    ``(1 - s) * -log p(target) + s * mean over the vocabulary of -log p`` (Szegedy et al., 2016).

    Raises:
        InputError: ``smoothing`` is no probability.
    """
    if not 0 <= smoothing < 1:
        raise InputError(f"--smoothing {smoothing} is no probability; use 0 to less than 1")

    def loss(translation: Any, batch: Batch) -> Mean:
        logits = translation.logits
        nats = negative_log_likelihood(logits, batch["target_out"])
        if smoothing:
            if isinstance(logits, Scores):
                even = logits.even
            else:
                even = -jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1).mean(axis=-1)
            nats = (1.0 - smoothing) * nats + smoothing * even
        return weighted(nats, {"weight": token_weights(batch)})

    return loss


def nats(translation: Any, batch: Batch) -> Mean:
    """Nats per token without smoothing; the perplexity is its exponential."""
    return smoothed(0.0)(translation, batch)


def error_rates(
    examples: Sequence[Pair],
    *,
    encode: Callable[[str], Int[np.ndarray, "tokens"]],
    decode: Callable[[Int[np.ndarray, "tokens"]], str],
    names: tuple[str, str],
) -> Summary:
    """Summaries with the share of wrong tokens and of wrong sequences.

    The former is the sum of the edits that make the predictions right over the sum of the
    lengths of the targets. Where several targets are right, the one with the fewest edits
    counts, of these the first.

    Args:
        examples: sources and targets by the number that batches have as ``example``.
        encode: from a target to its ids.
        decode: from ids to a target; it reads up to the end.
        names: of the two rates.
    """

    def summarize(measured: Measured) -> Results:
        said, asked = translations(measured, examples, decode)
        pairs = [
            (row, encode(text), encode(target))
            for row, (text, example) in enumerate(zip(said, asked, strict=True))
            for target in example.targets
        ]
        rows = np.array([row for row, _, _ in pairs])
        edits = edit_distances([ids for _, ids, _ in pairs], [ids for _, _, ids in pairs])
        lengths = np.array([len(ids) for _, _, ids in pairs])
        order = np.lexsort((edits, rows))
        best = order[np.unique(rows[order], return_index=True)[1]]
        rates = {
            names[0]: float(edits[best].sum() / lengths[best].sum()),
            names[1]: float((edits[best] > 0).mean()),
        }
        return scalars(measured) | rates | {"translations": shown(said, asked)}

    return summarize


def bleu(
    examples: Sequence[Pair], *, decode: Callable[[Int[np.ndarray, "tokens"]], str]
) -> Summary:
    """Summaries with the corpus BLEU, 0 to 100 (Papineni et al., 2002), by sacrebleu (Post, 2018).

    Its own tokenization (13a), case counts, against the first target of each example.

    Raises:
        InputError: sacrebleu is not installed; said here, before the first step.
    """
    if importlib.util.find_spec("sacrebleu") is None:
        raise InputError("BLEU needs the package sacrebleu: pip install -e '.[bleu]'")

    def summarize(measured: Measured) -> Results:
        # Imported here, for it takes a while that pairs of symbols need not spend.
        import sacrebleu

        said, asked = translations(measured, examples, decode)
        score = sacrebleu.corpus_bleu(said, [[example.targets[0] for example in asked]])
        return scalars(measured) | {"bleu": score.score, "translations": shown(said, asked)}

    return summarize


def translations(
    measured: Measured,
    examples: Sequence[Pair],
    decode: Callable[[Int[np.ndarray, "tokens"]], str],
) -> tuple[list[str], list[Pair]]:
    """What the model said, and the examples that it was asked."""
    predicted, example = measured["predicted"], measured["example"]
    assert isinstance(predicted, Rows)
    assert isinstance(example, Rows)
    said = [decode(ids) for ids in np.asarray(predicted.values)]
    return said, [examples[number] for number in np.asarray(example.values).tolist()]


def shown(said: Sequence[str], asked: Sequence[Pair]) -> str:
    """Some translations from all over the split, the source above and what is right below."""
    lines = []
    for row in np.unique(np.linspace(0, len(said) - 1, SHOWN, dtype=int)):
        text, example = said[row], asked[row]
        mark = "right" if text in example.targets else "wrong"
        lines += [example.source, f"  said   {text}  ({mark})"]
        lines += [f"  right  {target}" for target in example.targets]
    return "\n".join(lines) + "\n"
