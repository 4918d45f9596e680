"""Options that every experiment has."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bigmodel.experiment import Assets, Experiment, InputError, Model
from bigmodel.output import note
from bigmodel.pretrained.source import Source
from bigmodel.processes.distributed import is_first
from bigmodel.run_directory.directory import MANIFEST, RunDirectory
from bigmodel.run_directory.manifest import examples_of
from bigmodel.run_directory.trained import read_source
from bigmodel.runtime.xla import MatmulPrecision
from bigmodel.sharding.mesh import MeshShape
from bigmodel.tracking.progress import say
from bigmodel.training.compression.awareness import Quantization, aware
from bigmodel.training.compression.pruning import Prune, pruning
from bigmodel.training.privacy.options import Privacy
from bigmodel.training.transfer.beginning import Init, beginning

if TYPE_CHECKING:
    from bigmodel.data.texts.tokenizers import Tokenizer

TEST = "test"
"""The split that is left for the end of a run."""


@dataclass(frozen=True)
class Run:
    """How long a run is, what it reports and keeps, and where.

    A step is one update of the parameters; an epoch is one pass over the training data.
    """

    steps: int = 1000
    """length of the run in steps"""
    epochs: float | None = None
    """length of the run in epochs, instead of steps"""
    dir: str = ""
    """run directory; by default runs/, the experiment's name and a digest of its config"""
    log_every: int = 50
    """steps between two lines of training metrics"""
    eval_every: int = 200
    """steps between two evaluations; there is one at the last step in any case"""
    eval_every_epochs: float | None = None
    """epochs between two evaluations, instead of steps"""
    test_every: int | None = None
    """steps between two evaluations of the test split; by default it is left for the end of the
    run, the last state and the best one, or takes part in each evaluation where there is no
    validation split or --run.best is one of its metrics"""
    checkpoint_every: int | None = None
    """steps between two checkpoints; by default one at each evaluation"""
    keep: int = 2
    """how many of the last checkpoints to keep, beside the best one"""
    best: str = "validation/loss"
    """metric that decides which checkpoint is the best and when to stop early; whether more of it
    is better, its experiment says"""
    patience: int | None = None
    """evaluations without a better value after which the run stops early"""
    steps_per_call: int | None = None
    """updates that the devices make in one call at most, up to the next that is logged; by default
    one, or more where an update takes less time than its call. No bit depends on it, so on CPUs it
    is one where there are convolutions"""
    deterministic: bool = True
    """the same bits in each run on NVIDIA GPUs, by algorithms that can be slower"""
    matmul_precision: MatmulPrecision = "default"
    """of products of float32 matrices: default is TF32 on NVIDIA GPUs and one pass of bfloat16 on
    TPUs, tensorfloat32 three passes there, and highest float32, which CPUs always compute in"""
    flags: bool = True
    """the flags for GPUs and TPUs of docs/scale.md: collectives beside products, more memory"""
    profile: str = ""
    """steps START:STOP to record in profile/, for TensorBoard's profiler and Perfetto"""
    sinks: tuple[Literal["wandb", "mlflow"], ...] = ()
    """where else to log: wandb (Weights & Biases) and mlflow, set up by their environment"""

    def __post_init__(self) -> None:
        """Raises InputError for a number that is not positive."""
        for name, value in vars(self).items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name.replace('_', '-')} is {value}; it must be positive")
        self.profiled_steps()

    def profiled_steps(self) -> range:
        """The steps to record, from 0, none by default; raises InputError for no START:STOP."""
        first, colon, end = self.profile.partition(":")
        if not self.profile:
            return range(0)
        if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
            raise InputError(f"profile is {self.profile}; write it as START:STOP, such as 10:13")
        if self.epochs is None and int(first) >= self.steps:
            raise InputError(f"profile is {self.profile}, and the run has {self.steps} steps")
        return range(int(first), int(end))

    def check_best(self, evaluated: Callable[[], Sequence[str]]) -> None:
        """Raises InputError where the metric that decides is not among those evaluated.

        The default may be absent, where there is no validation split, if nothing depends on it.
        """
        if self.patience is None and self.best == Run.best:
            return
        names = evaluated()
        if self.best not in names:
            known = ", ".join(names)
            raise InputError(f"--run.best {self.best} is not evaluated; there are {known}")

    def total_steps(self, steps_per_epoch: int) -> int:
        """The length of the run in steps."""
        return _steps(self.steps, self.epochs, steps_per_epoch)

    def evaluation_steps(self, steps_per_epoch: int) -> int:
        """The number of steps between two evaluations."""
        return _steps(self.eval_every, self.eval_every_epochs, steps_per_epoch)

    def test_steps(self, every: int, splits: Collection[str]) -> int:
        """The number of steps between two evaluations of the test split; 0 leaves it for the end.

        All splits together are evaluated as often as ``every`` says.
        """
        if self.test_every is not None:
            return self.test_every
        return every if self.best.startswith(f"{TEST}/") or set(splits) == {TEST} else 0


