r"""GPT on any UTF-8 text (Radford et al., 2019).

    python experiments/gpt.py   # Python's help texts: 1.7 min on 2 cores, 2.08 bits per character

Five novels of Jane Austen in one file of 3.6 MB, the last tenth for the test: 2.6 min on 2
cores, 1.89 bits per character.

    python experiments/gpt.py --data.path austen.txt --data.vocab-size 2048 \
        --model.activation squared_relu --optimizer.name muon --optimizer.learning-rate 5e-3 \
        --optimizer.momentum 0.95 --run.steps 600 --run.eval-every 300

GPT-2 (Radford et al., 2019):

    python experiments/gpt.py --model.norm layer --model.biases --model.positions learned

Llama (Touvron et al., 2023), with grouped queries and a sliding window:

    python experiments/gpt.py --model.activation swiglu --model.expansion 2.67 \
        --model.no-tied --model.kv-heads 2 --model.window 64

A window of 256 positions and the first 4 as global tokens (Beltagy et al., 2020). Of 2,048 tokens
it takes 0.33 s a step, without the window 0.74 s, measured on 2 cores; memory grows linearly with
the context in both, and with the window so does the time:

    python experiments/gpt.py --data.context 2048 --data.batch-size 2 \
        --model.window 256 --model.global-tokens 4

A mixture of eight experts (Shazeer et al., 2017), two for each token. `train/loss` then holds
the weighted `train/load_balance` too, `train/nats` does not, and `train/expert_load` says how
much the busiest expert of all blocks gets, as a multiple of its even share:

    python experiments/gpt.py --model.experts 8 --model.expansion 2 --model.capacity 1.25

Dialogues, lines `{"messages": [{"role": "user", "content": "..."}, ...]}`, of which it learns the
answers of the role `assistant` alone:

    python experiments/gpt.py --data.name dialogues --data.path DIALOGUES.jsonl
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax

from bigmodel.data import (
    Text,
    TextData,
    chat_of,
    load_dialogues,
    load_text,
    read_chat,
    read_tokenizer,
    with_prompts,
)
from bigmodel.experiment import Assets, Experiment, InputError, Shown, Variables
from bigmodel.inference.teaching import load_teacher
from bigmodel.models import Gpt, Sampling, train_flops
from bigmodel.predictor import Beginning, Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import (
    Optimizer,
    Teacher,
    language_model,
    longest_prompt,
    prompt_predictor,
)


@dataclass(frozen=True)
class Config(Settings):
    """A causal language model and how it is trained."""

    data: TextData = TextData()
    model: Gpt = Gpt()
    optimizer: Optimizer = Optimizer(
        "adamw", learning_rate=3e-3, warmup_steps=50, weight_decay=0.1, b2=0.95, clip=1.0
    )
    sampling: Sampling = Sampling()
    teacher: Teacher = Teacher()
    run: Run = Run(steps=400, eval_every=200)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    text = read(config, assets)
    sizes = {"vocab_size": text.tokenizer.vocab_size, "context": config.data.context}
    limit = config.model.decoder(**sizes).limit
    most = longest_prompt(limit, config.sampling, context=config.data.context)
    asked = predictor(config, text.data.assets)
    experiment = language_model(
        config.begin(config.model.build(**sizes), assets),
        text.data if text.data.inputs else with_prompts(text.data, most),
        text.tokenizer.characters,
        config.optimizer,
        steps=config.run.total_steps(text.data.steps_per_epoch),
        balance=config.model.balance if config.model.experts else None,
        teaching=load_teacher(config.teacher, text.data, assets),
        show=sampler(asked, config.sampling.prompt, text.opening),
    )
    flops = train_flops(config.model, batch_size=config.data.batch_size, **sizes)
    return experiment._replace(flops=flops)


def read(config: Config, assets: Assets | None) -> Text:
    """The data: a text, or dialogues as those of the model that this one begins with."""
    tokenizer = config.tokenizer(assets)
    if config.data.name != "dialogues":
        return load_text(config.data, assets, tokenizer)
    chat = chat_of(config.source.facts) if tokenizer else None
    return load_dialogues(config.data, assets, tokenizer, chat)


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: how a prompt goes on."""
    tokenizer = read_tokenizer(assets)
    sizes = {"vocab_size": tokenizer.vocab_size, "context": config.data.context}
    return prompt_predictor(
        config.model.decoder(**sizes),
        tokenizer,
        config.sampling,
        context=config.data.context,
        model=config.model.build(**sizes),
        chat=read_chat(assets),
    )


def sampler(asked: Predictor, prompt: str, opening: str) -> Callable[[Variables], Shown]:
    """What to show: the prompt, or else the text's first word, and how it goes on."""
    try:
        batch = asked.encode([prompt or Beginning(opening)])
    except InputError as error:
        raise InputError(f"--sampling.prompt cannot be used: {error}") from None
    sample = jax.jit(asked.apply)

    def show(variables: Variables) -> Shown:
        [following] = asked.decode(sample(variables, batch))
        return {"sample": (prompt or opening) + following["text"]}

    return show


TINY = (
    "--model.layers=2",
    "--model.width=32",
    "--data.context=32",
    "--data.batch-size=8",
    "--data.validation=0.01",
    "--data.test=0.01",
    "--sampling.tokens=16",
    "--run.steps=60",
)


if __name__ == "__main__":
    main(build, Config())
