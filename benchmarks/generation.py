"""Tokens a second of generation, beside the same sizes in transformers on PyTorch.

    python benchmarks/generation.py             # with torch and transformers where they are

GPT-2 with 6 layers of width 384, context 256 and the vocabulary of the default BPE, random weights:
200 tokens drawn after a prompt of 16, with the cache. Both take turns, so that what else the
machine does is the same for both; the best of the rounds counts. Compiling is not measured.
`--cpu-time` measures processor time on one thread instead, for a machine that has other work.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

LAYERS, WIDTH, HEADS, CONTEXT, VOCAB = 6, 384, 6, 256, 1024
PROMPT, TOKENS = 16, 200


def ours(batch: int) -> Callable[[], object]:
    """A generation by this package."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from bigmodel.models.texts.generation import Prompts, Sampling, continuation, generate
    from bigmodel.models.texts.gpt import Gpt

    sizes: dict[str, Any] = {"layers": LAYERS, "width": WIDTH, "heads": HEADS}
    options = Gpt(**sizes, norm="layer", biases=True, positions="learned")
    model = options.build(vocab_size=VOCAB, context=CONTEXT)
    decoder = options.decoder(vocab_size=VOCAB, context=CONTEXT)
    tokens = np.ones((batch, PROMPT), np.int32)
    variables = jax.jit(model.init)(jax.random.key(0), {"tokens": tokens})
    rest = np.zeros((batch, CONTEXT - TOKENS - PROMPT + 1), np.int32)
    lengths, seeds = np.full(batch, PROMPT, np.int32), np.arange(batch, dtype=np.uint32)
    prompts = Prompts(*map(jnp.asarray, (tokens, rest, lengths, seeds)))
    following = continuation(decoder, Sampling(temperature=1.0))
    run = jax.jit(lambda params: generate(following, params, prompts, tokens=TOKENS))
    return lambda: jax.block_until_ready(run(variables["params"]))


def theirs(batch: int) -> Callable[[], object]:
    """A generation by transformers, in eager mode."""
    torch, transformers = import_module("torch"), import_module("transformers")

    sizes = {"n_layer": LAYERS, "n_embd": WIDTH, "n_head": HEADS, "n_positions": CONTEXT}
    config = transformers.GPT2Config(vocab_size=VOCAB, **sizes, bos_token_id=0, eos_token_id=None)
    model = transformers.GPT2LMHeadModel(config).eval()
    tokens = torch.ones((batch, PROMPT), dtype=torch.long)
    options = {"max_new_tokens": TOKENS, "do_sample": True, "top_k": 0, "pad_token_id": 0}
    options["attention_mask"] = torch.ones_like(tokens)

    def run() -> object:
        with torch.inference_mode():
            found = model.generate(tokens, **options)
        assert found.shape == (batch, PROMPT + TOKENS)
        return found

    return run


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    """Prints a line for each batch size."""
    parsed = read_options(sys.argv[1:])
    clock = time.perf_counter
    if parsed.cpu_time:
        clock = time.process_time
        os.environ["OMP_NUM_THREADS"] = "1"
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    contestants = {"bigmodel": ours}
    if find_spec("torch") and find_spec("transformers"):
        contestants["transformers"] = theirs
    for batch in (1, 8):
        runs = {name: make(batch) for name, make in contestants.items()}
        seconds = {name: float("inf") for name in runs}
        for run in runs.values():
            run()
        for _ in range(parsed.rounds):
            for name, run in runs.items():
                start = clock()
                run()
                seconds[name] = min(seconds[name], clock() - start)
        found = (f"{name} {batch * TOKENS / best:,.0f}" for name, best in seconds.items())
        print(f"batch {batch}, tokens a second: {', '.join(found)}", flush=True)


if __name__ == "__main__":
    main()
