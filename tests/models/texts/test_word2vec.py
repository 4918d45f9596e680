import jax
import numpy as np

from bigmodel.models.texts.word2vec import SkipGram

BATCH = {
    "centre": np.array([1, 4, 1], np.int32),
    "context": np.array([0, 2, 3], np.int32),
    "negatives": np.array([[2, 2], [1, 0], [4, 3]], np.int32),
}


def built():
    model = SkipGram(width=3, scale=1.0).build(5)
    return model, model.init(jax.random.key(0), BATCH)


def test_logits_are_products_of_the_vectors():
    model, variables = built()
    centre, context = (
        np.asarray(variables["params"][name]["embedding"], np.float64)
        for name in ("centre", "context")
    )
    found, _ = model.apply(variables, BATCH, train=False)
    for row in range(3):
        vector = centre[BATCH["centre"][row]]
        np.testing.assert_allclose(
            found["context"][row], vector @ context[BATCH["context"][row]], rtol=1e-5
        )
        np.testing.assert_allclose(
            found["negatives"][row], context[BATCH["negatives"][row]] @ vector, rtol=1e-5
        )
