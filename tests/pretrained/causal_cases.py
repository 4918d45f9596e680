"""Small networks of the causal families, as options here and as folders there."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save_file

from bigmodel.models import Gpt
from bigmodel.models.attention.positions import Rotary
from bigmodel.pretrained.families import family, writer_of
from bigmodel.tree import named_leaves

VOCAB, CONTEXT = 40, 24
TOKENS = np.random.default_rng(0).integers(0, VOCAB, (2, CONTEXT)).astype(np.int32)
LLAMA = Gpt(
    layers=2, width=16, heads=4, kv_heads=2, expansion=2.5, activation="swiglu", epsilon=1e-5,
    tied=False, scan=False,
)  # fmt: skip
LONGER = Rotary(base=5e5, scaling="llama3", factor=8.0, context=16)
CASES = {
    "llama": LLAMA,
    "llama-tied-3": dataclasses.replace(LLAMA, tied=True, rotary=LONGER, head_size=6),
    "llama-biases": dataclasses.replace(
        LLAMA, biases=True, qkv_biases=True, rotary=Rotary(scaling="linear", factor=2.0)
    ),
    "mistral": dataclasses.replace(LLAMA, window=7, kv_heads=None),
    "qwen2": dataclasses.replace(LLAMA, qkv_biases=True),
    "qwen3": dataclasses.replace(LLAMA, query_key_norm=True, head_size=8),
    "gpt2": Gpt(
        layers=2, width=16, heads=4, norm="layer", biases=True, positions="learned", epsilon=1e-5,
        scan=False,
    ),
}  # fmt: skip


def variables(options: Gpt, vocab_size: int = VOCAB) -> dict[str, np.ndarray]:
    """Random variables by path, away from what a network begins with."""
    random = np.random.default_rng(1)
    model = options.build(vocab_size=vocab_size, context=CONTEXT)
    shapes = jax.eval_shape(model.init, jax.random.key(0), {"tokens": TOKENS})
    return {
        path: (random.normal(size=leaf.shape) * 0.3 + path.endswith("scale")).astype(np.float32)
        for path, leaf in named_leaves(shapes).items()
    }


def write(folder: Path, options: Gpt, values: Mapping[str, np.ndarray], **changes: Any) -> None:
    """A folder in Hugging Face's layout, with changes of its config."""
    named = dataclasses.asdict(options)
    module = family(writer_of("Gpt", named))
    weights, config = module.to_theirs(values, named, {"context": CONTEXT})
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config | changes))
    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in weights.items()}
    save_file(arrays, folder / "model.safetensors", {"format": "pt"})
