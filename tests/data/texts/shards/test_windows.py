"""Windows of tokens: each once in an epoch, and a batch that seed and step decide."""

from itertools import pairwise

import numpy as np
import pytest

from bigmodel.data.poisson import Poisson
from bigmodel.data.texts.shards import token_file, windows
from bigmodel.data.texts.shards.token_file import TokenFile, dtype_of
from bigmodel.data.texts.shards.windows import Documents, Packed, drawn, in_order, shuffled

ENDS = np.cumsum([5, 1, 9, 30, 2, 7, 8, 60])
COUNT = int(ENDS[-1])


@pytest.fixture(params=[300, 70_000], ids=["uint16", "uint32"])
def file(request, tmp_path, monkeypatch):
    """Tokens that are their own positions, in small blocks and groups."""
    monkeypatch.setattr(windows, "BLOCK", 16)
    monkeypatch.setattr(windows, "GROUP", 3)
    monkeypatch.setattr(token_file, "RESIDENT", 1000)
    dtype = dtype_of(request.param)
    np.arange(COUNT).astype(dtype).tofile(tmp_path / "tokens.bin")
    return TokenFile(tmp_path / "tokens.bin", dtype)


KINDS = {"across": Packed(COUNT, 4), "document": Documents(ENDS, 4)}


def targets(batches):
    return np.concatenate([batch["targets"][batch["weight"] > 0] for batch in batches])


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_is_a_target_once_but_the_first_of_its_text_or_document(file, kind):
    first = [0] if kind == "across" else [0, *ENDS[:-1]]
    expected = np.setdiff1d(np.arange(COUNT), first)
    found = targets(in_order(file, KINDS[kind], 5))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_of_one_document_has_no_token_of_another(file, kind):
    for batch in in_order(file, KINDS[kind], 3):
        for tokens, following, weight in zip(*batch.values(), strict=True):
            real = int(weight.sum())
            assert not tokens[real:].any()
            assert not following[real:].any()
            np.testing.assert_array_equal(following[:real], tokens[0] + 1 + np.arange(real))
            if kind == "document" and real:
                assert np.searchsorted(ENDS, tokens[0], side="right") == np.searchsorted(
                    ENDS, following[real - 1], side="right"
                )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_an_epoch_has_each_window_once_in_another_order(file, kind, batch_size):
    train = shuffled(file, KINDS[kind], batch_size)
    count = len(KINDS[kind])
    steps = count // batch_size

    def epoch(seed, number):
        batches = [train(seed, number * steps + step) for step in range(steps)]
        return np.concatenate([batch["targets"][:, 0] for batch in batches])

    all_windows = np.concatenate([b["targets"][:, 0] for b in in_order(file, KINDS[kind], 1)])
    orders = [epoch(0, 0), epoch(0, 1), epoch(1, 0)]
    for order in orders:
        assert len(set(order)) == len(order) == steps * batch_size
        assert set(order) <= set(all_windows)
    assert len({tuple(order) for order in orders}) == 3
    np.testing.assert_array_equal(epoch(0, 0), orders[0])


def test_a_group_is_of_blocks_from_anywhere_and_read_block_by_block(file, monkeypatch):
    asked = []
    monkeypatch.setattr(file, "expect", lambda ranges: asked.extend(ranges))
    train = shuffled(file, KINDS["across"], 1)
    first = [int(train(5, step)["tokens"][0, 0]) for step in range(12)]
    assert len(asked) == 3
    assert {start // 16 for start in first} == {start // 16 for start, _ in asked}
    assert all(stop - start <= 17 and start % 16 == 0 for start, stop in asked)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_batch_are_the_same_whoever_makes_them(file, kind):
    train = shuffled(file, KINDS[kind], 7)
    whole = train(3, 11)
    for cuts in ((0, 3, 7), range(8)):
        parts = [train(3, 11, slice(*ends)) for ends in pairwise(cuts)]
        for name, array in whole.items():
            np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), array)


def test_the_last_batch_of_a_split_is_padded(file):
    *_, last = in_order(file, KINDS["across"], 7)
    assert last["weight"].shape == (7, 4)
    assert last["weight"].any(axis=1).sum() == len(KINDS["across"]) % 7
    assert not last["tokens"][~last["weight"].any(axis=1)].any()


@pytest.mark.parametrize(
    "kind", [Packed(COUNT, 4, apart=True), Documents(ENDS, 4, apart=True)], ids=KINDS
)
def test_windows_that_are_drawn_one_by_one_have_no_token_in_common(file, kind):
    train = drawn(file, kind, Poisson(rate=1.0, size=48, part=16))
    batch = train(3, 0)
    real = batch["weight"] > 0
    assert real.any(axis=1).sum() == len(kind) < 48
    read = [np.append(row[:1], after[one]) for row, after, one in
            zip(batch["tokens"], batch["targets"], real, strict=True) if one.any()]  # fmt: skip
    tokens = np.concatenate(read)
    assert len(np.unique(tokens)) == len(tokens) > 0.8 * COUNT
    some = drawn(file, kind, Poisson(rate=0.5, size=48, part=16))
    for name, array in some(3, 1, slice(5, 20)).items():
        np.testing.assert_array_equal(array, some(3, 1)[name][5:20])
