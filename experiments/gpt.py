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

A mixture of eight experts (Shazeer et al., 2017), two for each token. `train/loss` then holds
the weighted `train/load_balance` too, `train/nats` does not, and `train/expert_load` says how
much the busiest expert of all blocks gets, as a multiple of its even share:

    python experiments/gpt.py --model.experts 8 --model.expansion 2 --model.capacity 1.25
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.data import Text, TextData, load_text
from bigmodel.experiment import Experiment, Shown, Variables
from bigmodel.models import Gpt, Sampling, check_length, generate, train_flops
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import Optimizer, language_model


@dataclass(frozen=True)
class Config(Settings):
    """A causal language model and how it is trained."""

    data: TextData = TextData()
    model: Gpt = Gpt()
    optimizer: Optimizer = Optimizer(
        "adamw", learning_rate=3e-3, warmup_steps=50, weight_decay=0.1, b2=0.95, clip=1.0
    )
    sampling: Sampling = Sampling()
    run: Run = Run(steps=400, eval_every=200)


def build(config: Config) -> Experiment:
    """The experiment of a config."""
    text = load_text(config.data)
    sizes = {"vocab_size": text.tokenizer.vocab_size, "context": config.data.context}
    experiment = language_model(
        config.model.build(**sizes),
        text.data,
        text.tokenizer.characters,
        config.optimizer,
        steps=config.run.total_steps(text.data.steps_per_epoch),
        balance=config.model.balance if config.model.experts else None,
        show=sampler(config, text),
    )
    flops = train_flops(config.model, batch_size=config.data.batch_size, **sizes)
    return experiment._replace(flops=flops)


def sampler(config: Config, text: Text) -> Callable[[Variables], Shown]:
    """What to show: the prompt, and a continuation."""
    sampling, tokenizer = config.sampling, text.tokenizer
    decoder = config.model.decoder(vocab_size=tokenizer.vocab_size, context=config.data.context)
    prompt = tokenizer.encode(sampling.prompt or text.opening)[None]
    check_length(decoder, prompt=prompt.shape[1], tokens=sampling.tokens)

    @jax.jit
    def sample(variables: Variables) -> jax.Array:
        return generate(
            decoder,
            variables["params"],
            jnp.asarray(prompt),
            key=jax.random.key(sampling.seed),
            tokens=sampling.tokens,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
        )

    def show(variables: Variables) -> Shown:
        following = np.asarray(sample(variables))
        return {"sample": tokenizer.decode(np.concatenate([prompt, following], axis=1)[0])}

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
