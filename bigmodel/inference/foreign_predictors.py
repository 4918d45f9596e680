"""What networks in another layout answer, by what their files say that they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from bigmodel import models
from bigmodel.config import ConfigError, from_json
from bigmodel.data.dialogues.chat import Chat, chat_of
from bigmodel.data.images.reading import ImageReader
from bigmodel.data.texts.reading import TOKENIZER, MaskReader, TextReader, text_of
from bigmodel.data.texts.tokenizers import Tokenizer, load
from bigmodel.experiment import Assets, InputError, Model
from bigmodel.models.texts.generation import Sampling
from bigmodel.predictor import Predictor
from bigmodel.pretrained.families import MODELS
from bigmodel.pretrained.source import Source
from bigmodel.training.predictors import class_predictor, vector_predictor
from bigmodel.training.texts.filling import mask_predictor
from bigmodel.training.texts.prompting import prompt_predictor

MASKS = 20
"""Masks that are filled in at once."""
PROMPT = 1024
"""Tokens of a prompt, unless told."""


@dataclass(frozen=True)
class Asking:
    """What may be changed of the answers of a network in another layout."""

    sampling: Sampling = Sampling()
    length: int | None = None
    """the most tokens of a text; by default as many as the network reads, of prompts up to 1024"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type of the computation"""

    def __post_init__(self) -> None:
        """Raises InputError for a length that is none."""
        if self.length is not None and self.length < 1:
            raise InputError(f"--length {self.length} is too short; use 1 or more")


class Talk(Chat):
    """The dialogues of a model that also goes on with texts, before which may stand a token."""

    def asked(self, each: Any) -> str:
        """A text as it is, and of messages, or a dialogue in JSON, what asks for an answer.

        Raises:
            InputError: It is none of these, or the folder has no template of dialogues.
        """
        if isinstance(each, str) and not each.lstrip().startswith('{"messages"'):
            return self.tokens["before"] + text_of(each)
        if not self.template:
            raise InputError("there is no chat_template, by which messages would become a text")
        return super().asked(each)

    @property
    def end(self) -> str:
        """The text that ends an answer; empty where there are no dialogues."""
        return super().end if self.template else ""


class Made(NamedTuple):
    """A predictor, the model behind it, and what a run would have: assets, and a sample input."""

    predictor: Predictor
    model: Model
    assets: Assets
    sample: Any


def make(source: Source, asking: Asking) -> Made:
    """What a source answers.

    Causal models go on with prompts and dialogues, classifiers give classes, masked language models
    fill masks, and other encoders give a vector for each text.

    Raises:
        InputError: it is a network that answers nothing of these, or lacks what that needs.
    """
    default = getattr(models, MODELS[source.family])()
    try:
        options = from_json(default, source.options)
    except ConfigError as error:
        raise InputError(str(error)) from None
    options = dataclasses.replace(options, dtype=asking.dtype)
    match options:
        case models.Gpt():
            return _causal(options, source, asking)
        case models.Bert():
            return _encoder(options, source, asking)
    return _images(options, source.facts)


def _causal(options: models.Gpt, source: Source, asking: Asking) -> Made:
    tokenizer, context = _tokenizer(source), source.facts["context"]
    ends = [tokenizer.decode(np.array([end])) for end in source.facts.get("ends", ())]
    stop = (*asking.sampling.stop, *(text for text in ends if text))
    sampling = dataclasses.replace(asking.sampling, stop=stop)
    length = asking.length or min(PROMPT, max(1, context - sampling.tokens))
    # The cache holds no more than what may be asked and answered, unless positions are counted.
    held = length + sampling.tokens if options.positions == "rotary" else context
    size = source.facts["vocab_size"]
    model = options.build(vocab_size=size, context=context)
    decoder = options.decoder(vocab_size=size, context=held)
    template, tokens = chat_of(source.facts)
    chat = Talk(template, {**tokens, "before": tokenizer.before})
    predictor = prompt_predictor(
        decoder, tokenizer, sampling, context=length, chat=chat, model=model
    )
    return Made(predictor, model, {TOKENIZER: tokenizer.dump()}, {"prompt": [0]})


def _encoder(options: models.Bert, source: Source, asking: Asking) -> Made:
    facts, tokenizer = source.facts, _tokenizer(source)
    architecture = facts.get("architecture", "")
    sizes = {
        "vocab_size": facts["vocab_size"],
        "context": facts["context"],
        "special": tokenizer.special,
    }
    reader = TextReader(facts.get("labels", ()), _length(asking, facts), tokenizer)
    if architecture.endswith("ForSequenceClassification"):
        model = options.classifier(len(reader.names), pooling=facts["pooling"], **sizes)
        return Made(class_predictor(model, reader, reader.names), model, reader.dump(), "a")
    if architecture.endswith(("ForMaskedLM", "ForPreTraining")):
        model = options.masked(**sizes)
        masks = MaskReader(tokenizer, reader.time, MASKS)
        assets = {TOKENIZER: tokenizer.dump()}
        return Made(mask_predictor(model, masks), model, assets, "[MASK]")
    if architecture.endswith("Model") or not architecture:
        model = options.vectors(pooling=facts["pooling"], normalized=facts["normalized"], **sizes)
        return Made(vector_predictor(model, reader), model, reader.dump(), "a")
    raise InputError(f"a {architecture} is read to begin with, and answers nothing by itself")


def _images(options: models.Vit | models.ResNet, facts: Mapping[str, Any]) -> Made:
    size, names = facts.get("size"), facts["labels"]
    if size is None:
        raise InputError("neither config.json nor preprocessor_config.json has a size of images")
    reader = ImageReader(names, (size, size, facts["channels"]))
    model = options.build(len(names))
    sample = [[[0.0] * facts["channels"]] * size] * size
    return Made(class_predictor(model, reader, names), model, reader.dump(), sample)


def _length(asking: Asking, facts: Mapping[str, Any]) -> int:
    length = asking.length or facts["most"]
    if length > facts["context"]:
        raise InputError(
            f"--length {length} is more than the {facts['context']} positions there are"
        )
    return length


def _tokenizer(source: Source) -> Tokenizer:
    if source.tokenizer is None:
        raise InputError("there is no tokenizer.json, without which no text can be read")
    return load(source.tokenizer)
