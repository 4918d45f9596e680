"""Optax chains from options: clipping, the optimizer, decoupled decay, the schedule."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from bigmodel.experiment import InputError, PyTree
from bigmodel.training.rates import check_rate, scale_by_rates
from bigmodel.tree import dimensions, map_named, named_leaves, repetitions

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
    decay: tuple[str, ...] = ()
    """path patterns of the parameters that decay and are penalised; by default all that have two
    dimensions or more, so no biases, norms, class tokens"""
    no_decay: tuple[str, ...] = ()
    """path patterns of the parameters that do not, whatever decay says"""
    freeze: tuple[str, ...] = ()
    """path patterns of the parameters that keep their initial values; they have no moments"""
    scale: tuple[str, ...] = ()
    """PATTERN=FACTOR: what the learning rate of parameters is multiplied with; the first pattern
    that finds a path counts"""
    layer_decay: float = 1.0
    """transformers: what the learning rate of a block is multiplied with once for each block after
    it, and that of an embedding for all blocks (Clark et al., 2020)"""
    adam_parameters: tuple[str, ...] = (r"(^|/)(embed|embedding|positions?|head)(/|$)",)
    """muon: path patterns of the parameters that Adam trains beside all that have less than two
    dimensions; the others are orthogonalized. In a path, stacked, experts and members stand for an
    axis over which parameters are repeated, and which is no dimension of theirs"""
    l1: float = 0.0
    """penalty l1 * sum |p| added to the loss"""
    l2: float = 0.0
    """penalty l2 * sum p^2 / 2 added to the loss"""
    clip: float | None = None
    """largest global norm of the gradients"""
    accumulate: int = 1
    """parts into which a batch is cut, their gradients added up by a scan"""
    ema: float | None = None
    """decay of an exponential moving average of the parameters and of the statistics of batch
    normalization, used to evaluate"""
    parameter_dtype: Literal["float32", "bfloat16"] = "float32"
    """type in which parameters are kept; they are updated in float32 and rounded at random to one
    of both neighbours, since the nearest would swallow small updates"""
    moment_dtype: Literal["float32", "bfloat16"] = "float32"
    """type in which first moments and momenta are kept; second moments, which change by less than
    bfloat16 can tell, stay float32"""
    skip_nonfinite: int = 0
    """updates in a row that are skipped, and counted, where the loss or a gradient is not finite;
    one more ends the run"""

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
            ("skip_nonfinite", 0, math.inf),
            ("layer_decay", 0.0, 1.0),
        ):
            value = getattr(self, field)
            if value is not None and not (low <= value <= high and math.isfinite(value)):
                option = field.replace("_", "-")
                most = "" if high == math.inf else f" and at most {high:g}"
                raise InputError(
                    f"{option} is {value}; it must be a finite number of at least {low:g}{most}"
                )
        for rule in self.scale:
            check_rate(rule)
        for field in ("decay", "no_decay", "freeze", "adam_parameters"):
            for pattern in getattr(self, field):
                try:
                    re.compile(pattern)
                except (re.error, OverflowError) as error:
                    option = field.replace("_", "-")
                    raise InputError(f"{option} {pattern!r} is no regex: {error}") from None

    def learning_rate_schedule(self, steps: int) -> optax.Schedule:
        """The learning rate by the number of updates made, in a run of so many steps."""
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
        peak = np.float32(self.learning_rate)
        return lambda step: peak * jnp.asarray(share(jnp.asarray(step, jnp.float32)), jnp.float32)

    def decays(self, params: PyTree) -> PyTree:
        """Which parameters decay and are penalised, as a tree of booleans.

        Raises:
            InputError: a pattern finds no parameter.
        """
        paths = named_leaves(params)
        for option, patterns in (("decay", self.decay), ("no-decay", self.no_decay)):
            for pattern in patterns:
                if not any(_matches((pattern,), path) for path in paths):
                    raise InputError(f"--optimizer.{option} {pattern} finds no parameter")

        def decays(path: str, parameter: Any) -> bool:
            if _matches(self.no_decay, path):
                return False
            return _matches(self.decay, path) if self.decay else dimensions(path, parameter) >= 2

        return map_named(decays, params)

    def transform(self, steps: int) -> optax.GradientTransformation:
        """The whole chain for a run of so many steps, the negative learning rate included."""
        links = [self._direction()]
        if self.clip is not None:
            links.insert(0, optax.clip_by_global_norm(self.clip))
        if self.weight_decay:
            links.append(optax.add_decayed_weights(self.weight_decay, self.decays))
        links.append(optax.scale_by_learning_rate(self.learning_rate_schedule(steps)))
        if self.scale or self.layer_decay != 1:
            links.append(scale_by_rates(self.scale, layer_decay=self.layer_decay))
        return _with_standard_promotion(optax.chain(*links))

    def _direction(self) -> optax.GradientTransformation:
        dtype = jnp.dtype(self.moment_dtype)
        b2 = self.b2 if self.b2 is not None else 0.99 if self.name in ("lion", "rmsprop") else 0.999
        match self.name:
            case "sgd":
                return optax.identity()
            case "momentum":
                return optax.trace(self.momentum, accumulator_dtype=dtype)
            case "nesterov":
                return optax.trace(self.momentum, nesterov=True, accumulator_dtype=dtype)
            case "rmsprop":
                return optax.scale_by_rms(decay=b2, eps=self.eps, bias_correction=True)
            case "adagrad":
                return optax.scale_by_rss(initial_accumulator_value=0.1, eps=self.eps)
            case "adam" | "adamw":
                return optax.scale_by_adam(b1=self.b1, b2=b2, eps=self.eps, mu_dtype=dtype)
            case "lion":
                return optax.scale_by_lion(b1=self.b1, b2=b2, mu_dtype=dtype)
            case "muon":
                adam = optax.scale_by_adam(b1=self.b1, b2=b2, eps=self.eps, mu_dtype=dtype)

                def label(path: str, parameter: Any) -> str:
                    vector = dimensions(path, parameter) < 2
                    return "adam" if vector or _matches(self.adam_parameters, path) else "muon"

                return optax.partition(
                    {"muon": _muon(self.momentum, dtype), "adam": adam},
                    lambda params: map_named(label, params),
                )


def _matches(patterns: tuple[str, ...], path: str) -> bool:
    return any(re.search(pattern, path) for pattern in patterns)


def _muon(momentum: float, dtype: jnp.dtype) -> optax.GradientTransformation:
    """Muon (Jordan et al., 2024) of matrices and convolutions.

    The last axis of a parameter is its output, the other dimensions together are its input.
    Updates are scaled to the root mean square that Adam's have, 0.2 (Liu et al., 2025), so that
    both share one learning rate and one decay.
    """

    def axes(path: str, parameter: Any) -> optax.contrib.MuonDimensionNumbers:
        last = parameter.ndim - 1
        return optax.contrib.MuonDimensionNumbers(tuple(range(repetitions(path), last)), (last,))

    # Without iterations it is the momentum over its Frobenius norm.
    normalized = optax.contrib.scale_by_muon(
        ns_steps=0,
        beta=momentum,
        mu_dtype=dtype,
        weight_dimension_numbers=lambda params: map_named(axes, params),
    )
    return optax.chain(normalized, optax.stateless(lambda updates, _: _orthogonalized(updates)))


def _orthogonalized(updates: PyTree) -> PyTree:
    """The updates with singular values near 1, those of one shape in one batch of products."""
    groups: dict[tuple[int, ...], dict[str, jax.Array]] = {}
    for path, update in named_leaves(updates).items():
        matrices = update.reshape(-1, *_matrix(path, update))
        wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
        groups.setdefault(wide.shape[1:], {})[path] = wide
    found: dict[str, jax.Array] = {}
    for group in groups.values():
        ends = np.cumsum([len(matrices) for matrices in group.values()])
        together = _newton_schulz(jnp.concatenate(list(group.values())))
        found |= zip(group, jnp.split(together, ends[:-1]), strict=True)

    def scaled(path: str, update: jax.Array) -> jax.Array:
        rows, columns = _matrix(path, update)
        matrices = found[path].mT if rows > columns else found[path]
        return matrices.reshape(update.shape) * (0.2 * math.sqrt(max(rows, columns)))

    return map_named(scaled, updates)


def _matrix(path: str, parameter: Any) -> tuple[int, int]:
    """Inputs and outputs of a parameter, each repetition of it being a matrix."""
    *inputs, outputs = parameter.shape[repetitions(path) :]
    return math.prod(inputs), outputs


def _newton_schulz(x: Float[Array, "matrix row column"]) -> Float[Array, "matrix row column"]:
    """Brings the singular values of matrices, at most 1, near 1 (Jordan et al., 2024)."""
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    return x


def _with_standard_promotion(
    transform: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """The transform under JAX's default promotion: Optax mixes counters with floats."""

    def update(updates: PyTree, state: PyTree, params: PyTree | None = None) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return transform.update(updates, state, params)

    return optax.GradientTransformation(transform.init, update)


