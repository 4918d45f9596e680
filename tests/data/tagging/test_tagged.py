"""Words with labels: of CoNLL's files, and of the source of the standard library."""

import io
import keyword
import re
import tokenize
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigmodel.data.python_code.token_kinds import MODULES, sentences_of
from bigmodel.data.tagging.conll import Sentence, read_conll
from bigmodel.data.tagging.reading import TagReader, tag_reader
from bigmodel.data.tagging.tagged import TaggedData, load_tagged
from bigmodel.data.texts.tokenizers import byte_tokenizer
from bigmodel.predictor import Beginning

LINES = ["-DOCSTART- -X- O", "", "Ada NNP B-PER", "Lovelace NNP I-PER", "wrote VBD O", ". . O", ""]


def sentence(number: int) -> list[str]:
    """One that no other number has."""
    name = "".join("abcdefghij"[int(digit)] for digit in str(number))
    return [f"{name} B-PER", "saw O", f"{name * 3} B-ORG", "and I-ORG", f"{name}s I-ORG", ". O", ""]


@pytest.fixture
def options(write):
    """Writes sentences, and gives the options that read them."""

    def options(count=40, **chosen):
        path = write([line for number in range(count) for line in sentence(number)])
        return TaggedData(**{"path": path, "batch_size": 4, "vocab_size": 300} | chosen)

    return options


def test_a_file_has_sentences_of_words_and_labels(write, tmp_path):
    expected = Sentence(("Ada", "Lovelace", "wrote", "."), ("B-PER", "I-PER", "O", "O"))
    path = tmp_path / "data"
    for lines in (LINES, LINES[2:6], [line.replace(" ", "\t") for line in LINES]):
        write(lines)
        assert read_conll(path, word=1, label=None) == [expected]
    write(LINES * 2)
    tags = read_conll(path, word=1, label=2)
    assert [each.labels for each in tags] == [("NNP", "NNP", "VBD", ".")] * 2


def test_comments_are_no_words_and_other_blanks_are_within_one(write):
    lines = ["# newdoc", "# sent_id = 1", "1\tAda\tNNP", "2\t#\tSYM", "", "# id 7 domain=x"]
    path = Path(write([*lines, "1 10\N{NO-BREAK SPACE}000 NUM", "", "# # SYM", ""]))
    found = read_conll(path, word=2, label=3)
    assert found == [
        Sentence(("Ada", "#"), ("NNP", "SYM")),
        Sentence(("10\N{NO-BREAK SPACE}000",), ("NUM",)),
        Sentence(("#",), ("SYM",)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\n\N{NO-BREAK SPACE} O\n", "data, line 2 has no word in column 1"),
        ("word", r"data, line 1 has 1 column\(s\)"),
        ("a O\nb\n", r"data, line 2 has 1 column\(s\)"),
        ("-DOCSTART- O\n\n", "has no word"),
        ("a O\n\nb O\n", r"has 2 sentence\(s\)"),
        ("", "is empty"),
    ],
)
def test_what_is_no_such_file_is_refused_with_its_line(content, message, write, refused):
    with refused(message):
        load_tagged(TaggedData(path=write(content), batch_size=1))


def test_every_word_is_in_one_part_with_its_label_and_where_it_begins(options):
    loaded = load_tagged(options(length=12))
    reader = loaded.reader
    assert reader.labels == ("O", "B-ORG", "B-PER", "I-ORG")
    seen = []
    batches = [batch for split in loaded.data.splits.values() for batch in split]
    batches += [loaded.data.train(0, step) for step in range(loaded.data.steps_per_epoch)]
    for batch in batches:
        for row in np.flatnonzero(batch["weight"]):
            count, length = batch["words"][row], batch["length"][row]
            starts = [*batch["chosen"][row, :count], length]
            for at in range(count):
                ids = batch["tokens"][row, starts[at] : starts[at + 1]]
                word, label = reader.tokenizer.decode(ids), batch["labels"][row, at]
                assert word.startswith(" ")
                seen.append(f"{word.strip()} {reader.labels[label]}")
    every = {line for number in range(40) for line in sentence(number) if line}
    assert len(seen) >= 0.9 * 40 * 6
    assert set(seen) <= every


