"""A text of any size: prepared once, then batches that seed and step decide."""

import json
import time

import numpy as np
import pytest

from bigmodel.data.texts.shards import division, encoding, paths
from bigmodel.data.texts.shards.vocabularies import ended
from bigmodel.data.texts.text import TextData, load_text
from bigmodel.data.texts.tokenizers import byte_tokenizer, learn_tokenizer

END = "<|endoftext|>"
DOCUMENTS = [f"{n} " + "größer " * (n % 7) + "than\nbefore" for n in range(60)]
WHOLE = "".join(text + END for text in DOCUMENTS)


@pytest.fixture
def load(tmp_path):
    """Loads a text with small windows, from a cache of the test."""
    small = {"tokenizer": "byte", "context": 16, "batch_size": 4, "cache": str(tmp_path / "cache")}

    def load(path, *given, **options):
        return load_text(TextData(path=str(path), **{**small, **options}), *given)

    return load


def decoded(text, name):
    """The targets of a split; of training those that baselines look at."""
    if name == "train":
        return text.tokenizer.decode(text.train)
    batches = text.data.splits[name]
    found = np.concatenate([b["targets"][b["weight"] > 0] for b in batches])
    return text.tokenizer.decode(np.append(batches[0]["tokens"][0, :1], found))


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv.gz"])
def test_the_parts_of_a_text_are_all_of_it(shard, load, kind, name):
    options = {"tokenizer": kind, "vocab_size": 280, "packing": "across"}
    text = load(shard(name, DOCUMENTS), **options)
    found = "".join(decoded(text, part) for part in ("train", "validation", "test"))
    assert found == WHOLE
    assert text.opening == "0"


def test_shards_are_one_text_whatever_their_names_and_formats(shard, load, tmp_path):
    shard("texts/1.jsonl", DOCUMENTS[:20])
    shard("texts/2.csv", DOCUMENTS[20:50])
    shard("texts/3.txt", DOCUMENTS[50:])
    whole = load(tmp_path / "texts", validation=0.0, test=0.01)
    assert decoded(whole, "train") + decoded(whole, "test") == WHOLE


def test_many_threads_and_small_blocks_give_the_same_tokens(shard, load, monkeypatch, tmp_path):
    path = shard("a.jsonl", DOCUMENTS)
    first = load(path)
    monkeypatch.setattr(division, "BLOCK", 30)
    monkeypatch.setattr(encoding, "threads", lambda _: 5)
    again = load(path, cache=str(tmp_path / "other"))
    assert again.data.fingerprint == first.data.fingerprint
    np.testing.assert_array_equal(again.train, first.train)


def test_a_bpe_is_learned_from_the_training_part_alone(shard, load):
    def saved(last):
        path = shard("a.jsonl", [*DOCUMENTS, last * 30])
        text = load(path, tokenizer="bpe", vocab_size=300, test=0.05, validation=0.0)
        assert text.tokenizer.vocab_size == 300
        return text.data.assets["tokenizer.json"]

    assert saved("qv") == saved("zj")


def test_a_document_a_window_is_another_packing_of_the_same_tokens(shard, load, capsys):
    path = shard("a.jsonl", DOCUMENTS)
    across, document = load(path), load(path, packing="document")
    assert capsys.readouterr().err.count("prepared") == 1
    assert across.data.fingerprint == document.data.fingerprint
    end = document.tokenizer.special["end"]
    for step in range(document.data.steps_per_epoch):
        batch = document.data.train(0, step)
        assert end not in batch["tokens"][batch["weight"] > 0]
    first = document.data.splits["test"][0]["tokens"][0].astype(np.uint8).tobytes()
    assert first in {text.encode()[:16] for text in DOCUMENTS}


def test_a_later_start_reads_nothing_of_the_text(shard, load, monkeypatch):
    path = shard("a.txt", DOCUMENTS)
    first = load(path, packing="across")
    monkeypatch.setattr(encoding, "pieces", None)
    again = load(path, packing="across")
    assert again.data.fingerprint == first.data.fingerprint
    np.testing.assert_equal(again.data.train(7, 90), first.data.train(7, 90))
    moved = path.rename(path.with_name("moved.txt"))
    assert load(moved, packing="across").data.fingerprint == first.data.fingerprint


def test_a_small_text_is_read_as_it_is_and_a_large_one_is_prepared(shard, load, monkeypatch):
    path = shard("a.txt", ["\n".join(DOCUMENTS)])
    small = load(path)
    assert small.tokenizer.vocab_size == 256
    monkeypatch.setattr(paths, "SMALL", 100)
    large = load(path)
    assert large.tokenizer.vocab_size == 257
    assert decoded(large, "train")[:500] == decoded(small, "train")[:500]


