import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import check_gradients, exact
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from rare import rare
from scipy.special import expit as sigmoid

from bigmodel.models.attention.masks import padding_mask
from bigmodel.models.layers.cells import CELLS
from bigmodel.models.layers.recurrent import Recurrent, recur

RNG = np.random.default_rng(0)
FLOAT = jnp.dtype(jnp.float32)
BATCH, TIME, FEATURES, WIDTH = 3, 5, 2, 4
LENGTHS = jnp.array([5, 3, 1], jnp.int32)
MASK = padding_mask(LENGTHS, TIME)
X = jnp.asarray(RNG.normal(size=(BATCH, TIME, FEATURES)), jnp.float32)

cells = pytest.mark.parametrize("cell", ["plain", "lstm", "gru"])
directions = pytest.mark.parametrize("reverse", [False, True])


def make(cell, reverse=False, dtype=FLOAT):
    layer = Recurrent(cell, WIDTH, dtype, reverse)
    variables = layer.init(jax.random.key(1), X, MASK)
    # Biases that differ, so that no two gates could be taken for each other.
    params = variables["params"]
    bias = params["input"]["bias"]
    bias = bias + RNG.normal(size=bias.shape).astype(np.float32)
    return layer, {"params": params | {"input": params["input"] | {"bias": bias}}}


def by_formula(cell, params, sequence):
    """All outputs for one sequence, gate by gate in float64."""
    p = exact(params)
    W, b, U = p["input"]["kernel"], p["input"]["bias"], p["recurrent"]
    gates = len(b) // WIDTH
    W, U, b = np.split(W, gates, axis=1), np.split(U, gates, axis=1), np.split(b, gates)
    h, c = np.zeros(WIDTH), np.zeros(WIDTH)
    outputs = []
    for x in np.asarray(sequence, np.float64):
        if cell == "plain":
            h = np.tanh(x @ W[0] + h @ U[0] + b[0])
        elif cell == "lstm":
            i, f, g, o = (x @ W[k] + h @ U[k] + b[k] for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            r = sigmoid(x @ W[0] + h @ U[0] + b[0])
            z = sigmoid(x @ W[1] + h @ U[1] + b[1])
            n = np.tanh(x @ W[2] + b[2] + r * (h @ U[2]))
            h = (1 - z) * n + z * h
        outputs.append(h)
    return np.array(outputs), (h, c) if cell == "lstm" else (h,)


@cells
@directions
def test_outputs_and_last_states_are_those_of_the_formula(cell, reverse):
    layer, variables = make(cell, reverse)
    outputs, last = layer.apply(variables, X, MASK)
    for row, length in enumerate(LENGTHS):
        sequence = X[row, :length][::-1] if reverse else X[row, :length]
        expected, state = by_formula(cell, variables["params"], sequence)
        expected = expected[::-1] if reverse else expected
        np.testing.assert_allclose(outputs[row, :length], expected, rtol=1e-5, atol=1e-6)
        for got, wanted in zip(last, state, strict=True):
            np.testing.assert_allclose(got[row], wanted, rtol=1e-5, atol=1e-6)


@cells
@directions
def test_gradients_are_those_of_finite_differences(cell, reverse):
    layer, variables = make(cell, reverse)

    def total(params, x):
        outputs, last = layer.apply({"params": params}, x, MASK)
        return jnp.sum(jnp.square(outputs)) + sum(jnp.sum(jnp.sin(state)) for state in last)

    check_gradients(total, variables["params"], X, rtol=2e-2, atol=2e-2)


@cells
def test_each_gate_begins_orthogonal_and_forgetting_begins_at_one(cell):
    layer = Recurrent(cell, WIDTH, FLOAT)
    params = layer.init(jax.random.key(0), X, MASK)["params"]
    gates = np.split(np.asarray(params["recurrent"]), len(CELLS[cell].biases), axis=1)
    for gate in gates:
        np.testing.assert_allclose(gate.T @ gate, np.eye(WIDTH), atol=1e-5)
    assert len({gate.tobytes() for gate in gates}) == len(gates)
    bias = np.asarray(params["input"]["bias"])
    forget = bias[WIDTH : 2 * WIDTH] if cell == "lstm" else bias[:0]
    assert (forget == 1).all()
    assert bias.sum() == forget.sum()


@cells
def test_bfloat16_computes_roughly_the_same_and_carries_float32(cell):
    layer, variables = make(cell)
    half, _ = make(cell, dtype=jnp.dtype(jnp.bfloat16))
    exact, (rough, last) = layer.apply(variables, X, MASK)[0], half.apply(variables, X, MASK)
    assert {rough.dtype, *(state.dtype for state in last)} == {FLOAT}
    assert not np.array_equal(rough, exact)
    np.testing.assert_allclose(rough, exact, atol=0.05)


def gradients(function, cell, reverse, dtype):
    """With respect to the inputs, the kernel and each array of the initial state."""
    rng = np.random.default_rng(2)
    batch, time, width, gates = 8, 9, 16, 16 * len(CELLS[cell].biases)
    shapes = [(batch, time, gates), (width, gates), *[(batch, width)] * CELLS[cell].arrays]
    arrays = [jnp.asarray(rng.normal(size=shape) / 4, jnp.float32) for shape in shapes]
    weight = jnp.asarray(rng.normal(size=(batch, time, width)), jnp.float32)
    mask = padding_mask(jnp.asarray(rng.integers(0, time + 1, batch), jnp.int32), time)

    def total(inputs, kernel, *initial):
        outputs, last = function(cell, reverse, inputs.astype(dtype), mask, kernel, initial)
        return jnp.sum(weight * outputs) + sum(jnp.sum(jnp.sin(array)) for array in last)

    return jax.grad(total, argnums=range(len(arrays)))(*arrays)


@pytest.mark.parametrize("cell", [rare("plain"), "lstm", rare("gru")])
@pytest.mark.parametrize("reverse", [rare(False), True])
def test_gradients_are_those_of_autodiff_and_no_farther_from_them_in_bfloat16(cell, reverse):
    # What carries the gradient is itself a plain scan.
    exact, autodiff = (gradients(recur.fun, cell, reverse, d) for d in (FLOAT, jnp.bfloat16))
    own = (gradients(recur, cell, reverse, d) for d in (FLOAT, jnp.bfloat16))
    for wanted, rounded, got, half in zip(exact, autodiff, *own, strict=True):
        scale = jnp.max(jnp.abs(wanted))
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-6 * scale)
        error = jnp.max(jnp.abs(half - wanted))
        assert 0 < error < 0.02 * scale
        assert error < 1.1 * jnp.max(jnp.abs(rounded - wanted))


def test_a_batch_over_several_devices_is_not_gathered():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())

    def total(params, x, mask):
        outputs, last = layer.apply({"params": params}, x, mask)
        return jnp.sum(outputs) + jnp.sum(last[0])

    layer, variables = make("lstm")
    arguments = (variables["params"], jnp.zeros((16, TIME, FEATURES)), jnp.ones((16, TIME), bool))
    step = jax.jit(jax.grad(total), in_shardings=(whole, split, split), out_shardings=whole)
    text = step.lower(*arguments).compile().as_text()
    assert "all-reduce" in text
    assert "all-gather" not in text
