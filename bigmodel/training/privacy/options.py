"""Options of private training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bigmodel.experiment import InputError


@dataclass(frozen=True)
class Privacy:
    """How little the trained parameters may say of any one training example.

    They are (epsilon, delta)-differentially private (Dwork et al., 2006) with respect to adding or
    removing an example, by stochastic gradient descent on clipped, noisy gradients (Abadi et al.,
    2016).
    """

    epsilon: float | None = None
    """how much the parameters may say of an example, as the logarithm of a factor of chances; by
    default they are not private. Below 1 is much protection, above 10 little"""
    delta: float | None = None
    """chance with which they may say more; by default a tenth of 1 over the number of examples"""
    clip: float = 1.0
    """largest norm of the gradient of one example; noise is in proportion to it"""
    microbatch: int = 8
    """examples in memory at a time; no result depends on it but for rounding"""

    def __post_init__(self) -> None:
        """Raises InputError for a guarantee that is none."""
        for name in ("epsilon", "delta", "clip"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"--privacy.{name} {value} must be above 0")
        if self.delta is not None and self.delta >= 1:
            raise InputError(f"--privacy.delta {self.delta} is no chance; use less than 1")
        if self.microbatch < 1:
            raise InputError(f"--privacy.microbatch {self.microbatch} must be at least 1")
        if self.epsilon is None and (self.delta is not None or self.clip != Privacy.clip):
            raise InputError("--privacy.epsilon is not given, and others of --privacy need it")
