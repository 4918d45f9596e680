"""Tokenizers with an end token, and of bare ids."""

import pickle

import numpy as np
import pytest

from bigmodel.data.texts.shards.vocabularies import beside, end_of, ended, id_tokenizer
from bigmodel.data.texts.tokenizers import byte_tokenizer, learn_tokenizer, load

TEXT = "Größe 12 €\r\nsecond 👩‍👩‍👧 line\n"


@pytest.fixture(params=["char", "byte", "bpe"])
def tokenizer(request):
    return ended(learn_tokenizer(request.param, train=[5 * TEXT], others=[], size=280))


def test_the_end_is_one_id_more_that_no_other_text_has(tokenizer):
    end = end_of(tokenizer)
    assert end == tokenizer.vocab_size - 1
    assert end not in tokenizer.encode(TEXT)
    ids = tokenizer.encode(f"{TEXT}<|endoftext|>{TEXT}<|endoftext|>")
    assert np.flatnonzero(ids == end).tolist() == [len(ids) // 2 - 1, len(ids) - 1]
    assert tokenizer.decode(ids) == f"{TEXT}<|endoftext|>{TEXT}<|endoftext|>"


def test_characters_are_those_of_documents(tokenizer):
    ids = tokenizer.encode(f"{TEXT}<|endoftext|>{TEXT}")
    assert tokenizer.characters[ids].sum() == 2 * len(TEXT)


def test_a_saved_tokenizer_is_the_same_after_loading(tokenizer):
    loaded = load(tokenizer.dump())
    assert loaded.dump() == tokenizer.dump()
    assert loaded.special == tokenizer.special
    np.testing.assert_array_equal(loaded.encode(TEXT), tokenizer.encode(TEXT))


def test_ids_without_a_text_are_written_as_numbers(refused):
    tokenizer = load(id_tokenizer(100).dump())
    assert tokenizer.vocab_size == 100
    assert tokenizer.encode(tokenizer.decode([5, 99, 0])).tolist() == [5, 99, 0]
    for text in ("five", "100", "-1", "9" * 30):
        with refused("is not written in token ids, numbers from 0 to 99"):
            tokenizer.encode(text)


def test_the_tokenizer_of_a_folder_is_its_file_or_that_of_nanogpt(tmp_path, refused):
    assert beside(tmp_path) is None
    meta = tmp_path / "meta.pkl"
    known = "\n !abc"
    meta.write_bytes(pickle.dumps({"vocab_size": 6, "itos": dict(enumerate(known))}))
    found = beside(tmp_path)
    assert found is not None
    assert found.encode("cab!").tolist() == [5, 3, 4, 2]
    for value, message in (
        ({"itos": print}, "has a builtins.print"),
        ({"itos": {0: "b", 1: "a"}}, "in the order of Unicode"),
        ({"stoi": {}}, "is no meta.pkl of characters"),
    ):
        meta.write_bytes(pickle.dumps(value))
        with refused(f"{meta}.* {message}"):
            beside(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(byte_tokenizer().dump())
    assert beside(tmp_path).vocab_size == 256
