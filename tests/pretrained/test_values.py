"""A folder in Hugging Face's layout is asked as a run is, and answers what its own network says."""

import dataclasses
import json
import string
from pathlib import Path

import jax
import numpy as np
import pytest
from encoder_cases import CASES, CLASSES, SPECIAL, TEXT, variables, write
from scipy.special import softmax
from test_contract import build, losses

import bigmodel
import launch
from bigmodel.experiment import InputError
from bigmodel.inference.foreign import Foreign
from bigmodel.models import Gpt
from bigmodel.pretrained.families import family
from bigmodel.sharding.mesh import MeshShape, make_mesh
from bigmodel.tree import named_leaves, nested

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, *string.digits[:9])
LETTERS = (*string.ascii_lowercase, "Ġ", "<end>")
GPT = Gpt(
    layers=2, width=16, heads=4, kv_heads=2, expansion=2.5, activation="swiglu", epsilon=1e-5,
    tied=False, scan=False,
)  # fmt: skip
CONTEXT = 24


def tokenizer(kind, tokens, special):
    """The content of a tokenizer.json."""
    rest = {"normalizer": None, "post_processor": None, "truncation": None, "padding": None}
    vocabulary = {token: number for number, token in enumerate(tokens)}
    model = {"type": kind, "vocab": vocabulary}
    if kind == "BPE":
        model |= {"merges": []}
        rest |= {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False,
                                   "trim_offsets": True, "use_regex": False}}  # fmt: skip
        rest |= {"decoder": {"type": "ByteLevel", "add_prefix_space": False,
                             "trim_offsets": True, "use_regex": False}}  # fmt: skip
    else:
        model |= {"unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100}  # fmt: skip
        rest |= {"pre_tokenizer": {"type": "BertPreTokenizer"}}
        rest |= {"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}}
    added = [
        {"id": vocabulary[token], "content": token, "special": True, "normalized": False,
         "single_word": False, "lstrip": False, "rstrip": False}
        for token in special
    ]  # fmt: skip
    return json.dumps({"version": "1.0", "added_tokens": added, "model": model, **rest})


def folder_of(folder, name, **files):
    """A folder of one of the encoders; its case and variables."""
    case = CASES[name]
    given, options = variables(case), dataclasses.asdict(case.options)
    write(folder, *family(case.family).to_theirs(given, options, case.facts))
    (folder / "tokenizer.json").write_text(tokenizer("WordPiece", PIECES, PIECES[:5]))
    for file, content in files.items():
        path = folder / file.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".json").write_text(json.dumps(content))
    return case, given


def outputs(model, given, batch):
    apply = jax.jit(lambda variables: model.apply(variables, batch, train=False, key=None)[0])
    return np.asarray(apply(nested(given)))


def ids_of(*texts):
    """What texts of single letters are read as."""
    rows = [[PIECES.index(letter) for letter in text.split()] for text in texts]
    rows = [[*row, SPECIAL["separator"]] for row in rows]
    tokens = np.zeros((len(rows), TEXT["context"]), np.int32)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = ids
    return {"tokens": tokens, "length": np.array([len(ids) for ids in rows], np.int32)}


TEXTS = ("b", "a c d", "z y x w v")


def test_an_encoder_gives_a_vector_for_each_text_as_its_folder_says(tmp_path):
    files = {"1_Pooling__config": {"pooling_mode_mean_tokens": True}}
    files["modules"] = [{"type": "sentence_transformers.models.Normalize"}]
    case, given = folder_of(tmp_path, "BertModel", **files)
    model = bigmodel.load(tmp_path)
    found = model.predict(TEXTS)
    expected = case.options.vectors(pooling="mean", normalized=True, **TEXT)
    np.testing.assert_allclose(found, outputs(expected, given, ids_of(*TEXTS)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(model.predict(TEXTS[::-1], batch_size=2)[::-1], found, atol=1e-5)
    assert json.loads(json.dumps(found)) == found


def test_a_classifier_of_texts_gives_its_classes(tmp_path):
    case, given = folder_of(tmp_path, "BertForSequenceClassification")
    answers = bigmodel.load(tmp_path).predict(TEXTS)
    probabilities = softmax(outputs(case.build(case.options), given, ids_of(*TEXTS)), axis=1)
    for answer, row in zip(answers, probabilities, strict=True):
        names = dict(zip(case.facts["labels"], row, strict=True))
        assert answer["class"] == max(names, key=names.__getitem__)
        assert answer["probabilities"] == pytest.approx(names, rel=1e-4)


def test_a_masked_language_model_fills_masks(tmp_path):
    case, given = folder_of(tmp_path, "BertForMaskedLM")
    [answer] = bigmodel.load(tmp_path).predict(["a [MASK] c"])
    tokens = ids_of("a b c") | {"chosen": np.array([[1]], np.int32)}
    tokens["tokens"][0, 1] = SPECIAL["mask"]
    best = outputs(case.build(case.options), given, tokens)[0, 0].argmax()
    assert PIECES[best] in answer["masks"][0]


def test_a_classifier_of_images_reads_pixels_as_its_folder_says(tmp_path):
    case, given = folder_of(tmp_path, "ViTForImageClassification")
    images = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)
    answers = bigmodel.load(tmp_path).predict(images)
    logits = outputs(case.build(case.options), given, {"image": images})
    labels = [case.facts["labels"][number] for number in logits.argmax(axis=1)]
    assert [answer["class"] for answer in answers] == labels
    assert len(answers[0]["probabilities"]) == CLASSES


MODEL = GPT.build(vocab_size=40, context=CONTEXT)
LOGITS = jax.jit(lambda v, tokens: MODEL.apply(v, {"tokens": tokens}, train=False, key=None)[0])


def greedy(given, *ids):
    """The letters of the likeliest tokens, one after another."""
    tokens = np.zeros((1, CONTEXT), np.int32)
    tokens[0, : len(ids)] = ids
    for at in range(len(ids), len(ids) + 8):
        logits = LOGITS(nested(given), tokens)
        tokens[0, at] = np.asarray(logits)[0, at - 1].argmax()
    return "".join(LETTERS[token] for token in tokens[0, len(ids) : len(ids) + 8])


@pytest.fixture(scope="module")
def weights():
    """The variables of a causal model for which nothing but letters is likely."""
    batch = {"tokens": np.zeros((1, 3), np.int32)}
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), batch)
    random = np.random.default_rng(3)
    given = {
        path: (random.normal(size=leaf.shape) * 0.3 + path.endswith("scale")).astype(np.float32)
        for path, leaf in named_leaves(shapes).items()
    }
    given["params/norm/scale"] *= 9
    given["params/head/kernel"][:, 26:] = 0
    return given