def test_long_sentences_are_divided_and_long_words_cut():
    ids = [np.zeros(count, np.int32) for count in (3, 1, 9, 2, 2, 0, 1)]
    reader = TagReader(("O",), 4, 9, byte_tokenizer())
    assert reader.pieces(ids) == [range(2), range(2, 3), range(3, 6), range(6, 7)]
    few = reader._replace(time=99, most=3)
    assert few.pieces(ids) == [range(3), range(3, 6), range(6, 7)]
    ended = reader._replace(tokenizer=byte_tokenizer()._replace(special={"separator": 9}))
    assert [len(each) for each in ended.pieces(ids)] == [1, 1, 1, 1, 3]
    found = ended.arrays([ids[2:3], ids[3:4]])
    np.testing.assert_array_equal(found["tokens"], [[0, 0, 0, 9], [0, 0, 9, 0]])
    assert found["length"].tolist() == [4, 3]


def test_inputs_are_texts_or_lists_of_words(options, refused):
    loaded = load_tagged(options())
    reader = tag_reader(loaded.data.assets)
    assert reader._replace(tokenizer=None) == loaded.reader._replace(tokenizer=None)
    text, words = "a saw aaa and as.", ["a", "saw", "aaa", "and", "as", "."]
    one, other = reader.encode([text]), reader.encode([words])
    np.testing.assert_equal(one, other)
    assert one["words"] == 6
    long = "a saw " * 100
    with refused("has 200 words of"):
        reader.encode([long])
    np.testing.assert_array_equal(reader.encode([Beginning(long)])["words"], reader.most)


def test_a_word_without_a_token_is_read_where_the_next_begins(options):
    reader = load_tagged(options(tokenizer="word")).reader
    found = reader.encode([[" ", "saw", " "]])
    assert found["chosen"][0, :3].tolist() == [0, 0, 0]
    assert (found["length"], found["words"]) == (1, 3)


def test_a_trained_run_is_evaluated_by_its_own_labels(options, write, refused):
    chosen = options()
    assets = load_tagged(chosen).data.assets
    other = replace(chosen, path=write(sentence(12345), "other"))
    loaded = load_tagged(other, assets=assets)
    assert list(loaded.data.splits) == ["test"]
    assert loaded.reader.labels == ("O", "B-ORG", "B-PER", "I-ORG")
    unknown = replace(chosen, path=write("a B-LOC\n", "unknown"))
    with refused("unknown has the label 'B-LOC', which the run has not"):
        load_tagged(unknown, assets=assets)


SOURCE = '''
# a comment of five words
def area(radius=1.5):
    """All of
    it."""
    return radius ** 2 if radius else "none"  # why
'''


def test_words_of_source_have_the_kinds_of_their_tokens():
    found = [dict(zip(*each, strict=True)) for each in sentences_of(SOURCE)]
    assert len(found) == 3
    first, second, third = found
    assert list(first)[:2] == ["#", "a"]
    assert (first["#"], first["words"], first["def"]) == ("B-comment", "I-comment", "B-keyword")
    assert (first["area"], first["1"], first["("]) == ("B-name", "B-number", "O")
    assert (second["All"], second["it"]) == ("I-string", "I-string")
    assert (third["none"], third["2"], third["why"]) == ("I-string", "B-number", "I-comment")


def test_a_formatted_string_is_one_entity_in_every_python():
    ((words, labels),) = sentences_of("x = f'a {name!r:>{width}} b' + y\n")
    inside = [label for label in labels if label.endswith("string")]
    assert inside == ["B-string"] + ["I-string"] * (len(inside) - 1)
    assert words[labels.index("B-string")] == "f"
    assert labels[-1] == "B-name"
    assert labels[words.index("width")] == "I-string"


def test_the_labels_of_the_standard_library_are_those_of_its_tokens():
    source = Path(tokenize.__file__).read_text(encoding="utf-8")
    assert "tokenize" in MODULES
    words = [word for each in sentences_of(source) for word in each.words]
    labels = [label for each in sentences_of(source) for label in each.labels]
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.string.strip()]
    assert words == [word for t in tokens for word in re.findall(r"\w+|[^\w\s]", t.string)]
    for prefix, kind in (("keyword", True), ("name", False)):
        names = [t.string for t in tokens if t.type == tokenize.NAME]
        expected = [name for name in names if keyword.iskeyword(name) == kind]
        found = [w for w, label in zip(words, labels, strict=True) if label == f"B-{prefix}"]
        assert found == expected
