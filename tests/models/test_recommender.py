import jax
import numpy as np
from formulas import dense, silu

from bigmodel.models.recommender import Recommender

USERS, ITEMS, MEAN = 4, 6, 3.5
RANDOM = np.random.default_rng(0)
# The fifth user and the seventh item are unknown; the last pair is twice so.
BATCH = {
    "user": np.array([0, 3, 4, 1, 4], np.int32),
    "item": np.array([5, 2, 2, 6, 7], np.int32),
    "tags": RANDOM.integers(2, size=(5, 3)).astype(np.float32),
}


def built(**options):
    model = Recommender(**{"width": 4, "hidden": (5,), "scale": 1.0, **options}).build(
        users=USERS, items=ITEMS, mean=MEAN
    )
    variables = model.init(jax.random.key(0), BATCH)
    # Biases begin at zero, where a test could not see them.
    params = jax.tree.map(lambda x: np.asarray(x), variables["params"])
    for name in ("user_bias", "item_bias"):
        params[name] = {"embedding": RANDOM.normal(size=params[name]["embedding"].shape)}
        params[name]["embedding"] = params[name]["embedding"].astype(np.float32)
    return model, params


def rows(table, numbers):
    """Rows of a table in float64, zeros where there is none."""
    padded = np.concatenate([np.asarray(table, np.float64), np.zeros((9, table.shape[1]))])
    return padded[numbers]


def biased(params):
    user = rows(params["user_bias"]["embedding"], BATCH["user"])[:, 0]
    item = rows(params["item_bias"]["embedding"], BATCH["item"])[:, 0]
    return MEAN + user + item


def test_matrix_factorisation_is_the_formula_with_zeros_for_the_unknown():
    model, params = built()
    user = rows(params["user"]["embedding"], BATCH["user"])
    item = rows(params["item"]["embedding"], BATCH["item"])
    found, _ = model.apply({"params": params}, BATCH, train=False)
    np.testing.assert_allclose(found, biased(params) + (user * item).sum(1), rtol=1e-5)


def test_two_towers_are_the_formula_with_tags_of_unknown_items_too():
    model, params = built(name="two_tower")

    def tower(x, layers):
        return dense(layers["output"], silu(dense(layers["hidden_0"], x)))

    user = tower(rows(params["user"]["embedding"], BATCH["user"]), params["user_tower"])
    item = rows(params["item"]["embedding"], BATCH["item"])
    item = tower(item + BATCH["tags"] @ params["tags"]["kernel"], params["item_tower"])
    found, _ = model.apply({"params": params}, BATCH, train=False)
    np.testing.assert_allclose(found, biased(params) + (user * item).sum(1), rtol=1e-5)


def test_unknown_users_and_items_train_no_table():
    model, params = built()
    unknown = {**BATCH, "user": BATCH["user"] * 0 + USERS, "item": BATCH["item"] * 0 + ITEMS}
    gradient = jax.grad(
        lambda p: model.apply({"params": p}, unknown, train=True, key=jax.random.key(0))[0].sum()
    )(params)
    assert all(not np.asarray(gradient[name]["embedding"]).any() for name in ("user", "item_bias"))
    assert gradient["bias"] == 5
