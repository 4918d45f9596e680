r"""BERT learns to fill in masked tokens of any UTF-8 text (Devlin et al., 2019).

    python experiments/bert.py   # Python's help texts: 2 min on 2 cores, 15.9 %
    python experiments/bert.py --data.path VERSES.txt --data.vocab-size 2048 --run.steps 3000 \
        --run.eval-every 500

The second one, of 27,445 verses of an English Bible, a line each: 12 min on 2 shared cores, 36.9 %,
where the guesses below have 5.6 and 14.5 %.

`test/accuracy` is the share of masked tokens that it finds. Beside it stand two guesses on the
same masks: `test/accuracy_most_frequent`, always the most frequent token, and
`test/accuracy_bigram`, what most often follows the token before; both were counted in the
training text and have 3.8 and 15.3 %. `experiments/bert_classify.py` can begin with what it
learned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bigmodel.data import (
    Masking,
    MaskReader,
    Text,
    TextData,
    load_text,
    masked,
    masks_of,
    read_tokenizer,
)
from bigmodel.data.texts.ngrams import Counted, count, counted
from bigmodel.data.texts.tokenizers import Tokenizer
from bigmodel.experiment import (
    Array,
    Assets,
    Batch,
    Data,
    Experiment,
    Mean,
    Model,
    Shown,
    Variables,
)
from bigmodel.inference.teaching import load_teacher
from bigmodel.models import Bert
from bigmodel.predictor import Predictor
from bigmodel.runtime import Run, Settings, main
from bigmodel.training import (
    Metric,
    Optimizer,
    Teacher,
    distilled,
    mask_predictor,
    next_token,
    supervised,
    taught,
    token_accuracy,
    weighted,
    with_logits,
)


@dataclass(frozen=True)
class Config(Settings):
    """A masked language model and how it is trained."""

    data: TextData = TextData(context=32, batch_size=64)
    masking: Masking = Masking()
    model: Bert = Bert()
    optimizer: Optimizer = Optimizer(
        "muon", learning_rate=1e-2, warmup_steps=50, momentum=0.95, weight_decay=0.1, eps=1e-6
    )
    teacher: Teacher = Teacher()
    run: Run = Run(steps=600, eval_every=200)


def build(config: Config, assets: Assets | None = None) -> Experiment:
    """The experiment of a config, or of a trained run's assets to evaluate other data."""
    text = load_text(config.data, assets, config.tokenizer(assets))
    vocab_size = text.tokenizer.vocab_size
    seen = counted(assets) if assets else count(text.train, vocab_size=vocab_size)
    data = masked(text.data, config.masking, vocab_size=vocab_size, token=text.tokenizer.mask)
    data = data._replace(assets={**data.assets, **seen.dump()})
    model = network(config, text.tokenizer)
    metrics = {"accuracy": token_accuracy, **guesses(seen)}
    teaching = load_teacher(config.teacher, data, assets)
    experiment = supervised(
        with_logits(config.begin(model, assets), teaching),
        # Its targets are the tokens at the masks here.
        distilled(next_token, teaching),
        metrics,
        config.optimizer,
        data,
        steps=config.run.total_steps(data.steps_per_epoch),
        show=filler(model, data, text),
        maximize=metrics,
    )
    return taught(experiment, teaching)


def predictor(config: Config, assets: Assets) -> Predictor:
    """What a trained run answers: the tokens at the masks of a text."""
    tokenizer, context = read_tokenizer(assets), config.data.context
    masks = masks_of(config.masking.fraction, context)
    return mask_predictor(network(config, tokenizer), MaskReader(tokenizer, context, masks))


def network(config: Config, tokenizer: Tokenizer) -> Model:
    """The model of a config for the tokens of a tokenizer."""
    return config.model.masked(
        vocab_size=tokenizer.vocab_size, context=config.data.context, special=tokenizer.special
    )


def guesses(seen: Counted) -> dict[str, Metric]:
    """The accuracy of guesses that look at no more than the token before, masks included."""
    often = np.int32(seen.often)
    # Nothing follows the mask in the training text.
    followers = np.append(seen.followers, often)

    def frequent(outputs: Array, batch: Batch) -> Mean:
        del outputs
        return weighted((batch["targets"] == often).astype(jnp.float32), batch)

    def bigram(outputs: Array, batch: Batch) -> Mean:
        del outputs
        at = batch["chosen"]
        before = jnp.take_along_axis(batch["tokens"], jnp.maximum(at - 1, 0), axis=1)
        guess = jnp.where(at > 0, jnp.asarray(followers)[before], often)
        return weighted((batch["targets"] == guess).astype(jnp.float32), batch)

    return {"accuracy_most_frequent": frequent, "accuracy_bigram": bigram}


def filler(model: Model, data: Data, text: Text) -> Callable[[Variables], Shown]:
    """What to show: how the model fills in a window that it was not trained on."""
    batch = (data.splits.get("validation") or data.splits.get("test") or [data.train(0, 0)])[0]
    asked = {name: array for name, array in batch.items() if name != "targets"}

    @jax.jit
    def fill(variables: Variables) -> jax.Array:
        return model.apply(variables, asked, train=False, key=None)[0].argmax(axis=-1)

    def show(variables: Variables) -> Shown:
        tokens, read = batch["tokens"][0].copy(), text.tokenizer.decode
        at, right = batch["chosen"][0], batch["targets"][0]
        tokens[at] = right
        pieces = [read(tokens[index : index + 1]) for index in range(batch["length"][0])]
        for index, truth, guess in zip(at, right, np.asarray(fill(variables))[0], strict=True):
            filled = "" if guess == truth else f"{read(guess[None])}|"
            pieces[index] = f"[{filled}{read(truth[None])}]"
        return {"filled": "[guess|truth], [both]\n\n" + "".join(pieces)}

    return show


TINY = (
    "--model.layers=2",
    "--model.width=32",
    "--data.batch-size=16",
    "--data.validation=0.01",
    "--data.test=0.01",
    "--run.steps=60",
)


if __name__ == "__main__":
    main(build, Config())
