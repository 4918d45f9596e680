r"""Multilayer perceptron on a table, for classes or numbers (Rumelhart et al., 1986).

    python experiments/mlp.py   # digits: 0.2 min on 2 cores, 97.8 % test accuracy

On three divisions of the digits (`--data.split-seed` 0 to 2) it is 97.8, 98.6 and 98.1 %.

Small tables want more regularisation, here in five folds:

    python experiments/mlp.py --data.name breast_cancer --data.folds 5 --model.dropout 0.5 \
        --optimizer.learning-rate 2e-3 --optimizer.weight-decay 0.3 --run.steps 500

`--data.name diabetes` predicts a number; penguins and titanic have missing values.
benchmarks/tables.py compares with scikit-learn. Your own table, with a header line:

    python experiments/mlp.py --data.name csv --data.path FILE --data.target COLUMN
"""

from __future__ import annotations

from dataclasses import dataclass

from bigmodel.data import TableData, load_table
from bigmodel.experiment import Experiment
from bigmodel.models.mlp import Mlp
from bigmodel.runtime import Run, Settings, main
from bigmodel.training.ensemble import average, mixture, of_all, of_each, report_of_all
from bigmodel.training.losses import cross_entropy
from bigmodel.training.metrics import accuracy
from bigmodel.training.optimizers import Optimizer
from bigmodel.training.regression import regression, squared_error
from bigmodel.training.reports import classification
from bigmodel.training.supervised import supervised


@dataclass(frozen=True)
class Config(Settings):
    """An ensemble of perceptrons and how it is trained."""

    data: TableData = TableData()
    model: Mlp = Mlp(widths=(256, 256), members=4, dropout=0.0)
    optimizer: Optimizer = Optimizer("adamw", learning_rate=1e-2, weight_decay=0.1, eps=1e-6)
    run: Run = Run(steps=1000, eval_every=200)


def build(config: Config) -> Experiment:
    """The experiment of a config."""
    table = load_table(config.data)
    target = table.target
    if target.names:
        model = config.model.build(len(target.names))
        loss = of_each(cross_entropy)
        metrics = {"accuracy": of_all(mixture, accuracy)}
        report = report_of_all(mixture, classification(target.names))
    else:
        model = config.model.build(None)
        loss = of_each(squared_error)
        metrics = {}
        report = report_of_all(
            average, regression(target.column, mean=target.mean, scale=target.scale)
        )
    steps = config.run.total_steps(table.data.steps_per_epoch)
    return supervised(model, loss, metrics, config.optimizer, table.data, steps=steps, **report)


TINY = (
    "--model.widths", "32", "32", "--model.members=2", "--optimizer.learning-rate=5e-3",
    "--run.steps=60",
)  # fmt: skip


if __name__ == "__main__":
    main(build, Config())
