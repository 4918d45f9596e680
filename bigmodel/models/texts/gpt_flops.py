"""FLOPs of a GPT by the textbook's formula."""

from __future__ import annotations

from bigmodel.models.texts.gpt import Gpt


def train_flops(options: Gpt, *, vocab_size: int, context: int, batch_size: int) -> float:
    """FLOPs of a training step: ``6 N D`` and those of the attention, causal at half.

    ``N`` are the parameters that a token meets in matrix products, the output layer and the
    experts that it chooses among them, the embedding's table not; ``D`` are the tokens. The
    forward pass of attention takes 4 FLOPs for each feature of all heads and each pair of positions
    that see each other, the backward pass twice as many (Kaplan et al., 2020; Chowdhery et al.,
    2022).
    A window of ``W`` of ``T`` positions lets one see ``W - W^2 / 2T`` on average, the whole
    context half of it; ``G`` global tokens before it are ``G (T - W - G / 2) / T`` more.
    """
    width = options.width
    shared = (options.kv_heads or options.heads) / options.heads
    heads = options.heads * options.size
    attention = 2 * width * heads + 2 * shared * width * heads
    matrices = 3 if options.activation == "swiglu" else 2
    feed_forward = matrices * width * round(options.expansion * width)
    if options.experts:
        feed_forward = feed_forward * options.experts_per_token + width * options.experts
    parameters = options.layers * (attention + feed_forward) + width * vocab_size
    window = min(options.window or context, context)
    first = min(options.global_tokens, context - window)
    visible = window - window**2 / (2 * context)
    visible += first * (context - window - first / 2) / context
    each = 6 * parameters + 12 * options.layers * heads * visible
    return each * batch_size * context
