import pydoc_data.topics

import numpy as np
import pytest

from bigmodel.data.texts import tokenizers
from bigmodel.data.texts.text import TextData, load_text

AWKWARD = (
    "Größe 12 €, naïve café\r\nsecond line\r\n\r\n\ttabs  and   spaces \n"
    "日本語のテキスト 👩‍👩‍👧 🏳️‍🌈 e\u0301 \u2028 \x00 \ufeff<|endoftext|> [UNK]\n\n\nend"
)
KINDS = ["char", "byte", "bpe"]


def tokenizer_of(kind, text):
    return tokenizers.learn_tokenizer(kind, train=[text], others=[], size=300)


@pytest.fixture
def written(write):
    """A file with a text, and the options to read it in small windows."""

    def written(text, **options):
        small = {"tokenizer": "char", "context": 7, "batch_size": 3}
        return TextData(path=write(text, "text.txt"), **{**small, **options})

    return written


@pytest.mark.parametrize("kind", KINDS)
def test_decoded_tokens_are_the_text(kind):
    tokenizer = tokenizer_of(kind, 3 * AWKWARD)
    for text in (AWKWARD, 40_000 * "no line ends ", 30_000 * "lines 👧\r\n", "\n", ""):
        if kind == "char":
            tokenizer = tokenizers.char_tokenizer(text or "a")
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int32
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("kind", KINDS)
def test_characters_of_the_tokens_add_up_to_those_of_the_text(kind):
    tokenizer = tokenizer_of(kind, AWKWARD)
    assert tokenizer.characters.shape == (tokenizer.vocab_size,)
    assert tokenizer.characters[tokenizer.encode(AWKWARD)].sum() == len(AWKWARD)


@pytest.mark.parametrize("kind", [*KINDS, "word"])
def test_a_saved_tokenizer_is_the_same_after_loading(kind):
    tokenizer = tokenizer_of(kind, AWKWARD)
    loaded = tokenizers.load(tokenizer.dump())
    np.testing.assert_array_equal(loaded.encode(AWKWARD), tokenizer.encode(AWKWARD))
    np.testing.assert_array_equal(loaded.characters, tokenizer.characters)
    assert loaded.dump() == tokenizer.dump()


def test_bytes_and_characters_are_numbered_in_their_order():
    assert tokenizers.byte_tokenizer().encode("aé").tolist() == [97, 0xC3, 0xA9]
    assert tokenizers.char_tokenizer("āéba").encode("abéā").tolist() == [0, 1, 2, 3]


def test_bpe_begins_with_the_most_frequent_pair():
    tokenizer = tokenizers.bpe_tokenizer("xyxyxy xyz", vocab_size=257)
    assert tokenizer.vocab_size == 257
    assert tokenizer.decode([256]) == "xy"
    assert len(tokenizer.encode("xyxyz")) == 3


def test_bpe_sees_the_training_part_alone(written):
    def saved(end):
        options = written("the cat sat on the mat. " * 40 + end * 40, tokenizer="bpe")
        return load_text(options).data.assets["tokenizer.json"]

    assert saved("qv qv ") == saved("zj zj ")


def test_a_character_that_the_text_lacks_is_refused(refused):
    with refused("'z' is not among the 2"):
        tokenizers.char_tokenizer("ab").encode("az")


def test_the_default_text_is_what_python_brings():
    text = load_text(TextData(tokenizer="byte", context=256, batch_size=32))
    whole = "\n\n".join(text for _, text in sorted(pydoc_data.topics.topics.items()))
    train = len(whole) - 2 * round(len(whole) / 10)
    tokens = len(whole[:train].encode())
    assert text.data.steps_per_epoch == tokens // (32 * 256)
    assert whole.startswith(text.opening)


def joined(batches, name):
    return np.concatenate([batch[name][batch["weight"] > 0] for batch in batches])


@pytest.mark.parametrize("length", [210, 211, 212, 219, 220, 430, 990, 1000])
def test_every_token_but_the_first_is_a_target_once(written, length):
    text = "".join(chr(0x4E00 + i) for i in range(length))
    data, tokenizer, *_ = load_text(written(text))
    part = round(length / 10)
    for name, expected in (("validation", text[-2 * part : -part]), ("test", text[-part:])):
        assert tokenizer.decode(joined(data.splits[name], "targets")) == expected[1:]
        assert tokenizer.decode(joined(data.splits[name], "tokens")) == expected[:-1]
        assert all(batch["weight"].any() for batch in data.splits[name])


def test_training_windows_come_from_the_training_part_and_begin_anywhere(written):
    text = "".join(chr(0x4E00 + i) for i in range(100))
    data, tokenizer, *_ = load_text(written(text))
    starts = set()
    for step in range(400):
        batch = data.train(0, step)
        for tokens, targets in zip(batch["tokens"], batch["targets"], strict=True):
            start = text.index(tokenizer.decode(tokens[:1]))
            assert tokenizer.decode(tokens) == text[start : start + 7]
            assert tokenizer.decode(targets) == text[start + 1 : start + 8]
            starts.add(start)
    assert starts == set(range(80 - 7))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("short", r"the train part of .*text.txt has 5 tokens, and a window needs 257"),
        ("0123456789" * 100, r"the validation part of .* has 100 tokens"),
        ("0123456789" * 900, r"a batch of 32 windows of 256 tokens is larger than the 7200"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(written, content, message, refused):
    with refused(message):
        load_text(written(content, context=256, batch_size=32))
