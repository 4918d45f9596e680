"""Plain Flax: Linen's layers, Optax's Adam with a clipped norm, and one ``jax.jit``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import linen_networks as networks
import optax
from batches import batch
from resident import Step, serve

from bigmodel.tracking.flops import count_work

KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mlp": ("Perceptron", ("widths",)),
    "cnn": ("ConvNetwork", ("widths",)),
    "resnet": ("Residual", ("depth",)),
    "rnn": ("Recurrent", ("cell", "width")),
    "gpt": ("Gpt", ("layers", "width", "heads", "vocab")),
    "bert": ("Bert", ("layers", "width", "heads", "vocab", "context")),
    "vit": ("Vit", ("patch", "layers", "width", "heads")),
    "translation": ("Translation", ("layers", "width", "heads", "vocab")),
    "vae": ("Vae", ("widths", "latents")),
    "unet": ("Unet", ("widths",)),
}
"""The network of each kind of row, and which of the row's sizes it has."""
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
Loss = Callable[[Any, Any, Any, jax.Array], jax.Array]


def made(row: dict[str, Any], name: str, fields: tuple[str, ...]) -> Any:
    """A network of :mod:`linen_networks` with the sizes of a row."""
    sizes = {key: tuple(v) if isinstance(v := row[key], list) else v for key in fields}
    return getattr(networks, name)(**sizes)


def softplus_mean(x: jax.Array) -> jax.Array:
    """The mean of ``log(1 + exp(x))``."""
    return jax.nn.softplus(x).mean()


def cross_entropy(apply: Any, params: Any, batch: Any, key: jax.Array) -> tuple[Any, Any]:
    """Nats of the row's targets, smoothed where they are translations."""
    del key
    logits, updated = apply(params, batch)
    targets = next(batch[name] for name in ("targets", "target_out", "label") if name in batch)
    if "target_out" in batch:
        smooth = optax.smooth_labels(jax.nn.one_hot(targets, logits.shape[-1]), 0.1)
        return optax.softmax_cross_entropy(logits, smooth).mean(), updated
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean(), updated


def negative_elbo(apply: Any, params: Any, batch: Any, key: jax.Array) -> tuple[Any, Any]:
    """Nats per image."""
    image = batch["image"]
    size = params["Dense_2"]["bias"].size // 2
    (logits, mean, log_variance), updated = apply(
        params, image, jax.random.normal(key, (image.shape[0], size))
    )
    nats = jnp.sum(optax.sigmoid_binary_cross_entropy(logits, image)) / image.shape[0]
    divergence = jnp.exp(log_variance) + mean**2 - 1 - log_variance
    return nats + divergence.sum(axis=1).mean() / 2, updated


def denoising(apply: Any, params: Any, batch: Any, key: jax.Array) -> tuple[Any, Any]:
    """The squared error of the noise, at random times."""
    image, keys = 2 * batch["image"] - 1, jax.random.split(key)
    time = jax.random.uniform(keys[0], image.shape[:1])
    noise = jax.random.normal(keys[1], image.shape)
    angle = (time * jnp.pi / 2)[:, None, None, None]
    predicted, updated = apply(params, jnp.cos(angle) * image + jnp.sin(angle) * noise, time)
    return jnp.mean((predicted - noise) ** 2), updated


def update(params: Any, opt_state: Any, gradients: Any) -> tuple[Any, Any]:
    """One update of the parameters."""
    updates, opt_state = OPTIMIZER.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def supervised(row: dict[str, Any], arrays: Any) -> tuple[Any, Any, Any]:
    """Parameters, the rest of the state, and the step of a network with one loss."""
    network = made(row, *KINDS[row["kind"]])
    given = {"vae": ("image", "latent"), "unet": ("image", "time")}.get(row["kind"])
    count = row["batch"]
    others = {"latent": jnp.zeros((count, row.get("latents", 0))), "time": jnp.zeros(count)}
    inputs = [arrays] if given is None else [{**arrays, **others}[name] for name in given]
    variables = jax.jit(network.init)(jax.random.key(0), *inputs)
    params, statistics = variables["params"], {k: v for k, v in variables.items() if k != "params"}
    loss = {"vae": negative_elbo, "unet": denoising}.get(row["kind"], cross_entropy)

    def step(state: Any, batch: Any, key: jax.Array) -> Any:
        params, opt_state, statistics = state

        def apply(params: Any, *inputs: Any) -> Any:
            return network.apply({"params": params, **statistics}, *inputs, mutable=[*statistics])

        objective = partial(loss, apply)
        gradients, statistics = jax.grad(objective, has_aux=True)(params, batch, key)
        return *update(params, opt_state, gradients), statistics

    return params, (params, OPTIMIZER.init(params), statistics), step


def adversarial(row: dict[str, Any], arrays: Any) -> tuple[Any, Any, Any]:
    """Parameters, state and step of a generator and a discriminator."""
    generator = made(row, "Generator", ("widths",))
    discriminator = made(row, "Discriminator", ("widths",))
    drawn = jnp.zeros((row["batch"], row["latents"]))
    made_by = jax.jit(generator.init)(jax.random.key(0), drawn)
    scored_by = jax.jit(discriminator.init)(jax.random.key(1), arrays["image"])["params"]
    params = (made_by["params"], scored_by)

    def step(state: Any, batch: Any, key: jax.Array) -> Any:
        (g, d), (g_state, d_state), statistics = state
        latents = jax.random.normal(key, drawn.shape)

        def generate(g: Any) -> Any:
            variables = {"params": g, "batch_stats": statistics}
            return generator.apply(variables, latents, mutable=["batch_stats"])

        def score(d: Any, images: jax.Array) -> jax.Array:
            scores: jax.Array = discriminator.apply({"params": d}, images)
            return scores

        def told_apart(d: Any) -> jax.Array:
            return softplus_mean(-score(d, batch["image"])) + softplus_mean(score(d, fake))

        fake, pull, updated = jax.vjp(generate, g, has_aux=True)
        d, d_state = update(d, d_state, jax.grad(told_apart)(d))
        (gradients,) = pull(jax.grad(lambda images: softplus_mean(-score(d, images)))(fake))
        g, g_state = update(g, g_state, gradients)
        return (g, d), (g_state, d_state), updated["batch_stats"]

    states = tuple(OPTIMIZER.init(each) for each in params)
    return params, (params, states, made_by["batch_stats"]), step


def traced(row: dict[str, Any]) -> tuple[Any, Any, int]:
    """The step of a row, what it is called with, and the number of parameters."""
    arrays = jax.device_put(batch(row))
    params, state, step = (adversarial if row["kind"] == "gan" else supervised)(row, arrays)
    # Linen's GRU has one bias that the others do without.
    leaves = jax.tree_util.tree_leaves_with_path(params)
    parameters = sum(
        leaf.size for path, leaf in leaves if "['hn']['bias']" not in jax.tree_util.keystr(path)
    )
    return step, (state, arrays, jax.random.key(0)), parameters


def build(row: dict[str, Any]) -> Step:
    """The step of a row, and the FLOPs of its products."""
    step, (state, arrays, key), parameters = traced(row)
    flops = count_work(jax.make_jaxpr(step)(state, arrays, key)).flops
    jitted = jax.jit(step, donate_argnums=0)
    state = jax.tree.map(jnp.copy, state)

    def run(steps: int) -> None:
        nonlocal state, key
        for _ in range(steps):
            key, now = jax.random.split(key)
            state = jitted(state, arrays, now)
        jax.block_until_ready(state)

    return Step(run, parameters, flops)


if __name__ == "__main__":
    serve(build)
