import numpy as np

from bigmodel.models.attention.masks import masked_mean, padding_mask


def test_positions_before_the_length_are_present():
    found = padding_mask(np.array([0, 2, 3], np.int32), 3)
    assert np.asarray(found).tolist() == [[False] * 3, [True, True, False], [True] * 3]


def test_the_mean_is_over_what_is_present_and_zero_where_nothing_is():
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    lengths = np.array([4, 2, 0], np.int32)
    found = masked_mean(x, padding_mask(lengths, 4))
    expected = [x[0].mean(axis=0), x[1, :2].mean(axis=0), [0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
