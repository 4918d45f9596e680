"""What a run keeps of its texts encodes prompts, masked texts and words as the data was."""

import functools

import numpy as np
import pytest

from bigmodel.data import (
    Masking,
    MaskReader,
    PromptReader,
    TextData,
    WordData,
    load_text,
    load_words,
    masked,
    masks_of,
    read_tokenizer,
    word_reader,
)
from bigmodel.data.texts.ngrams import Counted, counted
from bigmodel.experiment import InputError
from bigmodel.predictor import Beginning

TIME = 24


@functools.cache
def text(kind="bpe"):
    return load_text(TextData(tokenizer=kind, vocab_size=400, context=TIME, batch_size=16))


@functools.cache
def readers():
    tokenizer = read_tokenizer(text().data.assets)
    return {
        "prompt": PromptReader(tokenizer, TIME, seed=-1),
        "mask": MaskReader(tokenizer, TIME, masks_of(0.15, TIME)),
        "word": word_reader(load_words(WordData(minimum_count=50)).data.assets),
    }


@pytest.mark.parametrize("split", ["validation", "test"])
def test_masked_windows_are_encoded_as_the_batches_are(split):
    data = masked(text().data, Masking(), vocab_size=400)
    inputs, batches = data.inputs[split], data.splits[split]
    rows = 16 * (len(batches) - 1) + int((batches[-1]["length"] > 0).sum())
    assert len(inputs) == rows > 100
    assert len(inputs[rows - 1]["tokens"]) == batches[-1]["length"].max(
        where=batches[-1]["length"] < TIME, initial=0
    )
    for name, array in readers()["mask"].encode(list(inputs)).items():
        expected = np.concatenate([batch[name] for batch in batches])[:rows]
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype


def test_masks_in_a_text_stand_between_the_tokens_of_its_parts():
    reader = readers()["mask"]
    encode = reader.tokenizer.encode
    found = reader.encode(["[MASK] the list[MASK]"])
    ids = [400, *encode(" the list"), 400]
    np.testing.assert_array_equal(found["tokens"][0, : len(ids)], ids)
    assert found["length"].tolist() == [len(ids)]
    assert found["chosen"].tolist() == [[0, len(ids) - 1, 0, 0]]
    assert found["weight"].tolist() == [[1, 1, 0, 0]]
    again = reader.encode([{"tokens": ids, "chosen": [0, len(ids) - 1]}])
    for name, array in found.items():
        np.testing.assert_array_equal(array, again[name])


def test_prompts_are_read_together_for_a_power_of_two_and_then_by_themselves():
    reader = readers()["prompt"]
    ids = np.arange(17) * 3
    given = [ids.tolist(), {"prompt": ids[:7].tolist(), "seed": 5}]
    found = reader.encode(given)
    np.testing.assert_array_equal(found["tokens"], [ids[:4], ids[:4]])
    assert found["rest"].shape == (2, TIME - 4)
    np.testing.assert_array_equal(found["rest"][0, :13], ids[4:])
    np.testing.assert_array_equal(found["rest"][1, :3], ids[4:7])
    assert found["length"].tolist() == [17, 7]
    assert found["seed"].tolist() == [(1 << 32) - 1, 5]
    long = "many words " * 20
    whole = reader.tokenizer.encode(long)
    cut = reader.encode([Beginning(long)])
    np.testing.assert_array_equal(np.hstack([cut["tokens"], cut["rest"]])[0], whole[:TIME])


def test_sums_of_words_have_a_sign_for_each():
    reader = readers()["word"]
    found = reader.encode(["the", "List - object+\nMODULE"])
    numbers = [reader.vocabulary.index(word) for word in ("the", "list", "object", "module")]
    assert found["centre"].tolist() == numbers[:2]
    assert found["others"][:, :3].tolist() == [[0, 0, 0], [*numbers[2:], 0]]
    assert found["signs"][:, :3].tolist() == [[0, 0, 0], [-1, 1, 0]]


