import jax
import linear
import numpy as np

from bigmodel.run_directory.history import read_metrics
from bigmodel.training import fit


def test_it_is_the_run_with_the_same_seed_up_to_rounding(tmp_path) -> None:
    one = linear.experiment()
    state = fit(one, steps=40, seed=3)
    assert linear.run(tmp_path, one=one, seed=3) == 0
    logged = read_metrics(tmp_path / "metrics.jsonl")[-1]
    evaluate = jax.jit(one.eval_step)
    measured = [evaluate(state, batch)["loss"] for batch in one.data.splits["test"]]
    loss = sum(float(m.total) for m in measured) / sum(float(m.count) for m in measured)
    np.testing.assert_allclose(loss, logged["test/loss"], rtol=1e-5)


def test_initial_values_and_steps_have_keys_of_their_own() -> None:
    """A key that is used for both would make what is drawn in a step depend on the parameters."""
    used = []
    one = linear.experiment()

    def init(key):
        jax.debug.callback(lambda data: used.append(data.tolist()), jax.random.key_data(key))
        return one.init(key)

    def train_step(state, batch, key):
        jax.debug.callback(lambda data: used.append(data.tolist()), jax.random.key_data(key))
        return one.train_step(state, batch, key)

    fit(one._replace(init=init, train_step=train_step), steps=3, seed=0)
    jax.effects_barrier()
    root = jax.random.key_data(jax.random.key(0)).tolist()
    assert len({tuple(key) for key in [*used, root]}) == 5
