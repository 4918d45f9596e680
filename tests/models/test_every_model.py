"""What every network promises, whatever its architecture."""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from formulas import check_gradients
from initial import initial
from jax.extend.core import jaxprs_in_params
from networks import BATCH, CASES, DEEP, uniform
from rare import rare
from stacking import stacked as as_stack

from bigmodel.experiment import Model
from bigmodel.partition import spec_of
from bigmodel.tree import named_leaves

KEY = jax.random.key(0)
WITH_DROPOUT = [
    name
    for name, case in CASES.items()
    # A generator has none.
    if hasattr(case.options, "dropout") and name not in ("generator", "mlp", "xception")
]
# Finite differences say nothing at the kinks of rectifiers and where experts or codes are chosen.
WITH_KINKS = ["cnn", "cnn-norm", "xception", "xception-norm", "resnet", "gpt-experts", "gpt-stack"]
WITH_KINKS += ["vqvae"]
WITH_BATCH_NORM = ["cnn-norm", "xception-norm", "resnet", "generator"]
WITH_DTYPE = [name for name, case in CASES.items() if hasattr(case.options, "dtype")]
# One of each kind; what takes long is left to the matrix for the others.
KEPT = ("mlp-all", "cnn-norm", "generator", "rnn-tokens", "llama", "two-tower")


def each(names: Iterable[str], kept: Sequence[str] = KEPT) -> Any:
    """A case for each network, those that are not kept for the matrix."""
    return pytest.mark.parametrize("name", [name if name in kept else rare(name) for name in names])


def model_of(name: str, **changes: Any) -> Model:
    case = (CASES | DEEP)[name]
    return case.build(replace(case.options, **changes))


@functools.cache
def variables_of(name: str) -> Any:
    """Variables away from where they begin, so that what begins at zero is seen as well."""
    variables = initial(model_of(name).init, KEY, BATCH)
    return jax.tree.map(lambda x: x + 0.2 * uniform(*x.shape), variables)


def outputs(name: str, *, train: bool = False, key: Any = None, **changes: Any) -> jax.Array:
    """The floating-point outputs, as one vector."""
    apply = functools.partial(model_of(name, **changes).apply, train=train)
    found, _ = jax.jit(apply)(variables_of(name), BATCH, key=key)
    return flat(found)