def kept(params: PyTree, *, like: PyTree, key: jax.Array) -> PyTree:
    """Float32 parameters in the types of ``like``.

    Those in bfloat16 are rounded up or down at random, with chances that keep their mean (Gupta
    et al., 2015).
    """
    leaves, structure = jax.tree.flatten(params)
    # The step draws other numbers from the same key, by smaller ones.
    keys = jax.random.split(jax.random.fold_in(key, 2**31 - 1), len(leaves))
    rounded = [
        leaf if leaf.dtype == old.dtype else _rounded(leaf, key)
        for leaf, old, key in zip(leaves, jax.tree.leaves(like), keys, strict=True)
    ]
    return jax.tree.unflatten(structure, rounded)


def _rounded(values: jax.Array, key: jax.Array) -> jax.Array:
    """Float32 to bfloat16, whose bits are the upper half."""
    noise = jax.random.bits(key, values.shape, jnp.uint16).astype(jnp.uint32)
    bits = jax.lax.bitcast_convert_type(values, jnp.uint32) + noise
    upper = (bits >> 16).astype(jnp.uint16)
    found = jax.lax.bitcast_convert_type(upper, jnp.bfloat16)
    return jnp.where(jnp.isfinite(values), found, values.astype(jnp.bfloat16))


def moving_average(average: PyTree, values: PyTree, *, decay: float, step: jax.Array) -> PyTree:
    """One step of an exponential moving average that trusts its start less than its end.

    The decay is ``min(decay, (1 + step) / (10 + step))``, so that the random initial
    parameters are forgotten within some ten steps. What is no floating-point number, such as a
    counter, is not averaged but the last one.
    """
    step = step.astype(jnp.float32)
    share = 1.0 - jnp.minimum(decay, (1.0 + step) / (10.0 + step))

    def averaged(old: jax.Array, new: jax.Array) -> jax.Array:
        new = new.astype(old.dtype)
        if not jnp.issubdtype(new.dtype, jnp.floating):
            return new
        return old + share.astype(new.dtype) * (new - old)

    return jax.tree.map(averaged, average, values)
