"""Pieces of words, as BERT's tokenizer.json has them; the texts are of its own tests."""

import json

import numpy as np
import pytest
from word_pieces import VOCABULARY, content

from bigmodel.data.texts.labelled_text import LabelledTextData, load_labelled_text
from bigmodel.data.texts.masking import Masking, mask
from bigmodel.data.texts.reading import MaskReader, TextReader, text_reader
from bigmodel.data.texts.tokenizers import load
from bigmodel.experiment import InputError
from bigmodel.predictor import Beginning

UNKNOWN, SEPARATOR, MASK, WANT, UN, LOW = 1, 3, 4, 5, 9, 13
TOKENIZER = load(content())


def test_words_are_their_longest_pieces_and_nothing_is_cut_filled_or_special():
    found = TOKENIZER.encode("UNwant\u00c9d,running\nlowest [SEP] unwantedX")
    pieces = [VOCABULARY[index] for index in found]
    expected = ["un", "##want", "##ed", ",", "runn", "##ing", "lowest", "[", "sep", "]", "[UNK]"]
    assert pieces == expected
    assert TOKENIZER.decode(found[:7]) == "unwanted, running lowest"
    assert TOKENIZER.characters[found[:3]].tolist() == [2, 4, 2]
    assert TOKENIZER.special == {"first": 2, "separator": SEPARATOR, "mask": MASK}
    again = load(TOKENIZER.dump())
    np.testing.assert_array_equal(
        again.encode("unwanted, lowest"), TOKENIZER.encode("unwanted, lowest")
    )
    assert again.special == TOKENIZER.special


def test_a_separator_ends_each_part_of_a_text_also_where_it_is_cut():
    reader = TextReader(("a", "b"), 5, TOKENIZER)
    texts = ["low", "low\tun", Beginning("low low low low low low")]
    found = reader.encode(texts)
    assert found["tokens"].tolist() == [
        [LOW, SEPARATOR, 0, 0, 0],
        [LOW, SEPARATOR, UN, SEPARATOR, 0],
        [LOW, LOW, LOW, LOW, SEPARATOR],
    ]
    assert found["length"].tolist() == [2, 4, 5]
    with pytest.raises(InputError, match="it has 7 tokens, and the model reads 5"):
        reader.encode(["low low low low low low"])
    with pytest.raises(InputError, match="it is empty"):
        reader.encode(["\t"])


def test_labelled_texts_are_encoded_as_their_reader_does(tmp_path):
    lines = ["a\tlow", "b\tun\twant", "a\tlow low low low", "b\tunwanted low low"] * 3
    (tmp_path / "texts.tsv").write_text("\n".join(lines))
    options = LabelledTextData(
        path=str(tmp_path / "texts.tsv"), length=4, batch_size=2, validation=0, test=0.5
    )
    data, reader = load_labelled_text(options, TOKENIZER)
    assert reader.time == 4
    batches = data.splits["test"]
    inputs = reader.encode(data.inputs["test"])
    tokens = np.concatenate([batch["tokens"] for batch in batches])[: len(inputs["tokens"])]
    np.testing.assert_array_equal(tokens, inputs["tokens"])
    assert (np.take_along_axis(tokens, inputs["length"][:, None] - 1, 1) == SEPARATOR).all()
    assert text_reader(reader.dump()).tokenizer.special == TOKENIZER.special


def test_masks_are_the_vocabularys_own():
    found = MaskReader(TOKENIZER, 6, 2).encode(["low [MASK] un [MASK]"])
    assert found["tokens"].tolist() == [[LOW, MASK, UN, MASK, SEPARATOR, 0]]
    assert found["chosen"].tolist() == [[1, 3]]
    window = {"tokens": np.full((8, 6), LOW, np.int32), "weight": np.ones((8, 6), np.float32)}
    every = Masking(fraction=0.5, masked=1.0, replaced=0.0)
    ids = {"vocab_size": TOKENIZER.vocab_size, "token": TOKENIZER.mask}
    batch = mask(window, every, np.random.default_rng(0), **ids)
    assert (np.take_along_axis(batch["tokens"], batch["chosen"], 1) == MASK).all()


def test_pieces_without_the_tokens_of_bert_are_refused():
    with pytest.raises(InputError, match=r"no \[MASK\]"):
        load(content((*VOCABULARY[:4], "[other]", *VOCABULARY[5:])))


@pytest.mark.parametrize(
    "saved",
    [
        b"null",
        b'{"type": "char"}',
        b'{"type": "char", "characters": 5}',
        b'{"type": "word", "words": 5}',
        b'{"type": "ids"}',
        b'{"type": "ended"}',
        b'{"type": "byte"}'[:-1],
        b"{}",
    ],
)
def test_a_damaged_file_is_a_line(saved):
    with pytest.raises(InputError, match=r"the tokenizer.json cannot be read"):
        load(saved)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vocab": {**dict.fromkeys(VOCABULARY, 0), "z": 4_000_000_000}}, "go up to 4000000000"),
        ({"type": "WordLevel", "vocab": {"a": 0}}, "is a WordLevel; BPE and WordPiece are read"),
    ],
)
def test_what_no_vocabulary_is_is_refused_before_it_takes_memory(change, said):
    saved = json.loads(content())
    with pytest.raises(InputError, match=said):
        load(json.dumps({**saved, "model": saved["model"] | change}).encode())
    with pytest.raises(InputError, match="go up to 3999999999"):
        load(b'{"type": "ids", "vocab_size": 4000000000}')


def test_what_has_no_token_for_a_text_is_a_line():
    saved = json.loads(content())
    saved["model"]["vocab"] = {t: n for n, t in enumerate(VOCABULARY) if t != "[UNK]"}
    saved["added_tokens"] = []
    with pytest.raises(InputError, match=r"cannot encode 'xyz': .*Missing \[UNK\] token"):
        load(json.dumps(saved).encode()).encode("xyz")
    with pytest.raises(InputError, match="'x' is not among the 0 of the data"):
        load(b'{"type": "char", "characters": ""}').encode("xyz")