def flat(found: Any) -> jax.Array:
    leaves = [x for x in jax.tree.leaves(found) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.concatenate([x.astype(jnp.float32).reshape(-1) for x in leaves])


@pytest.mark.parametrize("name", [*CASES, *DEEP])
def test_a_rule_covers_every_parameter_and_shards_every_matrix(name: str) -> None:
    model = model_of(name)
    params = named_leaves(jax.eval_shape(model.init, KEY, BATCH)["params"])
    for path, leaf in params.items():
        spec = spec_of(model.partition, path, leaf.ndim)
        assert spec is not None, path
        assert len(spec) in (0, int("stacked" in path), leaf.ndim), path
        matrix = path.endswith(("kernel", "embedding", "recurrent"))
        assert ("fsdp" in spec) == matrix, path


@pytest.mark.parametrize("name", ["cnn-norm", "rnn-tokens"])
def test_every_rule_covers_a_parameter(name: str) -> None:
    model = model_of(name)
    paths = named_leaves(jax.eval_shape(model.init, KEY, BATCH)["params"])
    used = {pattern for pattern, _ in model.partition if any(re.search(pattern, p) for p in paths)}
    assert used == {pattern for pattern, _ in model.partition}


@each(CASES)
def test_every_parameter_has_a_gradient_that_is_no_rounding_noise(name: str) -> None:
    # Of what is dropped and of what experts do not process there is none.
    changes = {"dropout": 0.0} if hasattr(CASES[name].options, "dropout") else {}
    model = model_of(name, **changes)
    variables = variables_of(name)

    def vector(params: Any) -> jax.Array:
        found, _ = model.apply({**variables, "params": params}, BATCH, train=True, key=KEY)
        return flat(found)

    gradients = jax.jit(jax.grad(lambda params: jnp.sum(jnp.sin(vector(params)))))
    for path, gradient in named_leaves(gradients(variables["params"])).items():
        assert np.abs(gradient).max() > 1e-5, path
    if name not in WITH_KINKS:
        check_gradients(vector, variables["params"], rtol=2e-2)


def equations(jaxpr: Any) -> Iterator[Any]:
    """Those of a function, of its loops and of what it calls."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


# Experts also add up over themselves.
@pytest.mark.parametrize(
    "name", [name for name in CASES if name not in ("gpt-experts", "gpt-stack")]
)
def test_no_product_of_a_step_contracts_two_axes_which_is_slow_on_cpu(name: str) -> None:
    model = model_of(name)
    variables = jax.eval_shape(model.init, KEY, BATCH)

    def loss(params: Any, variables: Any) -> jax.Array:
        found, _ = model.apply({**variables, "params": params}, BATCH, train=True, key=KEY)
        return jnp.sum(jnp.sin(flat(found)))

    step = jax.make_jaxpr(jax.grad(loss))(variables["params"], variables)
    for equation in equations(step.jaxpr):
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            assert len(contracted) <= 1, equation


@each(["resnet", "vit", "gpt"], kept=["gpt"])
def test_remat_keeps_less_for_the_backward_pass_and_gives_the_same_gradients(name: str) -> None:
    variables = variables_of(name)

    def vector(variables: Any, *, remat: bool) -> jax.Array:
        model = model_of(name, remat=remat, dropout=0.2)
        return flat(model.apply(variables, BATCH, train=True, key=KEY)[0])

    def kept(*, remat: bool) -> int:
        vjp = functools.partial(jax.vjp, functools.partial(vector, remat=remat))
        return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(vjp, variables)[1]))

    def gradients(*, remat: bool) -> Any:
        loss = jax.jit(jax.grad(lambda v: jnp.sum(jnp.sin(vector(v, remat=remat)))))
        return loss(variables)

    assert kept(remat=True) < 0.5 * kept(remat=False)
    chex.assert_trees_all_close(gradients(remat=True), gradients(remat=False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("remat", [rare(False), True])
@each(["bert", "vit-token", "transformer", "gpt"], kept=["transformer", "gpt"])
def test_a_stack_of_blocks_is_the_same_network(name: str, remat: bool) -> None:
    options = {"layers": 2, "dropout": 0.0, "remat": remat}
    one, stack = (model_of(name, scan=scan, **options) for scan in (False, True))
    params = initial(one.init, KEY, BATCH)["params"]

    def measured(model: Model, params: Any) -> Any:
        def loss(params: Any) -> Any:
            vector = flat(model.apply({"params": params}, BATCH, train=True)[0])
            return jnp.sum(jnp.sin(vector)), vector

        (_, vector), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
        return vector, gradients

    vector, gradients = measured(one, params)
    found = measured(stack, as_stack(params))
    chex.assert_trees_all_close(found, (vector, as_stack(gradients)), rtol=1e-4, atol=1e-5)


@each(["cnn-norm", "xception-norm", "resnet"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 64, 3), (5, 3, 2), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_any_image_size_gives_float32_logits(name: str, shape: Any, dtype: str) -> None:
    model, batch = model_of(name, dtype=dtype), {"image": uniform(5, *shape)}
    variables = jax.eval_shape(model.init, KEY, batch)
    apply = functools.partial(model.apply, train=True)
    logits, _ = jax.eval_shape(apply, variables, batch, key=KEY)
    assert (logits.shape, logits.dtype) == ((5, 3), jnp.float32)


@each(WITH_DTYPE)
def test_bfloat16_keeps_float32_parameters_and_outputs_and_computes_roughly_the_same(
    name: str,
) -> None:
    model = model_of(name, dtype="bfloat16")
    variables = jax.eval_shape(model.init, KEY, BATCH)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    found, _ = jax.eval_shape(functools.partial(model.apply, train=False), variables, BATCH)
    # A translation's tokens are numbers too.
    types = {leaf.dtype for leaf in jax.tree.leaves(found)} - {jnp.dtype("int32")}
    assert types == {jnp.dtype("float32")}
    if name not in ("gpt-experts", "gpt-stack", "vqvae"):  # where another one may be chosen
        rough, exact = outputs(name, dtype="bfloat16"), outputs(name)
        assert not np.array_equal(rough, exact)
        np.testing.assert_allclose(rough, exact, atol=0.05 * float(jnp.abs(exact).max()))


@each(WITH_DROPOUT)
def test_dropout_is_random_by_its_key_in_training_alone(name: str) -> None:
    options = {"train": True, "dropout": 0.5}
    same, again, other = (outputs(name, key=jax.random.key(k), **options) for k in (0, 0, 1))
    np.testing.assert_array_equal(same, again)
    assert jnp.abs(same - other).max() > 1e-4
    np.testing.assert_array_equal(outputs(name, dropout=0.5), outputs(name, dropout=0.0))


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_batch_statistics_change_in_training_alone(name: str) -> None:
    model, variables = model_of(name), variables_of(name)
    assert jax.jit(functools.partial(model.apply, train=False))(variables, BATCH)[1] == {}
    _, updates = jax.jit(functools.partial(model.apply, train=True))(variables, BATCH, key=KEY)
    assert set(updates) == {"batch_stats"}
    old, new = (jax.tree.leaves(found["batch_stats"]) for found in (variables, updates))
    assert all(not np.array_equal(a, b) for a, b in zip(old, new, strict=True))
