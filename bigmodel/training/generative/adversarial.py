"""A generator and a discriminator that train against each other (Goodfellow et al., 2014)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from bigmodel.experiment import (
    WHOLE,
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
    Shown,
    Variables,
)
from bigmodel.frozen import unfrozen
from bigmodel.models.layers.convolution import unrolls
from bigmodel.partition import rules_below, unsharded
from bigmodel.training.compression.pruning import projected, projected_gradients
from bigmodel.training.generative.frechet import with_distance
from bigmodel.training.generative.gan_losses import (
    LOSSES,
    LossName,
    between,
    unit_norm_penalty,
    with_input_gradients,
)
from bigmodel.training.generative.latents import with_latents
from bigmodel.training.gradients import penalty, split_batch
from bigmodel.training.metrics import weighted
from bigmodel.training.optimizers import Optimizer, kept, moving_average
from bigmodel.training.skipping import none_skipped, skip_nonfinite
from bigmodel.training.supervision import TrainState
from bigmodel.training.transfer.beginning import with_beginning
from bigmodel.training.transfer.freezing import freezing
from bigmodel.tree import widened


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AdversarialState(TrainState):
    """What adversarial training changes, under ``generator`` and ``discriminator``.

    ``average`` is that of the generator alone.
    """

    @property
    def evaluated(self) -> Variables:
        """The generator's variables, averaged where there are averages."""
        averages = {} if self.average is None else self.average["generator"]
        return {"params": self.params["generator"], **self.variables["generator"], **averages}


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
    loss: LossName = "non_saturating",
    r1: float = 0.0,
    gradient_penalty: float = 0.0,
    critic_steps: int = 1,
    show: Callable[[Variables], Shown] | None = None,
) -> Experiment:
    """An experiment that trains a generator of images against a discriminator.

    A step updates the discriminator on real and generated images, ``critic_steps`` times, then
    the generator on the last latents through the updated discriminator. With the
    non-saturating logistic losses, for instance, they minimise::

        discriminator: E[softplus(-D(x))] + E[softplus(D(G(z)))] + penalties
        generator:     E[softplus(-D(G(z)))]

    where the penalties on the discriminator's gradients are::

        r1 / 2 E[|dD(x) / dx|^2] + gradient_penalty E[(|dD(y) / dy| - 1)^2]

    with y anywhere on the line between a real and a generated image. ``loss`` is the
    discriminator's without its penalties, the negative value of the game. It does not say how
    good the images are; ``frechet_distance`` in evaluation does.

    Args:
        generator: reads ``latent``, and ``label`` if it likes, gives images.
        discriminator: reads ``image``, and ``label`` if it likes, gives a score per image,
            large where it is real.
        generator_optimizer: its moving average, if any, is what is evaluated and shown; a step
            that it skips is skipped as a whole.
        discriminator_optimizer: may have no moving average, and skip nothing.
        data: batches with ``image`` and ``weight``; evaluation splits get fixed latents. A
            generated image has the label of the real one in its place.
        latent: length of the standard normal vector that an image is made from.
        steps: length of the run, which the learning rates' schedules need.
        features: images to centred vectors [batch, feature] for the Fréchet distance.
        loss: name of the losses; see ``LOSSES``.
        r1: weight of the gradient penalty on real images (Mescheder et al., 2018).
        gradient_penalty: weight of the one between (Gulrajani et al., 2017; they take 10).
        critic_steps: updates of the discriminator for each one of the generator, every one on
            a batch of its own.
        show: figures for a person, made of the generator's variables.

    Raises:
        InputError: for an option that has no meaning here.
    """
    optimizers = {"generator": generator_optimizer, "discriminator": discriminator_optimizer}
    generator = freezing(generator, generator_optimizer.freeze)
    discriminator = freezing(discriminator, discriminator_optimizer.freeze)
    models = {"generator": generator, "discriminator": discriminator}
    data = with_beginning(data, *models.values())
    _check(optimizers, loss, r1, gradient_penalty, critic_steps)
    transforms = {name: optimizer.transform(steps) for name, optimizer in optimizers.items()}
    learning_rates = {
        name: optimizer.learning_rate_schedule(steps) for name, optimizer in optimizers.items()
    }
    losses = LOSSES[loss]
    example = data.receive(data.example)
    example = {**example, "latent": np.zeros((len(example["weight"]), latent), np.float32)}

    def init(key: Key) -> AdversarialState:
        keys = dict(zip(models, jax.random.split(key), strict=True))
        variables = {name: dict(model.init(keys[name], example)) for name, model in models.items()}
        average = None
        if generator_optimizer.ema is not None:
            average = {"generator": jax.tree.map(jnp.copy, unfrozen(variables["generator"]))}
        params = {name: tree.pop("params") for name, tree in variables.items()}
        opt_state = {name: transforms[name].init(tree) for name, tree in params.items()}
        params = {
            name: optax.tree.cast(tree, optimizers[name].parameter_dtype)
            for name, tree in params.items()
        }
        skipped = none_skipped(generator_optimizer.skip_nonfinite)
        step = jnp.zeros((), jnp.int32)
        return AdversarialState(step, params, variables, opt_state, average, skipped)

    def generate(
        params: PyTree, variables: Variables, batch: Batch, key: Key
    ) -> tuple[Array, Variables]:
        """Images of random latents, and the generator's other variables after them."""
        keys = jax.random.split(key)
        latents = jax.random.normal(keys[0], (batch["weight"].shape[0], latent), jnp.float32)
        whole = unsharded({"params": params, **variables}, generator.partition)
        images, updates = generator.apply(
            whole, {**batch, "latent": latents}, train=True, key=keys[1]
        )
        return images, {**variables, **updates}

    def discriminate(
        variables: Variables, batch: Batch, images: Array, key: Key
    ) -> tuple[Float[Array, " batch"], Variables]:
        scores, updates = discriminator.apply(
            variables, {**batch, "image": images}, train=True, key=key
        )
        return scores, {**variables, **updates}

    def discriminator_objective(
        params: PyTree, variables: Variables, batch: Batch, fake: Array, key: Key
    ) -> tuple[Array, tuple[Metrics, Variables]]:
        whole = unsharded({"params": params, **variables}, discriminator.partition)
        keys = jax.random.split(key, 4)
        metrics, penalties = {}, jnp.zeros((), jnp.float32)

        def discriminate_real(images: Array) -> tuple[Array, Variables]:
            return discriminate(whole, batch, images, keys[0])

        if r1:
            real_scores, updated, squared_norms = with_input_gradients(
                discriminate_real, batch["image"]
            )
            metrics["squared_gradient_norm"] = weighted(squared_norms, batch)
            penalties = penalties + r1 / 2 * _value(metrics["squared_gradient_norm"])
        else:
            real_scores, updated = discriminate_real(batch["image"])
        fake_scores, updated = discriminate(updated, batch, fake, keys[1])
        if gradient_penalty:
            middle = between(batch["image"], fake, key=keys[2])
            squared_norms = with_input_gradients(
                lambda y: discriminate(whole, batch, y, keys[3]), middle
            )[2]
            metrics["gradient_penalty"] = weighted(unit_norm_penalty(squared_norms), batch)
            penalties = penalties + gradient_penalty * _value(metrics["gradient_penalty"])
        metrics["loss"] = weighted(losses.real(real_scores) + losses.fake(fake_scores), batch)
        others = {name: tree for name, tree in updated.items() if name != "params"}
        return _value(metrics["loss"]) + penalties, (metrics, others)

    def apply_gradients(
        name: str, state: AdversarialState, gradients: PyTree, variables: Variables
    ) -> tuple[AdversarialState, PyTree]:
        """The state with one network updated, and the gradients with those of its penalties."""
        params, optimizer = state.params[name], optimizers[name]
        if optimizer.l1 or optimizer.l2:
            added = jax.grad(penalty)(params, optimizer)
            gradients = jax.tree.map(jnp.add, gradients, added)
        updates, opt_state = transforms[name].update(gradients, state.opt_state[name], params)
        changed = replace(
            state,
            params={**state.params, name: optax.apply_updates(params, updates)},
            variables={**state.variables, name: variables},
            opt_state={**state.opt_state, name: opt_state},
        )
        return changed, gradients

    def update_discriminator(
        state: AdversarialState, batch: Batch, fake: Array, key: Key
    ) -> tuple[AdversarialState, Metrics, PyTree]:
        gradients, (metrics, variables) = jax.grad(discriminator_objective, has_aux=True)(
            state.params["discriminator"], state.variables["discriminator"], batch, fake, key
        )
        state, gradients = apply_gradients("discriminator", state, gradients, variables)
        return state, metrics, gradients

    def critic_step(
        state: AdversarialState, given: tuple[Batch, Key]
    ) -> tuple[AdversarialState, None]:
        """One update of the discriminator alone."""
        batch, key = given
        keys = jax.random.split(key)
        old = state.params["generator"], state.variables["generator"]
        fake, _ = generate(*old, batch, keys[0])
        return update_discriminator(state, batch, fake, keys[1])[0], None

    def train_step(
        state: AdversarialState, batch: Batch, key: Key
    ) -> tuple[AdversarialState, Metrics, PyTree]:
        before, keys = state, jax.random.split(key, 4)
        state = replace(state, params=widened(state.params))
        if critic_steps > 1:
            parts = jax.tree.map(lambda x: split_batch(x, critic_steps), batch)
            others = jax.tree.map(lambda x: x[1:], parts)
            batch = jax.tree.map(lambda x: x[0], parts)
            given = others, jax.random.split(keys[3], critic_steps - 1)
            state, _ = jax.lax.scan(critic_step, state, given, unroll=unrolls(state.params))
        fake, pull_back, variables = jax.vjp(
            lambda params: generate(params, state.variables["generator"], batch, keys[0]),
            state.params["generator"],
            has_aux=True,
        )
        state, metrics, gradients = update_discriminator(state, batch, fake, keys[1])

        def generator_objective(images: Array) -> tuple[Array, Mean]:
            updated = {"params": state.params["discriminator"], **state.variables["discriminator"]}
            whole = unsharded(updated, discriminator.partition)
            scores, _ = discriminate(whole, batch, images, keys[2])
            mean = weighted(losses.generated(scores), batch)
            return _value(mean), mean

        input_gradients, generator_loss = jax.grad(generator_objective, has_aux=True)(fake)
        (pulled,) = pull_back(input_gradients)
        old = before.params["generator"]
        trained = projected_gradients(generator, pulled, old, state.step, steps)
        state, generator_gradients = apply_gradients("generator", state, trained, variables)
        average = state.average
        if generator_optimizer.ema is not None:
            new = unfrozen({"params": state.params["generator"], **state.variables["generator"]})
            average = moving_average(
                average, {"generator": new}, decay=generator_optimizer.ema, step=state.step
            )
        metrics = {**metrics, "generator_loss": generator_loss}
        all_gradients = {"generator": generator_gradients, "discriminator": gradients}
        one = jnp.ones((), jnp.float32)
        for name in models:
            metrics[f"{name}_learning_rate"] = Mean(learning_rates[name](state.step), one)
            metrics[f"{name}_gradient_norm"] = Mean(optax.tree.norm(all_gradients[name]), one)
        params = kept(state.params, like=before.params, key=key)
        mean = average and average["generator"]
        params["generator"], mean, zeros = projected(
            generator, old, params["generator"], mean, state.step, steps
        )
        average = average and {"generator": mean}
        after = replace(state, step=state.step + 1, params=params, average=average)
        metrics = {**metrics, **zeros}
        return skip_nonfinite(
            before, after, metrics, all_gradients, limit=generator_optimizer.skip_nonfinite
        )

    def generate_evaluated(variables: Variables, batch: Batch) -> Array:
        whole = unsharded(variables, generator.partition)
        return generator.apply(whole, batch, train=False, key=None)[0]

    partition = [rule for name in models for rule in rules_below(name, models[name].partition)]
    data = with_latents(_grouped(data, critic_steps), (latent,))
    experiment = Experiment(init, train_step, lambda *_: {}, data, partition, show)
    return with_distance(experiment, generate_evaluated, features)


