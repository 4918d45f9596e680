import jax
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from bigmodel.data.texts.reading import WordReader
from bigmodel.training.texts.vectors import cosines, neighbours, principal_plane, word_predictor

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


@pytest.mark.parametrize("asked", [["c"], ["a", "+d", "-s"]], ids=str)
def test_a_sum_of_words_is_near_the_words_with_the_largest_cosines_but_its_own(asked):
    words = tuple("abcdefghijklmnopqrst")
    predictor = word_predictor(WordReader(words))
    batch = predictor.encode(["".join(asked), "b"])
    variables = {"params": {"centre": {"embedding": VECTORS}}}
    found, _ = predictor.decode(jax.jit(predictor.apply)(variables, batch))
    own = [words.index(term[-1]) for term in asked]
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    signs = [-1 if term[0] == "-" else 1 for term in asked]
    vector = VECTORS[own[0]] if len(own) == 1 else signs @ unit[own]
    np.testing.assert_allclose(found["vector"], vector, atol=1e-6)
    similarity = cosine_similarity([vector], VECTORS)[0]
    order = [index for index in np.argsort(-similarity) if index not in own]
    assert list(found["neighbours"]) == [words[index] for index in order]
    np.testing.assert_allclose(list(found["neighbours"].values()), similarity[order], atol=1e-6)