def causal_folder(folder, given, *, template="", before=False, **config):
    """A folder of the causal model; ``before`` is whether a token stands before each text."""
    folder.mkdir(exist_ok=True)
    theirs = family("llama").to_theirs(given, dataclasses.asdict(GPT), {"context": CONTEXT})
    write(folder, theirs[0], theirs[1] | config)
    content = json.loads(tokenizer("BPE", LETTERS, LETTERS[-1:]))
    if before:
        text, end = {"Sequence": {"id": "A", "type_id": 0}}, {"id": "<end>", "type_id": 0}
        content["post_processor"] = {
            "type": "TemplateProcessing", "single": [{"SpecialToken": end}, text], "pair": [text],
            "special_tokens": {"<end>": {"id": "<end>", "ids": [27], "tokens": ["<end>"]}},
        }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(content))
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.fixture(scope="module")
def causal(tmp_path_factory, weights):
    """A folder of a causal model, and the letters by which it goes on with ``abc``, greedily."""
    folder = causal_folder(tmp_path_factory.mktemp("causal"), weights)
    return folder, greedy(weights, 0, 1, 2)


GREEDY = ("--sampling.temperature", "0", "--sampling.tokens", "8", "--length", "16")


def test_a_causal_model_goes_on_with_a_prompt(causal):
    folder, following = causal
    model = bigmodel.load(folder, options=GREEDY)
    assert model.predict(["abc", "xy"])[0]["text"] == following
    assert "".join(model.stream("abc")) == following
    with pytest.raises(InputError, match=r"input 1: there is no chat_template"):
        model.predict([{"messages": [{"role": "user", "content": "abc"}]}])


def test_a_text_ends_before_the_token_that_ends_it(weights, causal, tmp_path):
    following = causal[1]
    causal_folder(tmp_path, weights, eos_token_id=LETTERS.index(following[3]))
    [answer] = bigmodel.load(tmp_path, options=GREEDY).predict(["abc"])
    assert answer["text"] == following[: following.index(following[3])]


