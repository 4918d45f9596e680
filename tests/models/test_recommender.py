import jax
import numpy as np
import pytest
from jax.test_util import check_grads

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


def test_matrix_factorisation_is_the_formula():
    model, params = built()
    user = rows(params["user"]["embedding"], BATCH["user"])
    item = rows(params["item"]["embedding"], BATCH["item"])
    found, _ = model.apply({"params": params}, BATCH, train=False)
    np.testing.assert_allclose(found, biased(params) + (user * item).sum(1), rtol=1e-5)


def test_two_towers_are_the_formula():
    model, params = built(name="two_tower")

    def tower(x, layers):
        x = x @ layers["hidden_0"]["kernel"]
        return (x / (1 + np.exp(-x))) @ layers["output"]["kernel"]

    user = tower(rows(params["user"]["embedding"], BATCH["user"]), params["user_tower"])
    item = rows(params["item"]["embedding"], BATCH["item"])
    item = tower(item + BATCH["tags"] @ params["tags"]["kernel"], params["item_tower"])
    found, _ = model.apply({"params": params}, BATCH, train=False)
    np.testing.assert_allclose(found, biased(params) + (user * item).sum(1), rtol=1e-5)


@pytest.mark.parametrize("name", ["matrix", "two_tower"])
def test_an_unknown_user_gets_the_bias_of_the_item_and_nobody_the_mean(name):
    model, params = built(name=name)
    found, _ = model.apply({"params": params}, BATCH, train=False)
    bias = params["item_bias"]["embedding"][2, 0]
    np.testing.assert_allclose(found[2], MEAN + bias, rtol=1e-6)
    np.testing.assert_allclose(found[4], MEAN, rtol=1e-6)


def test_an_unknown_item_gets_the_bias_of_the_user_but_its_tags_are_read():
    bias = []
    for name in ("matrix", "two_tower"):
        model, params = built(name=name)
        found, _ = model.apply({"params": params}, BATCH, train=False)
        bias.append(float(found[3] - MEAN - params["user_bias"]["embedding"][1, 0]))
    assert bias[0] == pytest.approx(0, abs=1e-6)
    assert abs(bias[1]) > 1e-3


def test_unknown_users_and_items_train_no_table():
    model, params = built()
    unknown = {**BATCH, "user": BATCH["user"] * 0 + USERS, "item": BATCH["item"] * 0 + ITEMS}
    gradient = jax.grad(
        lambda p: model.apply({"params": p}, unknown, train=True, key=jax.random.key(0))[0].sum()
    )(params)
    assert all(not np.asarray(gradient[name]["embedding"]).any() for name in ("user", "item_bias"))
    assert gradient["bias"] == 5


@pytest.mark.parametrize("name", ["matrix", "two_tower"])
def test_gradients_are_those_of_finite_differences(name):
    model, params = built(name=name, scale=0.5)
    check_grads(
        lambda p: model.apply({"params": p}, BATCH, train=False)[0],
        (params,),
        order=1,
        modes=["rev"],
        rtol=1e-2,
    )
