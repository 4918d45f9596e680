"""A generator and a discriminator that train against each other (Goodfellow et al., 2014)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from bigmodel.experiment import (
    Array,
    Batch,
    Data,
    Experiment,
    InputError,
    Key,
    Mean,
    Metrics,
    Model,
    PyTree,
    Rules,
    Shown,
    Variables,
    nothing_to_show,
)
from bigmodel.training.frechet import moments, summarize
from bigmodel.training.gradients import penalty
from bigmodel.training.latents import with_latents
from bigmodel.training.losses import weighted
from bigmodel.training.optimizers import Optimizer, moving_average


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AdversarialState:
    """What adversarial training changes, under ``generator`` and ``discriminator``.

    ``average`` is the moving average of the generator's variables, its normalisation
    statistics included, or None where there is none.
    """

    step: Array
    params: Mapping[str, PyTree]
    variables: Mapping[str, Variables]
    opt_state: Mapping[str, PyTree]
    average: Mapping[str, Variables] | None

    @property
    def evaluated(self) -> Variables:
        """The generator's variables to evaluate and to show: averaged where there are any."""
        if self.average is not None:
            return self.average["generator"]
        return {"params": self.params["generator"], **self.variables["generator"]}


def real_loss(logits: Float[Array, " batch"], batch: Batch) -> Mean:
    """``-log sigmoid(logit)`` in nats: what an image costs that should be taken for real."""
    return weighted(jax.nn.softplus(-logits), batch)


def fake_loss(logits: Float[Array, " batch"], batch: Batch) -> Mean:
    """``-log(1 - sigmoid(logit))`` in nats: what one costs that should not."""
    return weighted(jax.nn.softplus(logits), batch)


