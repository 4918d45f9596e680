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
from bigmodel.experiment import InputError

LINES = [f"{label}\t{word} {n} {'more ' * (n % 4)}" for n in range(30) for label, word in
         (("sea", "Fish"), ("air", "bird"))]  # fmt: skip


@pytest.fixture
def options(tmp_path):
    """Writes a file of lines, or of bytes, and gives the options that read it."""

    def write(content=LINES, name="texts.tsv", **chosen):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else "\n".join(content).encode())
        return LabelledTextData(path=str(path), **{"batch_size": 8, "length": 6} | chosen)

    return write


def texts(data, names, split):
    """The token ids without padding, and the labels, of all texts of a split."""
    found = []
    for batch in data.splits[split]:
        for row in range(len(batch["label"])):
            if batch["weight"][row]:
                tokens = batch["tokens"][row, : batch["length"][row]]
                found.append((names[batch["label"][row]], tokens))
    return found


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_tokens_of_a_text_decode_to_it_and_its_label_is_its_own(options, kind):
    loaded = load_labelled_text(options(tokenizer=kind, length=100, vocab_size=300))
    found = texts(loaded.data, loaded.reader.names, "test")
    assert loaded.reader.names == ("air", "sea")
    assert len(found) == 12
    for label, tokens in found:
        assert f"{label}\t{loaded.reader.tokenizer.decode(tokens)}" in LINES


def test_all_lines_are_in_one_part_each_and_every_part_has_every_label(options):
    loaded = load_labelled_text(options(length=100, batch_size=6))
    train = [loaded.data.train(0, step) for step in range(loaded.data.steps_per_epoch)]
    rows = [(bytes(tokens), label) for b in train
            for tokens, label in zip(b["tokens"], b["label"], strict=True)]  # fmt: skip
    for split in ("validation", "test"):
        for batch in loaded.data.splits[split]:
            kept = batch["weight"] > 0
            pairs = zip(batch["tokens"][kept], batch["label"][kept], strict=True)
            rows += [(bytes(tokens), label) for tokens, label in pairs]
            assert set(batch["label"][kept]) <= {0, 1}
    assert len(rows) == len(set(rows))
    assert 54 <= len(rows) <= 60


def test_padding_is_zero_and_beyond_the_length(options):
    loaded = load_labelled_text(options())
    batch = loaded.data.train(0, 0)
    shapes = {name: (array.shape, array.dtype) for name, array in batch.items()}
    assert shapes == {
        "tokens": ((8, 5), np.int32),
        "length": ((8,), np.int32),
        "label": ((8,), np.int32),
        "weight": ((8,), np.float32),
    }
    beyond = np.arange(5) >= batch["length"][:, None]
    assert (batch["tokens"][beyond] == 0).all()
    assert {2, 5} <= set(batch["length"])


def test_words_are_those_of_the_training_part_by_frequency_in_lower_case():
    tokenizer = tokenizers.word_tokenizer(["The sea, the SKY", "the sea"], vocab_size=4)
    assert tokenizer.encode("THE sea , sky boat").tolist() == [1, 2, 3, 0, 0]
    assert tokenizer.decode(tokenizer.encode("The sea!")) == "the sea <unknown>"
    loaded = tokenizers.load(tokenizer.dump())
    assert loaded.dump() == tokenizer.dump()
    assert loaded.encode("sea the x").tolist() == [2, 1, 0]


def test_a_tokenizer_that_is_given_is_used(options):
    loaded = load_labelled_text(options(length=100), tokenizers.byte_tokenizer())
    assert loaded.reader.tokenizer.vocab_size == 256
    assert loaded.reader.tokenizer.decode(texts(loaded.data, loaded.reader.names, "test")[0][1])[
        :4
    ] in (
        "Fish",
        "bird",
    )


def test_a_longer_text_is_cut_to_its_beginning_or_refused(options):
    whole = load_labelled_text(options())
    cut = load_labelled_text(options(length=3))
    for (_, long), (_, short) in zip(
        *(texts(each.data, each.reader.names, "test") for each in (whole, cut)), strict=True
    ):
        np.testing.assert_array_equal(long[:3], short)
    with pytest.raises(InputError, match=r"texts.tsv, line \d+ has [45] tokens, more than --data"):
        load_labelled_text(options(length=3, longer="refuse"))


