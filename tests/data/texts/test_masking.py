import numpy as np
import pytest

from bigmodel.data.texts.masking import Masking, choose, mask, masked
from bigmodel.data.texts.text import TextData, load_text

VOCAB, TIME = 50, 20


def window_batch(rows=400, real=TIME):
    rng = np.random.default_rng(1)
    weight = np.zeros((rows, TIME), np.float32)
    weight[:, :real] = 1
    return {"tokens": rng.integers(0, VOCAB, (rows, TIME)).astype(np.int32), "weight": weight}


def masks(batch, options=Masking(), seed=0):
    return mask(batch, options, np.random.default_rng(seed), vocab_size=VOCAB)


def test_targets_are_what_stood_at_the_chosen_positions_and_the_rest_stays():
    batch = window_batch()
    found = masks(batch)
    rows = np.arange(len(found["tokens"]))[:, None]
    np.testing.assert_array_equal(found["targets"], batch["tokens"][rows, found["chosen"]])
    untouched = np.ones_like(batch["tokens"], bool)
    untouched[rows, found["chosen"]] = False
    np.testing.assert_array_equal(found["tokens"][untouched], batch["tokens"][untouched])
    assert untouched.sum() == len(rows) * (TIME - 3)
    assert {name: array.dtype for name, array in found.items()} == {
        "tokens": np.int32, "length": np.int32, "chosen": np.int32, "targets": np.int32,
        "weight": np.float32,
    }  # fmt: skip


def test_positions_are_chosen_alike_without_repetition_in_rising_order():
    found = masks(window_batch(4000))["chosen"]
    assert np.all(np.diff(found, axis=1) > 0)
    share = np.bincount(found.ravel(), minlength=TIME) / len(found)
    np.testing.assert_allclose(share, 0.15, atol=0.03)


@pytest.mark.parametrize(("hidden", "replaced"), [(0.8, 0.1), (0.5, 0.5), (0.0, 0.0), (1.0, 0.0)])
def test_in_their_places_stand_the_mask_a_random_token_or_the_same(hidden, replaced):
    found = masks(window_batch(4000), Masking(masked=hidden, replaced=replaced))
    read = np.take_along_axis(found["tokens"], found["chosen"], axis=1)
    same = (1 - hidden - replaced) + replaced / VOCAB
    assert np.mean(read == VOCAB) == pytest.approx(hidden, abs=0.02)
    assert np.mean(read == found["targets"]) == pytest.approx(same, abs=0.02)
    random = read[(read != VOCAB) & (read != found["targets"])]
    assert len(set(random)) == (VOCAB if replaced else 0)


@pytest.mark.parametrize(("real", "count"), [(TIME, 3), (10, 2), (2, 1), (0, 0)])
def test_padding_is_never_chosen_and_a_shorter_text_has_fewer_masks(real, count):
    batch = window_batch(real=real)
    found = masks(batch)
    assert found["chosen"].shape == (400, 3)
    np.testing.assert_array_equal(found["weight"].sum(axis=1), count)
    assert np.all(found["chosen"][found["weight"] > 0] < max(real, 1))
    np.testing.assert_array_equal(found["length"], real)
    assert not found["tokens"][:, real:].any()
    assert not found["chosen"][found["weight"] == 0].any()
    changed = (found["tokens"] != batch["tokens"])[:, :real].sum(axis=1)
    assert changed.max(initial=0) <= count


def test_at_least_one_position_is_chosen():
    drawn, weight = choose(np.array([4], np.int32), 0.01, np.random.default_rng(0).random((1, 4)))
    assert drawn.shape == weight.shape == (1, 1)
    assert weight.sum() == 1


def test_each_batch_of_training_and_of_each_split_has_masks_of_its_own():
    text = load_text(TextData(tokenizer="byte", context=16, batch_size=4))
    data = masked(text.data, Masking(), vocab_size=256)
    batches = [data.train(seed, step) for seed, step in ((3, 5), (3, 6), (4, 5))]
    batches += [data.splits[name][n] for name in ("test", "validation") for n in (0, 1)]
    assert len({batch["chosen"].tobytes() for batch in batches}) == 7


def test_windows_of_a_split_are_those_of_the_text():
    text = load_text(TextData(tokenizer="byte", context=16, batch_size=4))
    data = masked(text.data, Masking(), vocab_size=256)
    assert len(data.splits["test"]) == len(text.data.splits["test"])
    plain, found = text.data.splits["test"][-1], data.splits["test"][-1]
    real = plain["weight"] > 0
    restored = found["tokens"].copy()
    rows, masks = np.nonzero(found["weight"])
    restored[rows, found["chosen"][rows, masks]] = found["targets"][rows, masks]
    np.testing.assert_array_equal(restored, np.where(real, plain["tokens"], 0))
    np.testing.assert_array_equal(found["length"], plain["weight"].sum(axis=1))