def adversarial(
    generator: Model,
    discriminator: Model,
    generator_optimizer: Optimizer,
    discriminator_optimizer: Optimizer,
    data: Data,
    *,
    latent: int,
    steps: int,
    features: Callable[[Array], Array],
    r1: float = 0.0,
    show: Callable[[AdversarialState], Shown] = nothing_to_show,
) -> Experiment:
    """An experiment that trains a generator of images against a discriminator.

    A step updates the discriminator on real and generated images, then the generator on the
    same latents through the updated discriminator, by the non-saturating logistic losses::

        discriminator: E[softplus(-D(x))] + E[softplus(D(G(z)))] + r1 / 2 E[|dD(x) / dx|^2]
        generator:     E[softplus(-D(G(z)))]

    ``loss`` is the discriminator's without its penalties, the negative value of the game. It
    starts at 2 log 2 = 1.386, falls as the discriminator learns, and returns towards 2 log 2
    as the generator does. How good the images are, neither loss says: evaluation gives
    ``frechet_distance`` for it.

    Args:
        generator: reads ``latent``, gives images.
        discriminator: reads ``image``, gives a logit per image, large where it is real.
        generator_optimizer: its moving average, if any, is what is evaluated and shown.
        discriminator_optimizer: may not have a moving average.
        data: batches with ``image`` and ``weight``; evaluation splits get fixed latents.
        latent: length of the standard normal vector that an image is made from.
        steps: length of the run, which the learning rates' schedules need.
        features: images to centred vectors [batch, feature] for the Fréchet distance.
        r1: weight of the gradient penalty on real images (Mescheder et al., 2018).
        show: what a person looks at at each evaluation.

    Raises:
        InputError: for an option of an optimizer that has no meaning here.
    """
    models = {"generator": generator, "discriminator": discriminator}
    optimizers = {"generator": generator_optimizer, "discriminator": discriminator_optimizer}
    _check(optimizers, r1)
    transforms = {name: optimizer.transform(steps) for name, optimizer in optimizers.items()}
    rates = {name: optimizer.rate(steps) for name, optimizer in optimizers.items()}
    example = {**data.train(0, 0), "latent": np.zeros((1, latent), np.float32)}

    def init(key: Key) -> AdversarialState:
        keys = dict(zip(models, jax.random.split(key), strict=True))
        variables = {name: dict(model.init(keys[name], example)) for name, model in models.items()}
        average = None
        if generator_optimizer.ema is not None:
            average = {"generator": jax.tree.map(jnp.copy, variables["generator"])}
        params = {name: tree.pop("params") for name, tree in variables.items()}
        opt_state = {name: transforms[name].init(tree) for name, tree in params.items()}
        return AdversarialState(jnp.zeros((), jnp.int32), params, variables, opt_state, average)

    def judge(
        variables: Variables, batch: Batch, images: Array, key: Key
    ) -> tuple[Float[Array, " batch"], Variables]:
        logits, updates = discriminator.apply(
            variables, {**batch, "image": images}, train=True, key=key
        )
        return logits, {**variables, **updates}

    def judge_steeply(
        variables: Variables, batch: Batch, images: Array, key: Key
    ) -> tuple[Float[Array, " batch"], Variables, Mean]:
        """Also the mean square of the logits' gradients by the images."""

        def total(images: Array) -> tuple[Array, tuple[Array, Variables]]:
            logits, updated = judge(variables, batch, images, key)
            return jnp.sum(logits), (logits, updated)

        slopes, (logits, updated) = jax.grad(total, has_aux=True)(images)
        squares = jnp.sum(jnp.square(slopes), axis=tuple(range(1, slopes.ndim)))
        return logits, updated, weighted(squares, batch)

    def discriminator_objective(
        params: PyTree, variables: Variables, batch: Batch, fake: Array, keys: Key
    ) -> tuple[Array, tuple[Metrics, Variables]]:
        whole: Variables = {"params": params, **variables}
        metrics = {}
        if r1:
            real_logits, whole, metrics["steepness"] = judge_steeply(
                whole, batch, batch["image"], keys[0]
            )
        else:
            real_logits, whole = judge(whole, batch, batch["image"], keys[0])
        fake_logits, whole = judge(whole, batch, fake, keys[1])
        real, false = real_loss(real_logits, batch), fake_loss(fake_logits, batch)
        metrics["loss"] = Mean(real.total + false.total, real.count)
        objective = _value(metrics["loss"])
        if r1:
            objective = objective + r1 / 2 * _value(metrics["steepness"])
        others = {name: tree for name, tree in whole.items() if name != "params"}
        return objective, (metrics, others)

    def improve(
        name: str, state: AdversarialState, gradients: PyTree
    ) -> tuple[PyTree, PyTree, PyTree]:
        """New parameters, the optimizer's new state, and the gradients with the penalty's."""
        params, optimizer = state.params[name], optimizers[name]
        if optimizer.l1 or optimizer.l2:
            added = jax.grad(penalty)(params, optimizer)
            gradients = jax.tree.map(jnp.add, gradients, added)
        updates, opt_state = transforms[name].update(gradients, state.opt_state[name], params)
        return optax.apply_updates(params, updates), opt_state, gradients

    def train_step(
        state: AdversarialState, batch: Batch, key: Key
    ) -> tuple[AdversarialState, Metrics, PyTree]:
        keys = jax.random.split(key, 5)
        latents = jax.random.normal(keys[0], (batch["weight"].shape[0], latent), jnp.float32)
        params, opt_state, variables, gradients = {}, {}, {}, {}

        def generate(params: PyTree) -> tuple[Array, Variables]:
            old = state.variables["generator"]
            images, updates = generator.apply(
                {"params": params, **old}, {"latent": latents}, train=True, key=keys[1]
            )
            return images, {**old, **updates}

        fake, pull_back, variables["generator"] = jax.vjp(
            generate, state.params["generator"], has_aux=True
        )
        slopes, (metrics, variables["discriminator"]) = jax.grad(
            discriminator_objective, has_aux=True
        )(
            state.params["discriminator"],
            state.variables["discriminator"],
            batch,
            fake,
            keys[2:4],
        )
        params["discriminator"], opt_state["discriminator"], gradients["discriminator"] = improve(
            "discriminator", state, slopes
        )

        def generator_objective(images: Array) -> tuple[Array, Mean]:
            improved = {"params": params["discriminator"], **variables["discriminator"]}
            logits, _ = judge(improved, batch, images, keys[4])
            mean = real_loss(logits, batch)
            return _value(mean), mean

        slopes, generator_loss = jax.grad(generator_objective, has_aux=True)(fake)
        params["generator"], opt_state["generator"], gradients["generator"] = improve(
            "generator", state, *pull_back(slopes)
        )

        average = state.average
        if generator_optimizer.ema is not None:
            new = {"generator": {"params": params["generator"], **variables["generator"]}}
            average = moving_average(average, new, decay=generator_optimizer.ema, step=state.step)
        metrics = {**metrics, "generator_loss": generator_loss}
        one = jnp.ones((), jnp.float32)
        for name in models:
            rate = jnp.asarray(rates[name](state.step), jnp.float32)
            metrics[f"{name}_learning_rate"] = Mean(rate, one)
            metrics[f"{name}_gradient_norm"] = Mean(optax.tree.norm(gradients[name]), one)
        state = AdversarialState(state.step + 1, params, variables, opt_state, average)
        return state, metrics, gradients

    def eval_step(state: AdversarialState, batch: Batch) -> Metrics:
        images, _ = generator.apply(state.evaluated, batch, train=False, key=None)
        weight = batch["weight"]
        return {
            **moments(features(batch["image"]), weight, name="real"),
            **moments(features(images), weight, name="generated"),
        }

    partition = [rule for name in models for rule in _below(name, models[name].partition)]
    return Experiment(
        init, train_step, eval_step, with_latents(data, latent), partition, show, summarize
    )


def _value(mean: Mean) -> Array:
    return mean.total / mean.count


def _below(name: str, rules: Rules) -> Rules:
    """The rules for paths that go through a part of this name."""
    return tuple((rf"(^|/){name}/.*({pattern})", spec) for pattern, spec in rules)


def _check(optimizers: Mapping[str, Optimizer], r1: float) -> None:
    if any(optimizer.accumulate > 1 for optimizer in optimizers.values()):
        raise InputError("accumulate: adversarial training takes whole batches; leave it at 1")
    if optimizers["discriminator"].ema is not None:
        raise InputError("ema of the discriminator's optimizer: only the generator is averaged")
    if not r1 >= 0:
        raise InputError(f"r1 is {r1}; it must be at least 0")