def test_a_file_for_the_test_is_all_of_the_test(options):
    test = options(["sea\tfish", "air\tbird"], "test.tsv").path
    loaded = load_labelled_text(options(test_path=test))
    assert [label for label, _ in texts(loaded.data, loaded.reader.names, "test")] == ["sea", "air"]
    assert loaded.data.steps_per_epoch == 54 // 8


def test_a_label_that_training_never_saw_is_refused(options):
    test = options(["sea\tfish", "fire\tsalamander"], "test.tsv").path
    with pytest.raises(InputError, match=r"test.tsv, line 2 has the label 'fire', which"):
        load_labelled_text(options(test_path=test))


@pytest.mark.parametrize(
    "written",
    [
        "\r\n".join([*LINES, ""]).encode(),
        "\r".join([*LINES, ""]).encode(),
        b"\xef\xbb\xbf" + "\n".join(LINES).encode(),
        "\n".join(LINES).encode("utf-16"),
        "\n\n \n".join([*LINES, "", "\t"]).encode(),
        "\n".join(f" {line.replace(chr(9), chr(160) + chr(9))}" for line in LINES).encode(),
        gzip.compress("\n".join(LINES).encode()),
    ],
    ids=["CR LF", "CR", "byte order mark", "UTF-16", "blank lines", "blanks", "gzip"],
)
def test_the_same_texts_are_read_however_they_are_written(options, written):
    plain = load_labelled_text(options()).data.fingerprint
    assert load_labelled_text(options(written, "other name")).data.fingerprint == plain


def test_labels_that_look_the_same_are_one(options):
    lines = [
        f"{label}\ttext {n}"
        for n in range(9)
        for label in ("größe", "gro\u0308ße ", "\ufeffair", "air")
    ]
    assert load_labelled_text(options(lines)).reader.names == ("air", "größe")


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
def test_a_file_that_cannot_be_used_is_refused_with_its_line(options, content, message):
    with pytest.raises(InputError, match=message) as error:
        load_labelled_text(options(content))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"length": 0}, "--data.length 0"),
        ({"batch_size": 0}, "--data.batch-size 0"),
        ({"batch_size": 99}, "--data.batch-size 99 is larger than the training data"),
        ({"test": 1.0}, "--data.test 1.0"),
        ({"split_seed": -1}, "--data.split-seed -1"),
        ({"vocab_size": 1}, "--data.vocab-size 1 leaves no room"),
        ({"path": ""}, "need --data.path"),
        ({"path": "nowhere.tsv"}, "nowhere.tsv does not exist"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, chosen, message):
    with pytest.raises(InputError, match=message):
        load_labelled_text(LabelledTextData(**{"path": options().path, "batch_size": 8} | chosen))


def test_folds_test_on_every_text_once(options):
    found = []
    for fold in range(3):
        loaded = load_labelled_text(options(tokenizer="byte", length=100, folds=3, fold=fold))
        found += [
            (label, loaded.reader.tokenizer.decode(tokens))
            for label, tokens in texts(loaded.data, loaded.reader.names, "test")
        ]
    assert sorted(found) == sorted(tuple(line.split("\t")) for line in LINES)


def test_folds_beside_a_test_file_are_refused(options):
    with pytest.raises(InputError, match=r"leave --data\.test-path out"):
        options(folds=3, fold=0, test_path="other.tsv")


def test_a_test_file_without_a_label_is_used_and_that_is_said(options, capsys):
    test = options(["sea\tfish"], "test.tsv").path
    load_labelled_text(options(test_path=test))
    assert "test.tsv has no example of 1 labels, such as 'air'" in capsys.readouterr().err


def test_every_topic_has_paragraphs_of_its_own_text_once_and_on_one_line():
    lines = labelled_paragraphs()
    assert {line.label for line in lines} == set(TOPICS)
    assert len({line.text for line in lines}) == len(lines) > 500
    for topic, text, _ in lines:
        assert "\n" not in text
        assert len(text) >= SHORTEST
        assert text in " ".join(pydoc_data.topics.topics[topic].split())


def test_topics_are_read_where_they_are_asked_for():
    texts = load_labelled_text(LabelledTextData("topics", length=8, batch_size=16))
    assert texts.reader.names == TOPICS
    with pytest.raises(InputError, match=r"need --data.path"):
        load_labelled_text(LabelledTextData())
