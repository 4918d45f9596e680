import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigmodel.models.texts.beam import BOUNDARY, Beam, search

VOCABULARY, LENGTH, SOURCES = 3, 4, 5


def tables(seed):
    """Log probabilities of the next token by source, position and the two tokens before."""
    logits = jax.random.normal(
        jax.random.key(seed), (SOURCES, LENGTH, VOCABULARY, VOCABULARY, VOCABULARY)
    )
    return np.asarray(jax.nn.log_softmax(2.0 * logits, axis=-1), np.float64)


def decoder(table, beams):
    """A decoder whose state is each row's source and the token before the last one."""
    table = jnp.asarray(table, jnp.float32)

    def step(tokens, position, state):
        source, before = state
        return table[source, position, before, tokens], (source, tokens)

    rows = jnp.repeat(jnp.arange(SOURCES, dtype=jnp.int32), beams)
    return step, (rows, jnp.zeros_like(rows))


def score(table, source, tokens, penalty):
    total, before, last = 0.0, BOUNDARY, BOUNDARY
    for position, token in enumerate(tokens):
        total += table[source, position, before, last, token]
        before, last = last, token
    return total / ((5 + len(tokens)) / 6) ** penalty


def every_sequence():
    """All that end with the first BOUNDARY, or are as long as they may be."""
    symbols = range(1, VOCABULARY)
    for length in range(LENGTH):
        for tokens in itertools.product(symbols, repeat=length):
            yield (*tokens, BOUNDARY)
    yield from itertools.product(symbols, repeat=LENGTH)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_beam_as_wide_as_the_tree_finds_the_best_of_all_sequences(penalty):
    table, beams = tables(0), VOCABULARY**LENGTH
    step, state = decoder(table, beams)
    beam = Beam(beams, length_penalty=penalty)
    found = jax.jit(lambda state: search(step, state, batch=SOURCES, length=LENGTH, beam=beam))(
        state
    )
    for source in range(SOURCES):
        scores = {tokens: score(table, source, tokens, penalty) for tokens in every_sequence()}
        best = max(scores, key=scores.__getitem__)
        padded = [*best, *[BOUNDARY] * (LENGTH - len(best))]
        np.testing.assert_array_equal(found.tokens[source], padded)
        np.testing.assert_allclose(found.score[source], scores[best], rtol=1e-5)


def test_two_hypotheses_find_what_greedy_gives_up_too_early():
    # The likelier first token leads to nothing certain, the other one to a certain end.
    table = np.full((SOURCES, LENGTH, VOCABULARY, VOCABULARY, VOCABULARY), 1 / VOCABULARY)
    table[:, 0] = [1e-9, 0.6, 0.4]
    table[:, 1:, :, 2] = [1, 1e-9, 1e-9]
    probabilities = []
    for beams in (1, 2):
        step, state = decoder(np.log(table), beams)
        beam = Beam(beams, length_penalty=0.0)
        found = search(step, state, batch=SOURCES, length=LENGTH, beam=beam)
        probabilities.append(np.exp(found.score[0]))
    np.testing.assert_allclose(probabilities, [0.6 / VOCABULARY, 0.4], rtol=1e-5)


def test_longer_sequences_win_with_a_larger_penalty():
    # Ending at once has probability 0.5, going on to the end 0.5 * 0.9 ** 3.
    table = np.full((SOURCES, LENGTH, VOCABULARY, VOCABULARY, VOCABULARY), 1e-9)
    table[:, 0, ..., 0], table[:, 0, ..., 1] = 0.5, 0.5 - 1e-9
    table[:, 1:, ..., 0], table[:, 1:, ..., 1] = 0.1, 0.9
    lengths = []
    for penalty in (0.0, 2.0):
        step, state = decoder(np.log(table), 4)
        beam = Beam(4, length_penalty=penalty)
        found = search(step, state, batch=SOURCES, length=LENGTH, beam=beam)
        lengths.append(int((found.tokens[0] != BOUNDARY).sum()))
    assert lengths == [0, LENGTH]