def _value(mean: Mean) -> Array:
    return mean.total / mean.count


def _grouped(data: Data, count: int) -> Data:
    """The data with so many training batches, one after the other, as the batch of a step."""
    size = data.batch_size

    def train(seed: int, step: int, rows: slice = WHOLE) -> Batch:
        start, stop, _ = rows.indices(size * count)
        batches = [
            data.train(
                seed, step * count + i, slice(max(start - before, 0), min(stop - before, size))
            )
            for i, before in enumerate(range(0, size * count, size))
            if start < before + size and before < stop
        ]
        return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}

    if count == 1:
        return data
    epoch = max(1, data.steps_per_epoch // count)
    return data._replace(train=train, batch_size=size * count, steps_per_epoch=epoch)


def _check(
    optimizers: Mapping[str, Optimizer],
    loss: LossName,
    r1: float,
    gradient_penalty: float,
    critic_steps: int,
) -> None:
    if any(optimizer.accumulate > 1 for optimizer in optimizers.values()):
        raise InputError("accumulate: adversarial training takes whole batches; leave it at 1")
    if optimizers["discriminator"].ema is not None:
        raise InputError("ema of the discriminator's optimizer: only the generator is averaged")
    if optimizers["discriminator"].skip_nonfinite:
        raise InputError(
            "skip-nonfinite of the discriminator's optimizer: a step is skipped as a whole; set "
            "that of the generator's"
        )
    for name, weight in (("r1", r1), ("gradient-penalty", gradient_penalty)):
        if not weight >= 0:
            raise InputError(f"{name} is {weight}; it must be at least 0")
    if loss == "wasserstein" and not (r1 or gradient_penalty):
        raise InputError("the wasserstein loss needs bounded gradients: gradient-penalty 10, or r1")
    if critic_steps < 1:
        raise InputError(f"critic-steps is {critic_steps}; it must be at least 1")
