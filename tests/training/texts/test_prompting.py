"""How prompts go on: in one batch as alone, piece by piece as at once."""

import functools

import jax
import numpy as np
import pytest
from initial import initial
from rare import rare

from bigmodel.data.texts.tokenizers import byte_tokenizer
from bigmodel.experiment import InputError
from bigmodel.models.texts.generation import Sampling
from bigmodel.models.texts.gpt import Gpt
from bigmodel.training.texts.prompting import answer, end_of, pieces, prompt_predictor

CONTEXT = 32
BYTES = byte_tokenizer()


@functools.cache
def trained(positions="rotary"):
    options = Gpt(layers=2, width=16, heads=2, positions=positions)
    sizes = {"vocab_size": 256, "context": CONTEXT}
    batch = {"tokens": np.zeros((1, CONTEXT), np.int32)}
    variables = initial(options.build(**sizes).init, jax.random.key(0), batch)
    return options.decoder(**sizes), jax.tree.map(lambda leaf: 3 * leaf, variables)


def predictor(positions="rotary", **options):
    decoder, _ = trained(positions)
    return prompt_predictor(decoder, BYTES, Sampling(**options), context=CONTEXT)


PROMPTS = ["a", "a longer one", {"prompt": "äöü", "seed": 7}, [0, 255, 32]]


@pytest.mark.parametrize(
    "options", [rare({"temperature": 0.0}), rare({}), {"top_k": 9, "top_p": 0.9}], ids=str
)
def test_a_prompt_is_continued_as_alone_and_piece_by_piece_as_at_once(options):
    asked = predictor(tokens=9, **options)
    _, variables = trained()
    apply = jax.jit(asked.apply)
    together = asked.decode(apply(variables, asked.encode(PROMPTS)))
    for prompt, found in zip(PROMPTS, together, strict=True):
        [alone] = asked.decode(apply(variables, asked.encode([prompt])))
        assert found == alone
        assert len(found["tokens"]) == 9
        assert "".join(asked.stream(variables, prompt)) == found["text"]


def test_a_stream_draws_no_more_after_a_stop_text():
    _, variables = trained()
    [whole] = predictor(tokens=20).decode(
        jax.jit(predictor(tokens=20).apply)(variables, predictor().encode(["a"]))
    )
    first = whole["text"][0]
    assert list(predictor(tokens=20, stop=(first,)).stream(variables, "a")) == []


def test_learned_positions_leave_room_for_the_new_tokens():
    asked = predictor("learned", tokens=CONTEXT - 3)
    assert asked.encode(["four"])["length"] == [4]
    with pytest.raises(InputError, match="it has 5 tokens, and the model reads 4"):
        asked.encode(["fives"])
    with pytest.raises(InputError, match=r"--sampling.tokens 33 do not fit into 32 learned pos"):
        predictor("learned", tokens=CONTEXT + 1)


def test_random_bytes_come_in_whole_characters_up_to_the_first_stop_text():
    random = np.random.default_rng(0)
    alphabet = "aabé€😀".encode()
    stopped = 0
    for _ in range(400):
        ids = np.frombuffer(alphabet, np.uint8)[random.integers(len(alphabet), size=12)]
        stops = tuple({"".join(random.choice(["a", "b", "é"], size=n)) for n in (2, 3)})
        found = answer(ids.astype(np.int32), BYTES.decode, stops)
        parts = list(pieces(ids.tolist(), BYTES.decode, stops))
        assert "".join(parts) == found["text"]
        assert all(parts)
        whole = BYTES.decode(ids)
        assert whole.startswith(found["text"])
        made = BYTES.decode(np.array(found["tokens"], np.int32))
        if found["text"] == whole:
            assert found["tokens"] == ids.tolist()
        else:
            stopped += 1
            assert made.endswith(stops)
            assert end_of(BYTES.decode(ids[: len(found["tokens"]) - 1]), stops) is None
    assert 20 < stopped < 380


@pytest.mark.parametrize(
    ("text", "stops", "end"),
    [
        ("abcdef", ("abcdef", "cd"), 2),
        ("abcdef", ("d", "cd"), 2),
        ("abcdef", ("x", "f"), 5),
        ("abcdef", ("x",), None),
        ("abcdef", (), None),
    ],
)
def test_a_text_ends_before_the_stop_text_that_is_complete_first(text, stops, end):
    assert end_of(text, stops) == end


def test_pieces_come_as_soon_as_they_can_be_no_part_of_a_stop_text():
    ids = BYTES.encode("a€END").tolist()
    assert list(pieces(iter(ids), BYTES.decode, ("ENDE",))) == ["a", "€", "END"]
    assert list(pieces(iter(ids), BYTES.decode, ("END",))) == ["a", "€"]


def test_an_empty_stop_text_is_refused():
    with pytest.raises(InputError, match=r"--sampling.stop has an empty text"):
        Sampling(stop=("a", ""))
