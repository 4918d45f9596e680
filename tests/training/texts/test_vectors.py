import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from bigmodel.training.texts.vectors import cosines, neighbours, principal_plane

VECTORS = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)


def test_cosines_are_those_of_scikit_learn():
    np.testing.assert_allclose(cosines(VECTORS), cosine_similarity(VECTORS), atol=1e-6)
    assert not cosines(np.zeros((3, 2), np.float32)).any()


def test_neighbours_have_the_largest_cosines_and_are_not_the_word_itself():
    expected = cosine_similarity(VECTORS) - 9 * np.eye(20)
    found = neighbours(VECTORS, [4, 17], count=5)
    np.testing.assert_array_equal(found, np.argsort(-expected[[4, 17]], axis=1)[:, :5])
    assert sorted(neighbours(VECTORS, [0], count=99)[0]) == list(range(1, 20))


def test_the_principal_plane_is_that_of_scikit_learn():
    points, share = principal_plane(VECTORS)
    pca = PCA(2).fit(VECTORS)
    np.testing.assert_allclose(np.abs(points), np.abs(pca.transform(VECTORS)), atol=1e-5)
    np.testing.assert_allclose(share, pca.explained_variance_ratio_, rtol=1e-5)


def test_vectors_on_a_line_have_a_plane_too():
    points, share = principal_plane(np.array([[1.0], [3.0], [8.0]]))
    np.testing.assert_allclose(np.abs(points), [[3, 0], [1, 0], [4, 0]], atol=1e-12)
    np.testing.assert_allclose(share, [1, 0])
    assert not principal_plane(np.ones((3, 4)))[0].any()
