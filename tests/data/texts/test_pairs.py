import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from bigmodel.data.texts.pair_file import Pair, read_cmudict, read_pairs
from bigmodel.data.texts.pairs import PairData, load_pairs
from bigmodel.data.texts.vocabulary import BOUNDARY, learn_vocabulary

LINES = [f"{book}\t{word}\t{' '.join(word.upper())}" for book, words in (
    ("Ruth", ("corn", "field", "kin", "foot")),
    ("Jonah", ("fish", "ship", "sea", "gourd")),
    ("Amos", ("fig", "plumb", "fruit")),
) for word in words]  # fmt: skip


@pytest.fixture
def options(write):
    return PairData(
        path=write(LINES), source=2, target=3, batch_size=2, max_source=8, max_target=8, test=0.3
    )


def rows(batches):
    """The rows of evaluation batches that are no padding, by name."""
    kept = [{name: a[b["weight"] > 0] for name, a in b.items()} for b in batches]
    return {name: np.concatenate([batch[name] for batch in kept]) for name in kept[0]}


def test_batches_are_the_pairs_and_the_decoder_reads_them_one_step_late(options):
    pairs = load_pairs(options)
    batch = pairs.data.train(0, 0)
    for i in range(2):
        pair = pairs.examples[batch["example"][i]]
        assert pairs.reader.source.decode(batch["source"][i]) == pair.source
        assert pairs.reader.target.decode(batch["target_out"][i]) == pair.targets[0]
        assert batch["source_length"][i] == len(pair.source) + 1
        assert batch["target_length"][i] == len(pair.source) + 1
        assert batch["target_in"][i, 0] == BOUNDARY
        np.testing.assert_array_equal(batch["target_in"][i, 1:], batch["target_out"][i, :-1])
    assert {a.dtype for name, a in batch.items() if name != "weight"} == {np.dtype(np.int32)}


def examples(data, split=""):
    """The numbers of the pairs of an evaluation split, or of an epoch."""
    if split:
        return rows(data.splits[split])["example"].tolist()
    return [int(i) for step in range(data.steps_per_epoch) for i in data.train(0, step)["example"]]


def test_every_source_is_in_one_part_and_padding_is_not_counted(options):
    data = load_pairs(replace(options, validation=0.2, batch_size=4)).data
    parts = [examples(data, split) for split in ("", "validation", "test")]
    assert list(map(len, parts)) == [4, 2, 3]
    assert len({example for part in parts for example in part}) == 4 + 2 + 3


def test_whole_groups_are_held_out(options):
    pairs = load_pairs(replace(options, group=1, held_out=("Ruth", "Amos"), validation=0.1))
    tested = {pairs.examples[i].group for i in rows(pairs.data.splits["test"])["example"]}
    assert tested == {"Ruth", "Amos"}
    others = [*rows(pairs.data.splits["validation"])["example"], *pairs.data.train(0, 0)["example"]]
    assert {pairs.examples[i].group for i in others} == {"Jonah"}


def test_lines_with_one_source_are_one_pair_however_they_are_written(write):
    lines = ["cafe\u0301 \t A", "", "x\tX", "caf\u00e9\tB", "caf\u00e9\tA", "", "\t"]
    packed = gzip.compress("\r\n".join(lines).encode("utf-16"))
    found = read_pairs(write(packed), source=1, target=2, group=None)
    assert found == [Pair("caf\u00e9", ("A", "B"), ""), Pair("x", ("X",), "")]


SENTENCES = [f"{a} saw the {b} {'once more ' * (n % 3)}today" for n, (a, b) in enumerate(
    (a, b) for a in ("anna", "peter", "nobody", "somebody") for b in ("ship", "house", "garden")
)]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "units"),
    [
        ([f"{text}\t{text.upper()}" for text in SENTENCES], ("bpe", "bpe")),
        ([f"{w}\t{' '.join(w.upper())}" for w in " ".join(SENTENCES).split()], ("char", "symbol")),
        ([f"{n} + {n}\t{n + n}" for n in range(100)], ("symbol", "char")),
        ([f"{chr(0x4E00 + n)} {chr(0x5E00 + n)}\t{n}" for n in range(300)], ("bpe", "char")),
    ],
    ids=["sentences", "dictionary", "sums", "words of one character"],
)
def test_a_file_is_read_without_options_and_what_was_chosen_is_said(write, capsys, lines, units):
    path = write(lines)
    pairs = load_pairs(PairData(path=path, batch_size=4))
    said = capsys.readouterr().err
    assert f"{path}: --data.source-unit {units[0]} --data.max-source" in said
    assert f"--data.target-unit {units[1]} --data.max-target {pairs.reader.length}" in said
    batch = pairs.data.train(0, 0)
    pair = pairs.examples[batch["example"][0]]
    assert pairs.reader.target.decode(batch["target_out"][0]) in pair.targets
    assert (pairs.units is None) == (units[1] != "symbol")


