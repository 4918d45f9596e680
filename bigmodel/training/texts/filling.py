"""What a masked language model answers: the likeliest tokens for each mask of a text."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from bigmodel.data.texts.reading import MaskReader
from bigmodel.data.texts.tokenizers import Tokenizer
from bigmodel.experiment import Batch, Model, PyTree, Variables
from bigmodel.predictor import Best, Predictor

BEST = 20


def mask_predictor(model: Model, reader: MaskReader) -> Predictor:
    """A predictor of the tokens at the masks of a text.

    Args:
        model: reads what ``reader`` encodes, gives logits ``[batch, masks, vocabulary]``.
        reader: encodes texts with masks.
    """
    tokenizer = reader.tokenizer

    def apply(variables: Variables, batch: Batch) -> PyTree:
        logits, _ = model.apply(variables, batch, train=False, key=None)
        best = min(BEST, logits.shape[-1])
        probability, token = jax.lax.top_k(jax.nn.softmax(logits, axis=-1), best)
        kept = {name: batch[name] for name in ("tokens", "length", "chosen", "weight")}
        return {"probability": probability, "token": token, **kept}

    def decode(outputs: PyTree) -> list[Any]:
        rows = {name: np.asarray(array) for name, array in outputs.items()}
        count = len(rows["length"])
        return [filled({name: of[row] for name, of in rows.items()}) for row in range(count)]

    def filled(row: dict[str, np.ndarray]) -> dict[str, Any]:
        real = int(row["weight"].sum())
        ids = row["tokens"][: row["length"]].copy()
        ids[row["chosen"][:real]] = row["token"][:real, 0]
        ids = ids[~np.isin(ids, list(tokenizer.special.values()))]
        masks = [
            Best({token_name(int(t), tokenizer): float(p) for t, p in zip(*each, strict=True)})
            for each in zip(row["token"][:real], row["probability"][:real], strict=True)
        ]
        return {"text": tokenizer.decode(ids), "masks": masks}

    answer = f"for each mask the {BEST} likeliest tokens, and the text filled in"
    return Predictor(reader.encode, apply, decode, reader.kind, reader.inputs, answer, model=model)


def token_name(token: int, tokenizer: Tokenizer) -> str:
    """The text of a token; its number in angle brackets where it is no whole character."""
    text = tokenizer.decode(np.array([token]))
    return text if "\ufffd" not in text else f"<{token}>"
