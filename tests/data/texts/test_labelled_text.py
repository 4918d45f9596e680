import gzip
import pydoc_data.topics

import numpy as np
import pytest

from bigmodel.data.texts import tokenizers
from bigmodel.data.texts.labelled_text import (
    SHORTEST,
    TOPICS,
    LabelledTextData,
    labelled_paragraphs,
    load_labelled_text,
)

LINES = [f"{label}\t{word} {n} {'more ' * (n % 4)}" for n in range(30) for label, word in
         (("sea", "Fish"), ("air", "bird"))]  # fmt: skip


@pytest.fixture
def options(write):
    """Writes a file of lines, or of bytes, and gives the options that read it."""

    def options(content=LINES, name="texts.tsv", **chosen):
        given = {"path": write(content, name), "batch_size": 8, "length": 6}
        return LabelledTextData(**given | chosen)

    return options


def texts(loaded, split="test"):
    """The labels, and the token ids without padding, of all texts of a split."""
    return [
        (loaded.names[batch["label"][row]], batch["tokens"][row, : batch["length"][row]])
        for batch in loaded.data.splits[split]
        for row in np.flatnonzero(batch["weight"])
    ]


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_tokens_of_a_text_decode_to_it_and_its_label_is_its_own(options, kind):
    loaded = load_labelled_text(options(tokenizer=kind, length=100, vocab_size=300))
    found = texts(loaded)
    assert loaded.names == ("air", "sea")
    assert len(found) == 12
    for label, tokens in found:
        assert f"{label}\t{loaded.tokenizer.decode(tokens)}" in LINES


def test_all_lines_are_in_one_part_each_and_every_part_has_every_label(options):
    loaded = load_labelled_text(options(length=100, batch_size=6))
    train = [loaded.data.train(0, step) for step in range(loaded.data.steps_per_epoch)]
    rows = [tokens.tobytes() for batch in train for tokens in batch["tokens"]]
    for split in ("validation", "test"):
        assert {label for label, _ in texts(loaded, split)} == {"air", "sea"}
        for batch in loaded.data.splits[split]:
            rows += [tokens.tobytes() for tokens in batch["tokens"][batch["weight"] > 0]]
    assert 54 <= len(rows) == len(set(rows)) <= 60


def test_padding_is_zero_and_beyond_the_length(options):
    batch = load_labelled_text(options()).data.train(0, 0)
    beyond = np.arange(5) >= batch["length"][:, None]
    assert (batch["tokens"][beyond] == 0).all()
    assert {2, 5} <= set(batch["length"])


def test_words_are_those_of_the_training_part_by_frequency_in_lower_case():
    tokenizer = tokenizers.word_tokenizer(["The sea, the SKY", "the sea"], vocab_size=4)
    assert tokenizer.encode("THE sea , sky boat").tolist() == [1, 2, 3, 0, 0]
    assert tokenizer.decode(tokenizer.encode("The sea!")) == "the sea <unknown>"


def test_a_tokenizer_that_is_given_is_used(options):
    loaded = load_labelled_text(options(length=100), tokenizers.byte_tokenizer())
    assert loaded.tokenizer.vocab_size == 256
    assert loaded.tokenizer.decode(texts(loaded)[0][1])[:4] in ("Fish", "bird")


def test_a_longer_text_is_cut_to_its_beginning_or_refused(options, refused):
    whole = load_labelled_text(options())
    cut = load_labelled_text(options(length=3))
    for (_, long), (_, short) in zip(*(texts(each) for each in (whole, cut)), strict=True):
        np.testing.assert_array_equal(long[:3], short)
    with refused(r"texts.tsv, line \d+ has [45] tokens, more than --data"):
        load_labelled_text(options(length=3, longer="refuse"))


def test_a_file_for_the_test_is_all_of_the_test(options):
    test = options(["sea\tfish", "air\tbird"], "test.tsv").path
    loaded = load_labelled_text(options(test_path=test))
    assert [label for label, _ in texts(loaded)] == ["sea", "air"]
    assert loaded.data.steps_per_epoch == 54 // 8


def test_a_label_that_training_never_saw_is_refused(options, refused):
    test = options(["sea\tfish", "fire\tsalamander"], "test.tsv").path
    with refused(r"test.tsv, line 2 has the label 'fire', which"):
        load_labelled_text(options(test_path=test))


def test_the_same_texts_are_read_however_they_are_written(options):
    other = [" " + line.replace("air", "ai\u0308r").replace("\t", "\xa0\t") for line in LINES]
    content = "\ufeff" + "\r\n\r\n \r\n".join([*other, "", "\t"])
    plain = options([line.replace("air", "aïr") for line in LINES])
    same = options(gzip.compress(content.encode()), "other name")
    assert load_labelled_text(plain).names == ("aïr", "sea")
    assert load_labelled_text(plain).data.fingerprint == load_labelled_text(same).data.fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tx\nb y\n", "line 2 has no tab; write LABEL<tab>TEXT"),
        (b"a\tx\n\nb\t \n", "line 3 has no text"),
        (b"a\tx\n \ty\n", "line 2 has no label"),
        (b"a\tx\nb\tcaf\xe9\n", "line 2 is not UTF-8 text: byte 5 of the line is 0xe9"),
        (b"a\tx\na\ty\n", "has the label 'a' alone"),
        (b"", "is empty"),
        (b"a\tx\nb\ty\n", "class 'a' has 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(options, content, message, refused):
    with refused(message):
        load_labelled_text(options(content))


def test_folds_test_on_every_text_once(options):
    found = [
        f"{label}\t{loaded.tokenizer.decode(tokens)}"
        for fold in range(3)
        for loaded in [
            load_labelled_text(options(tokenizer="byte", length=100, folds=3, fold=fold))
        ]
        for label, tokens in texts(loaded)
    ]
    assert sorted(found) == sorted(LINES)


def test_a_test_file_without_a_label_is_used_and_that_is_said(options, capsys):
    test = options(["sea\tfish"], "test.tsv").path
    load_labelled_text(options(test_path=test))
    assert "test.tsv has no example of 1 labels, such as 'air'" in capsys.readouterr().err


def test_every_topic_has_paragraphs_of_its_own_text_once_and_on_one_line():
    lines = labelled_paragraphs()
    assert {line.label for line in lines} == set(TOPICS)
    assert len({line.content for line in lines}) == len(lines) > 500
    for topic, text, _ in lines:
        assert "\n" not in text
        assert len(text) >= SHORTEST
        assert text in " ".join(pydoc_data.topics.topics[topic].split())


def test_topics_are_read_where_they_are_asked_for(refused):
    texts = load_labelled_text(LabelledTextData("topics", length=8, batch_size=16))
    assert texts.names == TOPICS
    with refused(r"need --data.path"):
        load_labelled_text(LabelledTextData())