def test_the_longest_hundredth_does_not_make_all_batches_long(write, capsys):
    lines = [f"{chr(97 + n % 26) * (500 if n == 7 else 5 + n % 3)}{n}\tx" for n in range(400)]
    pairs = load_pairs(PairData(path=write(lines), batch_size=4, test=0.0, validation=0.0))
    assert pairs.data.train(0, 0)["source"].shape[1] == 11
    assert "; 1 longer training pairs are left out" in capsys.readouterr().err
    assert pairs.data.steps_per_epoch == 99


def test_training_sees_every_target_and_evaluation_each_source_once(write):
    path = write(f"w{i}\tA {i}\nw{i}\tB {i}" for i in range(20))
    pairs = load_pairs(PairData(path=path, test=0.25, batch_size=1))
    assert pairs.data.steps_per_epoch == 2 * 15 - 2 * 1  # one source is for the validation
    assert len(rows(pairs.data.splits["test"])["example"]) == 5
    assert all(len(pair.targets) == 2 for pair in pairs.examples)


def test_pairs_that_are_too_long_are_refused_dropped_or_cut(options, refused):
    long = replace(options, max_target=5)
    for wrong in (replace(long, long="refuse"), replace(long, max_target=2)):
        with refused(r"of 11 pairs are longer than .* or use --data.long"):
            load_pairs(wrong)
    whole = load_pairs(options).data.steps_per_epoch
    dropped = load_pairs(replace(long, batch_size=1))
    train = [dropped.data.train(0, step) for step in range(dropped.data.steps_per_epoch)]
    assert all(batch["target_length"][0] <= 5 for batch in train)
    assert len(train) < 2 * whole
    counts = json.loads(dropped.data.assets["pairs.json"])
    assert sum(n for name, n in counts.items() if "too long" in name) == 4
    cut = load_pairs(replace(long, long="cut"))
    for pairs in (dropped, cut):
        test = rows(pairs.data.splits["test"])
        assert len(test["example"]) == 3
        assert test["target_out"].shape[1] == 5
        assert (test["target_out"][:, -1] == BOUNDARY).all()
        # The references stay whole, so what is cut is judged as wrong.
        assert {len(pairs.examples[i].targets[0].split()) for i in test["example"]} - {1, 2, 3, 4}


@pytest.mark.parametrize("unit", ["char", "byte", "bpe", "symbol"])
def test_vocabularies_give_the_text_back(unit):
    texts = ["la casa más alta", "el río y la casa"]
    vocabulary = learn_vocabulary(unit, train=texts, others=["una casa"], size=260)
    for text in (*texts, "una casa"):
        ids = vocabulary.encode(text)
        assert ids.min() > BOUNDARY
        assert ids.max() < vocabulary.size
        ended = np.concatenate([ids, [BOUNDARY, ids[0]]])
        assert vocabulary.decode(ended) == text
        assert "".join(vocabulary.names(ended)).count("■") == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a\tb\tB", "no tabs here"], r"data, line 2 has 1 column\(s\), and 3 are needed"),
        (["a\tb\tB", "c\t \tC"], "data, line 2 has no text in column 2"),
    ],
)
def test_a_line_without_its_columns_is_named(options, write, lines, message, refused):
    write(lines)
    with refused(message):
        load_pairs(options)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (("Jona",), "'Jona' is none of the 3 groups; perhaps you meant 'Jonah'"),
        (("Jonah", "Ruth", "Amos"), "leaves nothing to train on"),
    ],
)
def test_groups_that_cannot_be_held_out_are_refused(options, groups, message, refused):
    with refused(message):
        load_pairs(replace(options, group=1, held_out=groups))


def test_dictionary_has_words_of_letters_and_39_phonemes():
    words = read_cmudict()
    assert len(words) > 120_000
    assert words["read"] == ("R EH D", "R IY D")
    assert words["can't"] == ("K AE N T",)
    assert {letter for word in words for letter in word} == {*"abcdefghijklmnopqrstuvwxyz'"}
    phonemes = {p for spoken in words.values() for each in spoken for p in each.split()}
    assert len(phonemes) == 39


def test_held_out_words_share_no_word_with_training():
    pairs = load_pairs(PairData(batch_size=1000, test=0.02, validation=0.01))
    held = {example for split in pairs.data.splits for example in examples(pairs.data, split)}
    assert not set(examples(pairs.data)) & held
    words = [pair.source for pair in pairs.examples]
    assert len(words) == len(set(words))


def test_a_shared_vocabulary_has_both_sides_and_gives_a_token_one_id(options, refused):
    options = replace(options, source_unit="char", target_unit="char")
    shared, apart = (load_pairs(replace(options, shared=each)).reader for each in (True, False))
    assert shared.source.dump() == shared.target.dump()
    assert shared.source.size > max(apart.source.size, apart.target.size)
    for text in ("fish", "F I S H"):
        np.testing.assert_array_equal(shared.source.encode(text), shared.target.encode(text))
        assert shared.source.decode(shared.target.encode(text)) == text
    with refused("--data.shared needs one unit"):
        replace(options, shared=True, source_unit=None)
