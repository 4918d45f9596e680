"""The tokens for the masks of a text, by falling probability."""

import jax
import numpy as np
import pytest
from initial import initial

from bigmodel.data.texts.reading import MaskReader
from bigmodel.data.texts.tokenizers import byte_tokenizer, char_tokenizer
from bigmodel.models.texts.bert import Bert
from bigmodel.training.texts.filling import BEST, mask_predictor, token_name

TEXTS = ["a[MASK]cd[MASK]", "[MASK]bc"]


@pytest.mark.parametrize("letters", ["abcdefg", "abcdefghijklmnopqrstuvwxyz"])
def test_masks_have_the_likeliest_tokens_and_the_text_is_filled_in_with_them(letters):
    tokenizer = char_tokenizer(letters)
    sizes = {"vocab_size": len(letters), "context": 8}
    model = Bert(layers=1, width=16, heads=2).masked(**sizes)
    asked = mask_predictor(model, MaskReader(tokenizer, 8, 3))
    batch = asked.encode(TEXTS)
    variables = initial(model.init, jax.random.key(0), batch)
    variables = jax.tree.map(lambda leaf: 4 * leaf, variables)
    found = asked.decode(jax.jit(asked.apply)(variables, batch))
    logits = jax.jit(lambda v, b: model.apply(v, b, train=False, key=None)[0])(variables, batch)
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    for text, answer, rows in zip(TEXTS, found, expected, strict=True):
        for mask, row in zip(answer["masks"], rows, strict=False):
            order = np.argsort(-row)[:BEST]
            assert list(mask) == [letters[index] for index in order]
            np.testing.assert_allclose(list(mask.values()), row[order], rtol=1e-5)
        assert len(answer["masks"]) == text.count("[MASK]")
        for mask in answer["masks"]:
            text = text.replace("[MASK]", next(iter(mask)), 1)
        assert answer["text"] == text


def test_a_part_of_a_character_goes_by_its_number():
    assert token_name(65, byte_tokenizer()) == "A"
    assert token_name(0xC3, byte_tokenizer()) == "<195>"
