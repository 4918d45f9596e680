import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import check_gradients, dense, exact, gelu, silu, softmax
from rare import rare

from bigmodel.models.attention.moe import MixtureOfExperts
from bigmodel.models.layers.feed_forward import residual_init

EXPERTS, WIDTH, HIDDEN = 4, 6, 5


def mixture(**options):
    options = {"per_token": 2, "capacity": None, "activation": "gelu"} | options
    return MixtureOfExperts(
        EXPERTS,
        options.pop("per_token"),
        options.pop("capacity"),
        HIDDEN,
        options.pop("activation"),
        jnp.dtype("float32"),
        residual_init(1),
        **options,
    )


def inputs(time=8):
    return jax.random.normal(jax.random.key(0), (2, time, WIDTH), jnp.float32)


def variables_of(module):
    variables = module.init(jax.random.key(1), inputs(), train=False)
    return jax.tree.map(lambda x: 2 * x + 0.1, variables)


def plain_mixture(params, x, *, per_token, activation="gelu", capacity=None):
    """One token and one expert at a time, in float64."""
    p, x = exact(params), np.asarray(x, np.float64)
    mixed, chosen = np.zeros_like(x), np.zeros((*x.shape[:2], EXPERTS))
    for b in range(len(x)):
        taken = np.zeros(EXPERTS)
        for t in range(x.shape[1]):
            probabilities = softmax(dense(p["router"], x[b, t]))
            likeliest = np.argsort(-probabilities)[:per_token]
            total = probabilities[likeliest].sum() if per_token > 1 else 1.0
            for e in likeliest:
                chosen[b, t, e] = 1
                taken[e] += 1
                if capacity is not None and taken[e] > capacity:
                    continue
                own = jax.tree.map(lambda leaf, e=e: leaf[e], p["experts"])
                up = dense(own["up"], x[b, t])
                swiglu = activation == "swiglu"
                inner = silu(dense(own["gate"], x[b, t])) * up if swiglu else gelu(up)
                mixed[b, t] += probabilities[e] / total * dense(own["down"], inner)
    return mixed, chosen


@pytest.mark.parametrize(
    "options",
    [
        rare({"per_token": 1}),
        {"per_token": 2},
        rare({"per_token": EXPERTS}),
        {"per_token": 2, "activation": "swiglu"},
        {"per_token": 2, "biases": True},
    ],
)
def test_mixture_is_the_formula(options):
    module = mixture(**options)
    variables = variables_of(module)
    x = inputs()
    options.pop("biases", None)
    expected, chosen = plain_mixture(variables["params"], x, **options)
    for train in (True, False):
        mixed, routing = module.apply(variables, x, train=train)
        np.testing.assert_allclose(mixed, expected, atol=2e-5)
        np.testing.assert_array_equal(routing.chosen, chosen)
        np.testing.assert_allclose(routing.probabilities.sum(axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize(("capacity", "most"), [(0.5, 2), (1.0, 4), (2.0, 8)])
def test_tokens_beyond_an_experts_capacity_are_dropped_in_training_alone(capacity, most):
    module = mixture(capacity=capacity)
    variables = variables_of(module)
    x = inputs()
    dropping, _ = module.apply(variables, x, train=True)
    whole, _ = module.apply(variables, x, train=False)
    params = variables["params"]
    expected, chosen = plain_mixture(params, x, per_token=2, capacity=most)
    np.testing.assert_allclose(dropping, expected, atol=2e-5)
    np.testing.assert_allclose(whole, plain_mixture(params, x, per_token=2)[0], atol=2e-5)
    assert (chosen.sum(axis=1).max() > most) == (capacity < 2)


@pytest.mark.parametrize("capacity", [rare(None), 0.5])
@pytest.mark.parametrize("per_token", [rare(1), 2])
def test_gradient_of_the_mixture_is_that_of_finite_differences(per_token, capacity):
    module = mixture(per_token=per_token, capacity=capacity)
    variables = variables_of(module)

    def mixed(variables):
        return module.apply(variables, inputs(), train=True)[0]

    check_gradients(mixed, variables, rtol=2e-2, eps=1e-3)
    router = jax.grad(lambda v: jnp.square(mixed(v)).sum())(variables)["params"]["router"]
    assert jnp.abs(router["kernel"]).max() > 1e-3


def test_each_expert_begins_as_a_network_of_its_own_at_the_usual_scale():
    experts = mixture().init(jax.random.key(0), inputs(), train=False)["params"]["experts"]
    up = np.asarray(experts["up"]["kernel"])
    assert up.shape == (EXPERTS, WIDTH, HIDDEN)
    assert len({kernel.tobytes() for kernel in up}) == EXPERTS
    assert up.std() == pytest.approx(WIDTH**-0.5, rel=0.2)
