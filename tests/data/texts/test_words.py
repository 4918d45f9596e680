from collections import Counter

import numpy as np
import pytest

from bigmodel.data.texts.words import WordData, load_words

SMALL = {"minimum_count": 1, "window": 2, "batch_size": 64, "subsample": 0.0}
WHOLE = {"validation": 0.0, "test": 0.0}


@pytest.fixture
def written(write):
    """A file with words, and the options to read it."""

    def written(words, **options):
        return WordData(path=write(" ".join(words), "text.txt"), **{**SMALL, **options})

    return written


def distinct(count):
    return ["".join(chr(97 + n // 26**place % 26) for place in range(3)) for n in range(count)]


def drawn(data, steps, name="centre"):
    return np.concatenate([data.train(0, step)[name] for step in range(steps)])


def test_words_are_in_lower_case_and_by_falling_count(written):
    words = load_words(written(["The", "the", "THE", "Cat", "cat", "42", "--", "Über"] * 10))
    assert words.vocabulary == ("the", "cat", "über")
    assert words.counts.tolist() == sorted(words.counts.tolist(), reverse=True)
    whole = " ".join(words.vocabulary[n] for n in words.train)
    assert whole.startswith("the the the cat cat über the")


def test_words_keep_the_marks_of_their_letters(written):
    words = load_words(written(["हिन्दी", "भाषा", "३"] * 100))
    assert set(words.vocabulary) == {"हिन्दी", "भाषा"}


def test_rare_words_leave_no_gap(written):
    text = ["a", "rare", "b", "c", "d"] + ["a", "b", "c", "d"] * 20
    words = load_words(written(text, minimum_count=2))
    assert "rare" not in words.vocabulary
    assert [words.vocabulary[n] for n in words.train[:4]] == ["a", "b", "c", "d"]


def test_distances_are_as_often_as_with_a_reach_drawn_for_each_centre(written):
    # In a text of distinct words a pair tells its distance. A reach from 1 to 3, drawn for each
    # centre, holds distance 1 always, 2 in two thirds of all cases, and 3 in one third.
    words = load_words(written(distinct(1000), window=3, batch_size=4096, **WHOLE))
    place = np.empty(len(words.vocabulary), np.int64)
    place[words.train] = np.arange(len(words.train))
    batch = words.data.train(0, 0)
    distance = place[batch["context"]] - place[batch["centre"]]
    share = {d: float(np.mean(distance == d)) for d in (-3, -2, -1, 1, 2, 3)}
    for d, found in share.items():
        assert found == pytest.approx((4 - abs(d)) / 12, abs=0.03)
    assert sum(share.values()) == pytest.approx(1)


def test_frequent_words_are_thinned_by_the_formula(written):
    random = np.random.default_rng(0)
    text = np.where(random.random(20_000) < 0.5, "the", random.choice(distinct(50), 20_000))
    words = load_words(written(text, subsample=0.01, batch_size=8192))
    share = words.counts / words.counts.sum()
    kept = np.minimum(1, np.sqrt(0.01 / share)) * share
    found = np.mean(drawn(words.data, 4) == words.vocabulary.index("the"))
    assert found == pytest.approx(kept[0] / kept.sum(), abs=0.01)


def test_an_epoch_has_one_choice_of_words_and_the_next_another(written):
    # Each of 1000 words has share 1/1000 and is kept with probability sqrt(0.1), about 0.32.
    words = load_words(written(distinct(1000), subsample=1e-4, batch_size=512, **WHOLE))
    steps = words.data.steps_per_epoch
    batches = [words.data.train(0, step) for step in range(2 * steps)]
    first, second = (
        {word for batch in part for word in batch["context"].tolist()}
        for part in (batches[:steps], batches[steps:])
    )
    assert 200 < len(first) < 400
    assert len(first | second) > 1.4 * len(first)


def test_negatives_are_drawn_by_count_to_the_power_of_three_quarters(written):
    text = ["a"] * 800 + ["b"] * 150 + ["c"] * 50
    words = load_words(written(text, batch_size=4096, **WHOLE))
    negatives = Counter(drawn(words.data, 4, "negatives").ravel().tolist())
    smoothed = np.array([800, 150, 50]) ** 0.75
    for word, share in enumerate(smoothed / smoothed.sum()):
        assert negatives[word] / sum(negatives.values()) == pytest.approx(share, abs=0.01)


def test_held_out_pairs_come_from_the_held_out_text(written):
    words = distinct(40)
    # The first two words stand at the end alone, from before the last tenth on.
    text = words[2:] * 40 + words[:2] * 100
    loaded = load_words(written(text, validation=0.0, test=0.1))
    first = loaded.data.splits["test"][0]
    real = first["weight"] > 0
    seen = {loaded.vocabulary[n] for n in np.append(first["centre"][real], first["context"][real])}
    assert seen == set(words[:2])


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        ([""], {}, r"text.txt is empty"),
        (["42", "!"] * 50, {}, r"the train part of .*text.txt has no word"),
        (distinct(100), {"minimum_count": 5}, r"has 0 words that occur 5 times or more"),
        (["a", "b"] * 2, {}, r"words that are frequent enough, and a window needs 5"),
        (
            ["a"] * 500 + ["b"] * 200 + ["z"] * 90,
            {"test": 0.05},
            r"test part of .* has 0 words",
        ),
    ],
)
def test_a_text_with_too_few_words_is_refused(written, words, options, message, refused):
    with refused(message):
        load_words(written(words, **options))
