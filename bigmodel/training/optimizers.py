"""Optax chains from options: clipping, the optimizer, decoupled decay, the schedule."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from bigmodel.experiment import Array, InputError, PyTree
from bigmodel.tree import map_named

Name = Literal["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "lion", "muon"]


@dataclass(frozen=True)
class Optimizer:
    """An optimizer by name, and all that is done to its gradients and updates.

    Weight decay is decoupled for every optimizer (Loshchilov and Hutter, 2019):
    ``p <- p - rate * (update + weight_decay * p)``, so ``adam`` with decay is ``adamw``.
    """

    name: Name = "adamw"
    """which optimizer"""
    learning_rate: float = 1e-3
    """peak learning rate"""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """course of the learning rate after the warm-up, down to final_fraction at the last step"""
    warmup_steps: int = 0
    """steps over which the learning rate rises linearly from zero"""
    final_fraction: float = 0.0
    """share of the peak learning rate that is left at the last step"""
    momentum: float = 0.9
    """decay of the velocity (momentum, nesterov) or of the matrix momentum (muon: 0.95 is usual)"""
    b1: float = 0.9
    """decay of the first moment (adam, adamw, lion, and muon's vectors)"""
    b2: float | None = None
    """decay of the second moment; by default 0.99 for lion and rmsprop, 0.999 for the others"""
    eps: float = 1e-8
    """added to the denominator (adam, adamw, rmsprop, adagrad, muon's vectors)"""
    weight_decay: float = 0.0
    """decoupled weight decay"""
    decay: tuple[str, ...] = (".*",)
    """path patterns of the parameters that decay and are penalised"""
    no_decay: tuple[str, ...] = (r"(^|/)(bias|scale)$",)
    """path patterns of the parameters that do not: norms and biases"""
    l1: float = 0.0
    """penalty l1 * sum |p| added to the loss"""
    l2: float = 0.0
    """penalty l2 * sum p^2 / 2 added to the loss"""
    clip: float | None = None
    """largest global norm of the gradients"""
    accumulate: int = 1
    """parts into which a batch is cut, their gradients added up by a scan"""
    ema: float | None = None
    """decay of an exponential moving average of the parameters, used to evaluate"""

    def __post_init__(self) -> None:
        """Raises InputError for a value that no optimizer can use."""
        for field, low, high in (
            ("learning_rate", 0.0, math.inf),
            ("warmup_steps", 0, math.inf),
            ("final_fraction", 0.0, 1.0),
            ("momentum", 0.0, 1.0),
            ("b1", 0.0, 1.0),
            ("b2", 0.0, 1.0),
            ("eps", 0.0, math.inf),
            ("weight_decay", 0.0, math.inf),
            ("l1", 0.0, math.inf),
            ("l2", 0.0, math.inf),
            ("clip", 0.0, math.inf),
            ("accumulate", 1, math.inf),
            ("ema", 0.0, 1.0),
        ):
            value = getattr(self, field)
            if value is not None and not (low <= value <= high and math.isfinite(value)):
                option = field.replace("_", "-")
                most = "" if high == math.inf else f" and at most {high:g}"
                raise InputError(
                    f"{option} is {value}; it must be a finite number of at least {low:g}{most}"
                )
        for pattern in (*self.decay, *self.no_decay):
            try:
                re.compile(pattern)
            except re.error as error:
                raise InputError(f"decay pattern {pattern!r} is not a regex: {error}") from None

    def rate(self, steps: int, peak: float | Array | None = None) -> optax.Schedule:
        """The learning rate by step (0-based) of a run of so many steps.

        ``peak`` is that of the options unless told: see :func:`peak_rate`.
        """
        rest = max(1, steps - self.warmup_steps)
        share = {
            "constant": optax.constant_schedule(1.0),
            "cosine": optax.cosine_decay_schedule(1.0, rest, alpha=self.final_fraction),
            "linear": optax.linear_schedule(1.0, self.final_fraction, rest),
        }[self.schedule]
        if self.warmup_steps:
            first = 1.0 / self.warmup_steps
            warm = optax.linear_schedule(first, 1.0, max(1, self.warmup_steps - 1))
            share = optax.join_schedules([warm, share], [self.warmup_steps])
        top = jnp.float32(self.learning_rate if peak is None else peak)
        return lambda step: top * jnp.asarray(share(jnp.asarray(step, jnp.float32)), jnp.float32)

    def decays(self, path: str) -> bool:
        """Whether the parameter at this path decays and is penalised."""
        return any(re.search(pattern, path) for pattern in self.decay) and not any(
            re.search(pattern, path) for pattern in self.no_decay
        )

    def mask(self, params: PyTree) -> PyTree:
        """Which parameters decay, as a tree of booleans."""
        return map_named(lambda path, _: self.decays(path), params)

    def transform(self, steps: int) -> optax.GradientTransformation:
        """The whole chain for a run of so many steps, the negative learning rate included.

        Its numbers are in its state, where runs that differ in them alone have the same program.
        """
        b2 = self.b2 if self.b2 is not None else 0.99 if self.name in ("lion", "rmsprop") else 0.999
        chain = optax.inject_hyperparams(self._chain, "steps", hyperparam_dtype=jnp.float32)
        return _with_standard_promotion(
            chain(
                steps=steps,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay or None,
                clip=self.clip,
                momentum=self.momentum,
                b1=self.b1,
                b2=b2,
                eps=self.eps,
            )
        )

    def _chain(
        self,
        *,
        steps: int,
        learning_rate: Array,
        weight_decay: Array | None,
        clip: Array | None,
        momentum: Array,
        b1: Array,
        b2: Array,
        eps: Array,
    ) -> optax.GradientTransformation:
        links = [self._direction(momentum=momentum, b1=b1, b2=b2, eps=eps)]
        if clip is not None:
            links.insert(0, optax.clip_by_global_norm(clip))
        if weight_decay is not None:
            links.append(optax.add_decayed_weights(weight_decay, self.mask))
        links.append(optax.scale_by_learning_rate(self.rate(steps, learning_rate)))
        return optax.chain(*links)

    def _direction(
        self, *, momentum: Array, b1: Array, b2: Array, eps: Array
    ) -> optax.GradientTransformation:
        match self.name:
            case "sgd":
                return optax.identity()
            case "momentum":
                return optax.trace(momentum)
            case "nesterov":
                return optax.trace(momentum, nesterov=True)
            case "rmsprop":
                return optax.scale_by_rms(decay=b2, eps=eps, bias_correction=True)
            case "adagrad":
                return optax.scale_by_rss(initial_accumulator_value=0.1, eps=eps)
            case "adam" | "adamw":
                return optax.scale_by_adam(b1=b1, b2=b2, eps=eps)
            case "lion":
                return optax.scale_by_lion(b1=b1, b2=b2)
            case "muon":
                return _muon(momentum=momentum, b1=b1, b2=b2, eps=eps)


def peak_rate(opt_state: PyTree) -> Array:
    """The peak learning rate that the state of an optimizer's chain has."""
    return opt_state.hyperparams["learning_rate"]


def _muon(*, momentum: Array, b1: Array, b2: Array, eps: Array) -> optax.GradientTransformation:
    """Muon (Jordan et al., 2024) for hidden matrices and convolutions, Adam for the others.

    The last axis of a parameter is its output, the others together its input; where ``stacked``
    is in its path, the first one counts the layers, each of which is a matrix. Updates are
    scaled to the root mean square that Adam's have, 0.2 (Liu et al., 2025), so that both
    halves share one learning rate and one decay.
    """

    def first(path: str) -> int:
        return int("stacked" in path.split("/"))

    def label(path: str, parameter: Any) -> str:
        vector = parameter.ndim - first(path) < 2 or re.search(r"embed|head|position", path)
        return "adam" if vector else "muon"

    def dimensions(path: str, parameter: Any) -> optax.contrib.MuonDimensionNumbers:
        last = parameter.ndim - 1
        return optax.contrib.MuonDimensionNumbers(tuple(range(first(path), last)), (last,))

    def rescale(path: str, update: jax.Array) -> jax.Array:
        *inputs, outputs = update.shape[first(path) :]
        return update * (0.2 * math.sqrt(max(outputs, math.prod(inputs))))

    orthogonal = optax.contrib.scale_by_muon(
        beta=momentum,
        weight_dimension_numbers=lambda params: map_named(dimensions, params),
    )
    shaped = optax.stateless(lambda updates, _: map_named(rescale, updates))
    return optax.partition(
        {
            "muon": optax.chain(orthogonal, shaped),
            "adam": optax.scale_by_adam(b1=b1, b2=b2, eps=eps),
        },
        lambda params: map_named(label, params),
    )


def _with_standard_promotion(
    transform: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """The transform under JAX's default promotion: Optax mixes counters with floats."""

    def update(updates: PyTree, state: PyTree, params: PyTree | None = None) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return transform.update(updates, state, params)

    return optax.GradientTransformation(transform.init, update)


def moving_average(average: PyTree, params: PyTree, *, decay: float, step: jax.Array) -> PyTree:
    """One step of an exponential moving average that trusts its start less than its end.

    The decay is ``min(decay, (1 + step) / (10 + step))``, so that the random initial
    parameters are forgotten within some ten steps.
    """
    step = step.astype(jnp.float32)
    decay_now = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return optax.incremental_update(params, average, 1.0 - decay_now)
