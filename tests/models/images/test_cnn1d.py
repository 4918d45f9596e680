import jax
import jax.numpy as jnp
import numpy as np
from formulas import dense, exact, layer_norm, silu

from bigmodel.models.images.cnn1d import ConvNet1d

RNG = np.random.default_rng(0)
LENGTHS = np.array([7, 4, 1], np.int32)
BATCH = {"sequence": RNG.normal(size=(3, 7, 2)).astype(np.float32), "length": LENGTHS}


def by_formula(params, sequence):
    """Logits of one sequence that has no padding, in float64."""
    p, x = exact(params), sequence.astype(np.float64)
    for number in range(2):
        kernel = p[f"conv_{number}"]["kernel"]
        padded = np.pad(x, ((1, 1), (0, 0)))
        x = np.array([np.tensordot(padded[t : t + 3], kernel, axes=2) for t in range(len(x))])
        x = silu(layer_norm(p[f"norm_{number}"], x))
    return dense(p["head"], x.mean(axis=0))


def test_logits_are_those_of_the_formula_for_each_sequence_without_its_padding():
    model = ConvNet1d(widths=(4, 6), size=3).build(5)
    params = model.init(jax.random.key(0), BATCH)["params"]
    params = jax.tree.map(lambda p: p + RNG.normal(size=p.shape).astype(np.float32) / 3, params)
    found = model.apply({"params": params}, BATCH, train=False)[0]
    assert found.dtype == jnp.float32
    for row, length in enumerate(LENGTHS):
        expected = by_formula(params, BATCH["sequence"][row, :length])
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)