def _steps(steps: int, epochs: float | None, steps_per_epoch: int) -> int:
    return steps if epochs is None else max(1, round(epochs * steps_per_epoch))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the config of every experiment has beside its own options."""

    seed: int = 0
    """decides the initial parameters, the order of the data and all that is random"""
    init: Init = Init()
    quantization: Quantization = Quantization()
    prune: Prune = Prune()
    privacy: Privacy = Privacy()
    mesh: MeshShape = MeshShape()
    run: Run = Run()

    def __post_init__(self) -> None:
        """Raises InputError for a seed that no random generator takes."""
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed is {self.seed}; it must be between 0 and 2147483647")
        if self.prune.sparsity and self.init.lora_rank:
            raise InputError(
                "--prune.sparsity prunes kernels, and --init.lora-rank trains products beside "
                "them; leave one of both out"
            )

    @functools.cached_property
    def source(self) -> Source:
        """What ``--init.from`` names; raises InputError where it cannot be used."""
        return read_source(Path(self.init.from_), option="--init.from")

    def begin(self, model: Model, assets: Assets | None = None) -> Model:
        """The model, which begins, is rounded, pruned and protected as the options say.

        With the assets of a trained run it begins as any other, for that run has its variables.

        Raises:
            InputError: where what it is to begin with cannot be used.
        """
        model = aware(model, self.quantization)
        if assets is None and self.privacy.epsilon is not None:
            model = model._replace(privacy=self.privacy)
        if not self.init.from_ or assets is not None:
            return pruning(model, self.prune)
        learned, sha256 = self.source.variables, self.source.sha256

        def tell(line: str) -> None:
            if is_first():
                say(line)

        begun = beginning(model, learned, self.init, sha256=sha256, tell=tell)
        return pruning(begun, self.prune)

    def check_protected(self, experiment: Experiment) -> None:
        """Raises InputError where ``--privacy`` is to protect examples that nothing protects."""
        if self.privacy.epsilon is None:
            return
        if experiment.privacy is None:
            raise InputError(
                "--privacy.epsilon is for a network of config.begin that learns targets by one "
                "loss, and this is none; leave it out"
            )
        teacher = getattr(getattr(self, "teacher", None), "run", "")
        for option, path in (("--init.from", self.init.from_), ("--teacher.run", teacher)):
            facts = RunDirectory(Path(path)).read_json(MANIFEST) if path else None
            if facts and examples_of(facts) == experiment.privacy.data:
                raise InputError(
                    f"{option} {path} has learned from the same examples, which --privacy.epsilon "
                    "would not protect from that; give a run of public data"
                )
            if path:
                note(f"what {option} {path} has learned from is not protected by --privacy.epsilon")

    def tokenizer(self, assets: Assets | None = None) -> Tokenizer | None:
        """The tokenizer of what the model begins with; None where there is none."""
        from bigmodel.data.texts.tokenizers import load  # which only texts need

        if not self.init.from_ or assets is not None or self.source.tokenizer is None:
            return None
        return load(self.source.tokenizer)
