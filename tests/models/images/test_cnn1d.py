import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from bigmodel.models.images.cnn1d import ConvNet1d

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
LENGTHS = np.array([7, 4, 1], np.int32)
BATCH = {"sequence": RNG.normal(size=(3, 7, 2)).astype(np.float32), "length": LENGTHS}
SMALL = ConvNet1d(widths=(4, 6), size=3)


def make(options=SMALL):
    model = options.build(5)
    return model, model.init(KEY, BATCH)


def by_formula(params, sequence):
    """Logits of one sequence that has no padding, in float64."""
    x = sequence.astype(np.float64)
    for number in range(2):
        kernel = np.asarray(params[f"conv_{number}"]["kernel"], np.float64)
        padded = np.pad(x, ((1, 1), (0, 0)))
        x = np.array([np.tensordot(padded[t : t + 3], kernel, axes=2) for t in range(len(x))])
        norm = {name: np.asarray(v, np.float64) for name, v in params[f"norm_{number}"].items()}
        centred = x - x.mean(axis=-1, keepdims=True)
        x = centred / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6) * norm["scale"] + norm["bias"]
        x = x / (1 + np.exp(-x))
    head = params["head"]
    return x.mean(axis=0) @ np.asarray(head["kernel"]) + np.asarray(head["bias"])


def test_logits_are_those_of_the_formula_for_each_sequence_without_its_padding():
    model, variables = make()
    params = jax.tree.map(lambda p: p + RNG.normal(size=p.shape).astype(np.float32) / 3,
                          variables["params"])  # fmt: skip
    found = model.apply({"params": params}, BATCH, train=False)[0]
    assert found.dtype == jnp.float32
    for row, length in enumerate(LENGTHS):
        expected = by_formula(params, BATCH["sequence"][row, :length])
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_what_is_in_the_padding_changes_nothing():
    model, variables = make()
    beyond = (np.arange(7) >= LENGTHS[:, None])[..., None]
    other = BATCH | {"sequence": np.where(beyond, np.float32(9), BATCH["sequence"])}
    longer = BATCH | {"sequence": np.concatenate([other["sequence"]] * 2, axis=1)}
    expected = model.apply(variables, BATCH, train=False)[0]
    for changed in (other, longer):
        found = model.apply(variables, changed, train=False)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_finite_differences():
    model, variables = make()

    def total(params):
        return jnp.sum(jnp.sin(model.apply({"params": params}, BATCH, train=False)[0]))

    check_grads(total, (variables["params"],), order=1, modes=["rev"], rtol=2e-2, atol=2e-2)