def test_the_token_that_a_tokenizer_puts_before_a_text_is_read(weights, tmp_path):
    causal_folder(tmp_path, weights, before=True)
    [answer] = bigmodel.load(tmp_path, options=GREEDY).predict(["abc"])
    assert answer["text"] == greedy(weights, 27, 0, 1, 2)


def test_a_dialogue_is_answered_by_the_template_of_the_folder(weights, causal, tmp_path):
    pytest.importorskip("jinja2")
    template = "{% for m in messages %}{{ m.content }}<end>{% endfor %}"
    causal_folder(tmp_path, weights, template=template)
    model = bigmodel.load(tmp_path, options=GREEDY)
    dialogue = {"messages": [{"role": "user", "content": "abc"}]}
    answers = model.predict([dialogue, json.dumps(dialogue), "abc"])
    answered = greedy(weights, 0, 1, 2, 27)
    assert [answer["text"] for answer in answers] == [answered, answered, causal[1]]


def test_a_folder_teaches_a_run_that_reads_its_tokens(weights, tmp_path):
    folder = causal_folder(tmp_path / "folder", weights)
    (tmp_path / "text").write_text("abc def xyz " * 400)
    options = (
        f"--data.path={tmp_path / 'text'}", "--data.context=8", "--data.batch-size=8",
        f"--init.from={folder}", "--init.exclude=embedding", "--model.from", str(folder),
        "--model.layers=1", "--model.width=16", "--sampling.tokens=4",
    )  # fmt: skip
    script = Path(launch.__file__).parent / "experiments" / "gpt.py"
    alone, taught = (
        losses(build(script, *options, *teacher), MeshShape(1), 2)[0]
        for teacher in ((), (f"--teacher.run={folder}",))
    )
    assert all(np.isfinite(taught))
    assert taught != alone


def test_variables_are_split_over_a_mesh_as_in_training(causal):
    folder, following = causal
    model = bigmodel.load(folder, options=GREEDY, mesh=make_mesh(MeshShape(2, 4)))
    kernel = model.variables["params"]["blocks_0"]["feed_forward"]["up"]["kernel"]
    assert kernel.sharding.shard_shape(kernel.shape) == (4, 40)
    assert model.predict(["abc"])[0]["text"] == following


def test_the_commands_ask_a_folder(causal, tmp_path, capsys):
    folder, following = causal
    assert launch.main(["predict", str(folder), "abc", "--", *GREEDY]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == following
    folder_of(tmp_path, "BertModel")
    assert launch.main(["predict", str(tmp_path), *TEXTS]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    np.testing.assert_allclose(lines, bigmodel.load(tmp_path).predict(TEXTS), atol=1e-6)
    assert launch.main(["evaluate", str(folder)]) == 2
    assert "no manifest.json" in capsys.readouterr().err


def test_what_cannot_be_asked_is_said_in_a_line(causal, tmp_path):
    folder, _ = causal
    with pytest.raises(InputError, match=r"is no run directory: it has neither"):
        bigmodel.load(folder, at="last")
    with pytest.raises(InputError, match=r"--length 0 is too short"):
        bigmodel.load(folder, options=("--length", "0"))
    with pytest.raises(InputError, match=r"there is no option --sampling.token; .*tokens"):
        bigmodel.load(folder, options=("--sampling.token", "0"))
    folder_of(tmp_path, "BertModel")
    with pytest.raises(InputError, match=r"--length 16 is more than the 15 positions"):
        bigmodel.load(tmp_path, options=("--length", "16"))
    with pytest.raises(InputError, match=r"it has 16 tokens, and the model reads 15"):
        bigmodel.load(tmp_path).predict(["a " * 15])
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=rf"{tmp_path}: there is no tokenizer.json"):
        bigmodel.load(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"architectures": ["BertForTokenClassification"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text(tokenizer("WordPiece", PIECES, PIECES[:5]))
    with pytest.raises(InputError, match=r"BertForTokenClassification .* answers nothing"):
        bigmodel.load(tmp_path)


def test_variables_that_are_not_those_of_the_config_are_named(weights, tmp_path):
    causal_folder(tmp_path, weights, intermediate_size=41)
    message = r"params/blocks_0/feed_forward/down/kernel has shape \[40, 16\], .* \[41, 16\]"
    with pytest.raises(InputError, match=message):
        bigmodel.load(tmp_path)


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    assert repr(Foreign(tmp_path / "nowhere")) == f"Foreign({str(tmp_path / 'nowhere')!r})"
