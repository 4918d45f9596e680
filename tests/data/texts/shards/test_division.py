"""Parts of a text in pieces: training first, then validation, then test."""

import numpy as np
import pytest

from bigmodel.data.texts.shards import division
from bigmodel.data.texts.shards.division import Survey, blocks, divided, starts_of
from bigmodel.data.texts.shards.pieces import END, Piece


def in_pieces(text, *, whole=False):
    cuts = np.sort(np.random.default_rng(0).integers(0, len(text), 20))
    ends = [*cuts.tolist(), len(text)]
    return [Piece(text[a:b], whole, b) for a, b in zip([0, *ends], ends, strict=False)]


def parts_of(pieces, starts):
    found = dict.fromkeys(starts, "")
    for part, text in blocks(divided(pieces, starts)):
        found[part] += text
    return found


def test_parts_follow_one_another_and_begin_with_a_line():
    text = "".join(f"line {n}\n" for n in range(200))
    starts = starts_of(len(text), validation=0.2, test=0.1)
    parts = parts_of(in_pieces(text), starts)
    assert list(parts) == ["train", "validation", "test"]
    assert "".join(parts.values()) == text
    at = 0
    for name, part in parts.items():
        assert part.startswith("line")
        assert 0 <= at - starts[name] < len("line 100\n")
        at += len(part)


def test_a_text_without_lines_is_cut_where_the_part_begins():
    text = "x" * 1000
    parts = parts_of(in_pieces(text), starts_of(1000, validation=0.0, test=0.25))
    assert {name: len(part) for name, part in parts.items()} == {"train": 750, "test": 250}


def test_a_document_belongs_to_the_part_in_which_it_begins():
    documents = [Piece(f"{n}:{'x' * 96}{END}", True, 0) for n in range(10)]
    length = sum(len(each.text) for each in documents)
    parts = parts_of(documents, starts_of(length, validation=0.15, test=0.15))
    assert "".join(parts.values()) == "".join(each.text for each in documents)
    assert all(part.endswith(END) for part in parts.values())


def test_held_out_parts_are_bounded():
    starts = starts_of(10**10, validation=0.1, test=0.1)
    assert starts["test"] == 10**10 - division.HELD_OUT
    assert starts["validation"] == 10**10 - 2 * division.HELD_OUT


def test_blocks_are_bounded_where_the_texts_in_them_are(monkeypatch):
    monkeypatch.setattr(division, "BLOCK", 25)
    texts = [("train", "x" * 10)] * 5 + [("train", "y" * 99), ("test", "z")]
    found = [(part, len(text)) for part, text in blocks(texts)]
    assert found == [("train", 20), ("train", 20), ("train", 10), ("train", 99), ("test", 1)]


@pytest.mark.parametrize("count", [1, 10, 1000, 5000])
def test_a_sample_is_bounded_spread_evenly_and_of_the_training_part(count):
    survey = Survey(sample=1000)
    for number in range(count):
        survey.add(chr(0x4E00 + number) * 9 + "\n", characters=True)
    assert survey.length == 10 * count
    assert len(survey.characters) == count + 1
    end = survey.length * 4 // 5
    sample = "".join(survey.sample(end))
    assert min(end, 400) <= len(sample) <= 1000
    drawn = [ord(character) - 0x4E00 for character in dict.fromkeys(sample) if character != "\n"]
    assert max(drawn) < -(-end // 10)
    assert len(set(np.diff(drawn))) <= 1


def test_ends_are_no_characters_and_not_in_the_sample():
    survey = Survey()
    survey.add(f"one{END}two{END}", characters=True)
    assert survey.characters == "enotw"
    assert survey.sample(survey.length) == ["one\ntwo\n"]