def test_the_tokenizer_of_a_model_is_used_instead(shard, load):
    path = shard("a.jsonl", DOCUMENTS)
    given = learn_tokenizer("bpe", train=DOCUMENTS, others=[], size=270)
    text = load(path, None, given)
    assert text.tokenizer.dump() == given.dump()
    # It has no end token, so documents are paragraphs.
    assert decoded(text, "train").startswith("\n\n".join(DOCUMENTS[:9]))


def test_with_the_assets_of_a_run_all_of_a_text_is_the_test(shard, load):
    path = shard("a.jsonl", DOCUMENTS)
    run = load(path)
    text = load(path, run.data.assets, batch_size=1000)
    assert list(text.data.splits) == ["test"]
    assert decoded(text, "test") == WHOLE
    assert text.tokenizer.dump() == run.tokenizer.dump()


def test_a_text_that_changes_while_it_is_prepared_is_named(shard, load, monkeypatch, refused):
    path = shard("a.jsonl", DOCUMENTS)
    original = encoding.learn_tokenizer

    def slowly(*args, **options):
        time.sleep(0.01)
        path.touch()
        return original(*args, **options)

    monkeypatch.setattr(encoding, "learn_tokenizer", slowly)
    with refused(f"{path} has changed since"):
        load(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 0.0, "test": 0.0, "batch_size": 999}, "a batch of 999 windows of 16"),
        ({"validation": 1e-9}, "the validation part of .* has 0 tokens and no window"),
        ({"field": "body"}, "has no field 'body'"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused(shard, load, options, message, refused):
    with refused(message):
        load(shard("a.jsonl", DOCUMENTS), **options)


@pytest.fixture
def tokens(tmp_path):
    """Token files as nanoGPT writes them: bytes, with an end after each document."""
    folder = tmp_path / "tokens"
    folder.mkdir()
    for name, documents in (("train.bin", DOCUMENTS[:50]), ("val.bin", DOCUMENTS[50:])):
        ids = [[*text.encode(), 256] for text in documents]
        np.concatenate(ids).astype(np.uint16).tofile(folder / name)
    return folder


def test_token_files_are_read_as_they_are(tokens, load):
    text = load(tokens)
    assert list(text.data.splits) == ["validation"]
    stored = np.fromfile(tokens / "train.bin", np.uint16)
    np.testing.assert_array_equal(text.train, stored)
    assert text.tokenizer.vocab_size == 257
    assert text.tokenizer.encode(text.tokenizer.decode(stored[:5])).tolist() == stored[:5].tolist()
    assert load(tokens / "train.bin").data.fingerprint == text.data.fingerprint
    alone = load(tokens / "val.bin")
    assert not alone.data.splits
    evaluated = load(tokens / "val.bin", text.data.assets)
    np.testing.assert_equal(evaluated.data.splits["test"][0], text.data.splits["validation"][0])


def test_a_tokenizer_beside_token_files_reads_them(tokens, load, refused):
    saved = tokens / "tokenizer.json"
    saved.write_bytes(byte_tokenizer().dump())
    with refused("has the token 256, and its tokenizer knows 256"):
        load(tokens)
    saved.write_bytes(ended(byte_tokenizer()).dump())
    text = load(tokens, packing="document")
    assert decoded(text, "train") == "".join(each + END for each in DOCUMENTS[:50])
    assert text.data.train(0, 0)["weight"].min() == 0


def test_token_files_that_are_cut_or_change_are_named(tokens, load, refused):
    text = load(tokens)
    (tokens / "train.bin").touch()
    with refused(f"{tokens}/train.bin has changed since this run has read it"):
        text.data.train(0, 0)
    (tokens / "val.bin").write_bytes(b"odd")
    with refused(f"{tokens}/val.bin is cut: 3 bytes are no uint16 tokens"):
        load(tokens)


def test_a_large_text_is_masked_before_it_is_learned_and_kept(shard, load, tmp_path, refused):
    path = shard("a.jsonl", [f"{text} jo{n}@example.org" for n, text in enumerate(DOCUMENTS)])
    options = {"mask": True, "tokenizer": "bpe", "vocab_size": 280}
    first, later = load(path, **options), load(path, **options)
    for text in (first, later):
        assert json.loads(text.data.assets["masked.json"])["email"] == len(DOCUMENTS)
        assert "[EMAIL]" in decoded(text, "test")
        assert "example" not in "".join(decoded(text, part) for part in ("train", "test"))
    assert "masked.json" not in load(path, tokenizer="bpe", vocab_size=280).data.assets
    np.arange(900, dtype="<u2").tofile(tmp_path / "train.bin")
    with refused("--data.mask finds nothing in tokens, which .*train.bin has"):
        load(tmp_path / "train.bin", mask=True)
