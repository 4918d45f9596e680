import time

import numpy as np
import pytest

from bigmodel.training.texts.edit_distance import edit_distances


def ids(text):
    return np.array([ord(letter) for letter in text], np.int32)


def plain(first, second):
    """The recurrence as it is written in textbooks."""
    if not first or not second:
        return len(first) + len(second)
    return min(
        plain(first[1:], second[1:]) + (first[0] != second[0]),
        plain(first[1:], second) + 1,
        plain(first, second[1:]) + 1,
    )


def test_distances_are_those_of_the_recurrence():
    random = np.random.default_rng(0)
    words = ["".join(random.choice([*"abc"], size=random.integers(6))) for _ in range(120)]
    first, second = words[:60], words[60:]
    found = edit_distances([ids(word) for word in first], [ids(word) for word in second])
    expected = [plain(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("count", [0, 12_000])
def test_twelve_thousand_words_take_no_time(count):
    random = np.random.default_rng(1)
    words = [random.integers(1, 40, size=random.integers(20)) for _ in range(count)]
    start = time.perf_counter()
    assert edit_distances(words, words[::-1]).shape == (count,)
    assert time.perf_counter() - start < 5
