from collections import Counter

import numpy as np

from bigmodel.data.texts.ngrams import likeliest_between, likeliest_followers, most_frequent


def test_most_frequent_token_is_the_one_counted_most_and_the_first_of_several():
    assert most_frequent(np.array([3, 1, 3, 2, 3], np.int32)) == 3
    assert most_frequent(np.array([5, 4, 5, 4], np.int32)) == 4


def test_followers_are_those_counted_pair_by_pair():
    tokens = np.random.default_rng(0).integers(0, 12, 300).astype(np.int32)
    tokens[tokens == 7] = 8
    pairs = Counter(zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True))
    found = likeliest_followers(tokens, vocab_size=14)
    for token in range(14):
        following = {b: count for (a, b), count in pairs.items() if a == token}
        if following:
            most = max(following.values())
            assert found[token] == min(b for b, count in following.items() if count == most)
        else:
            assert found[token] == most_frequent(tokens)


def test_between_two_tokens_is_what_was_counted_there_most():
    tokens = np.random.default_rng(0).integers(0, 4, 300).astype(np.int32).tolist()
    triples = Counter(zip(tokens[:-2], tokens[2:], tokens[1:-1], strict=True))
    found = likeliest_between(np.array(tokens, np.int32))
    assert set(found) == {(before, after) for before, after, _ in triples}
    for (before, after), token in found.items():
        counts = {t: count for (b, a, t), count in triples.items() if (b, a) == (before, after)}
        most = max(counts.values())
        assert token == min(t for t, count in counts.items() if count == most)
