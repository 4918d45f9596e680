"""A folder in Hugging Face's layout, which ``AutoModel.from_pretrained`` of transformers loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bigmodel.data.texts.reading import read_tokenizer
from bigmodel.experiment import Batch, InputError, Model
from bigmodel.export.huggingface_tokenizer import end_of_text, tokenizer_files
from bigmodel.export.program import Program
from bigmodel.files import write_atomically, write_json
from bigmodel.pretrained.families import family, writer_of
from bigmodel.pretrained.source import IMAGES, PROCESSOR, TOKENIZER
from bigmodel.quantized import restored
from bigmodel.training.transfer.beginning import by_block
from bigmodel.tree import named_leaves, nested

INSTALL = "pip install -e '.[export,transformers]'"
NEEDS = ("safetensors",)
RUNTIME = "transformers"
RESULT = "outputs"
LINES = ""
TAGS = "tags.json"
NAMES = ("texts.json", "images.json", TAGS)
"""Files of a run with the names of its classes."""


def write(program: Program, folder: Path) -> Program:
    """Writes weights, config, tokenizer and what says how images are read.

    The program that is checked gives the logits.

    Raises:
        InputError: Hugging Face has no such network.
    """
    from safetensors.numpy import save_file

    run, options = program.run, program.config.get("model")
    # Its networks have no bytes for a kernel.
    plain = named_leaves(restored(nested(program.variables)))
    program = program._replace(variables={path: np.asarray(leaf) for path, leaf in plain.items()})
    model = run.predictor.model
    if model is None or not isinstance(options, dict):
        raise InputError(f"{run.path} answers by no logits, and all networks there do")
    if program.config.get("ensemble", {}).get("members", 1) > 1:
        raise InputError(f"{run.path} is an ensemble; export one that was trained alone")
    name = writer_of(type(run.config.model).__name__, options)
    facts = facts_of(program)
    weights, config = family(name).to_theirs(by_block(program.variables), options, facts)
    # ascontiguousarray would give scalars an axis.
    arrays = {there: np.asarray(tensor, order="C") for there, tensor in weights.items()}
    save_file(arrays, folder / "model.safetensors", {"format": "pt"})
    if PROCESSOR in config:
        write_json(folder / IMAGES, config.pop(PROCESSOR))
    for file, content in tokenizer_files(run.assets, facts.get("context")).items():
        write_atomically(folder / file, content)
    batch = asked(program.inputs)
    outputs = {"logits": logits(model, program.variables, batch)}
    lines = family(name).LINES
    return program._replace(inputs=batch, outputs=outputs, config=config, lines=lines)


def facts_of(program: Program) -> dict[str, Any]:
    """What the run's files and options say of its data: see ``bigmodel.pretrained.source``."""
    assets, data = program.run.assets, program.config.get("data", {})
    facts: dict[str, Any] = {"context": data["context"]} if "context" in data else {}
    for kept in (json.loads(assets[name]) for name in NAMES if name in assets):
        facts["labels"] = tuple(kept.get("names", kept.get("labels")))
        if "shape" in kept:
            facts["size"], _, facts["channels"] = kept["shape"]
    if TAGS in assets:
        facts["architecture"] = "BertForTokenClassification"
    if TOKENIZER in assets:
        facts["special"] = read_tokenizer(assets).special
    if (end := end_of_text(assets)) is not None:
        facts["ends"] = (end,)
    if "pooling" in program.config:
        facts["pooling"] = program.config["pooling"]
    return facts


def asked(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that the model reads. Of prompts, those that are longer than one token."""
    if "rest" not in inputs:
        return dict(inputs)
    tokens = np.concatenate([inputs["tokens"], inputs["rest"]], axis=1)[1:]
    return {"tokens": tokens[:, : inputs["length"][1:].min()]}


def logits(model: Model, variables: Mapping[str, np.ndarray], batch: Batch) -> np.ndarray:
    """The outputs of a model on the CPU."""

    def apply(variables: Mapping[str, Any], batch: Batch) -> Any:
        return model.apply(nested(variables), batch, train=False, key=None)[0]

    with jax.default_device(jax.devices("cpu")[0]):
        return np.asarray(jax.jit(apply)(variables, batch))