WRONG = [
    ("prompt", 3, r"it is no text: 3"),
    ("prompt", "", r"it is empty; give a text"),
    ("prompt", [], r"it is empty; give a text"),
    ("prompt", [400], r"no list of token ids from 0 to 399: \[400\]"),
    ("prompt", [True], r"no list of token ids"),
    ("prompt", [[1]], r"no list of token ids"),
    ("prompt", "\ud800", r"half of a surrogate pair"),
    ("prompt", "many words " * 20, r"tokens, and the model reads 24; .*--cut"),
    ("prompt", {"prompt": "a", "seed": -1}, r"its seed is no number from 0 to 4294967295: -1"),
    ("prompt", {"prompt": "a", "seed": "b"}, r"its seed is no number"),
    ("prompt", {"prompt": {"prompt": "a"}}, r"it is no text"),
    ("prompt", {"text": "a"}, r'write {"prompt": "a text", "seed": 1}'),
    ("mask", None, r"it is no text: None"),
    ("mask", "no mask", r"it has no mask; write \[MASK\]"),
    ("mask", "[MASK]" * 5, r"it has 5 masks, and the model fills in 4 at once"),
    ("mask", "many words " * 20 + "[MASK]", r"tokens, and the model reads 24"),
    ("mask", Beginning("many words " * 20 + "[MASK]"), r"it has no mask"),
    ("mask", {"tokens": [1]}, r'write {"tokens": \[..\], "chosen": \[..\]}'),
    ("mask", {"tokens": [401], "chosen": [0]}, r"no list of token ids from 0 to 400"),
    ("mask", {"tokens": [400], "chosen": [1]}, r"no list of positions in its tokens from 0 to 0"),
    ("mask", {"tokens": [400, 1], "chosen": [1]}, r"a mask at a position that is not chosen"),
    ("mask", {"tokens": [400, 1], "chosen": [1, 0]}, r"its positions do not rise"),
    ("mask", {"tokens": [], "chosen": []}, r"it has no mask"),
    ("word", 1.5, r"it is no text: 1.5"),
    ("word", "", r"it is no word, nor a sum"),
    ("word", "the list", r"it is no word, nor a sum"),
    ("word", "the - ", r"it is no word, nor a sum"),
    ("word", "objcet", r"'objcet' is not among the \d+ words of the run; did you mean object"),
    ("word", "2024", r"'2024' is not among the \d+ words of the run$"),
    ("word", "+".join(["the"] * 9), r"it has 9 words, and a sum has up to 8"),
]


@pytest.mark.parametrize(("reader", "wrong", "said"), WRONG)
def test_what_cannot_be_encoded_is_refused(reader, wrong, said):
    with pytest.raises(InputError, match=said) as refused:
        readers()[reader].encode([wrong])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["bpe", "byte", "char"])
def test_a_whole_other_text_is_the_test_split_in_the_tokens_of_a_run(kind, tmp_path):
    path = tmp_path / "other.txt"
    path.write_text("def spam(eggs): return eggs\n" * 3)
    options = TextData(path=str(path), context=8, batch_size=64, vocab_size=300)
    other = load_text(options, text(kind).data.assets)
    assert other.data.assets == text(kind).data.assets
    assert list(other.data.splits) == ["test"]
    [batch] = other.data.splits["test"]
    ids = text(kind).tokenizer.encode(path.read_text())
    real = batch["weight"] > 0
    np.testing.assert_array_equal(batch["targets"][real], ids[1:])


def test_all_words_that_a_run_knows_are_its_test_split(tmp_path):
    path = tmp_path / "other.txt"
    path.write_text("the object is a list and spamspam of the object\n" * 9)
    run = load_words(WordData())
    other = load_words(WordData(path=str(path), window=2), run.data.assets)
    assert other.data.assets == run.data.assets
    np.testing.assert_array_equal(other.counts, run.counts)
    assert list(other.data.splits) == ["test"]
    [batch] = other.data.splits["test"]
    seen = {other.vocabulary[number] for number in batch["centre"][batch["weight"] > 0]}
    assert seen <= {"the", "object", "is", "a", "list", "and", "of"}


def test_what_was_counted_in_the_training_text_is_kept():
    kept = Counted(3, np.array([1, 2, 3, 0], np.int32))
    found = counted(kept.dump())
    assert found.often == 3
    np.testing.assert_array_equal(found.followers, kept.followers)
