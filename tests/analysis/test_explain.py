"""Explanations of trained runs, in Python and as a user types them."""

import io
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rare import rare
from test_contract import ROOT, build, run

import bigmodel
import launch
from bigmodel.experiment import InputError

OPTIONS = {
    "bert_classify": ("--model.layers=1", "--ensemble.members=2"),
    "gpt": ("--model.layers=1",),
    "mlp": ("--data.name=titanic",),
    "rnn": ("--data.name=sunspots",),
    "vit": ("--model.layers=2", "--model.width=16"),
}
ABLE = {
    "audio": "gradients smoothgrad integrated_gradients grad_cam rollout occlusion",
    "bert": "gradients smoothgrad integrated_gradients rollout occlusion",
    "bert_classify": "gradients smoothgrad integrated_gradients occlusion",
    "cnn": "gradients smoothgrad integrated_gradients grad_cam occlusion",
    "cnn1d": "gradients smoothgrad integrated_gradients grad_cam occlusion",
    "gpt": "gradients smoothgrad integrated_gradients rollout occlusion",
    "mlp": "gradients smoothgrad integrated_gradients occlusion",
    "rnn": "gradients smoothgrad integrated_gradients occlusion",
    "tagging": "gradients smoothgrad integrated_gradients rollout occlusion",
    "video": "gradients smoothgrad integrated_gradients grad_cam occlusion",
    "vit": "gradients smoothgrad integrated_gradients rollout occlusion",
}
EACH = [name if name == "mlp" else rare(name) for name in ABLE]


def script_of(name: str) -> Path:
    return ROOT / "experiments" / f"{name}.py"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("explained")


@pytest.fixture
def trained(folder):
    """A short run of a script, loaded, and an input of its test split."""

    def make(name, *options):
        built = build(script_of(name), *OPTIONS.get(name, ()), *options)
        path = folder / "-".join((name, *(each.rpartition("=")[2] for each in options)))
        if not path.exists():
            assert run(built, path, steps=2, eval_every=2) == 0
        one = bigmodel.load(path)
        return one, next(iter(built.experiment.data.inputs.values()))[0]

    return make


@pytest.mark.parametrize("name", EACH)
def test_each_method_that_a_run_supports_explains_what_it_answers(trained, name):
    one, given = trained(name)
    able = ABLE[name].split()
    for method in able:
        found = one.explain(given, method=method, samples=2)
        assert found.values.shape == found.units.shape
        assert np.isfinite(found.values).all()
        assert np.abs(found.values).sum() > 0
        assert found.signed or (found.values >= 0).all()
        assert len(found.units.names) in (0, found.units.shape[-1], 1)
    [answer] = one.predict([given])
    if name in ("audio", "mlp", "cnn", "cnn1d", "video", "vit", "bert_classify"):
        assert found.output == answer["class"]
        assert found.probability == pytest.approx(answer["probability"], rel=1e-4)
    elif name == "rnn":
        assert answer == {found.output: pytest.approx(found.score, rel=1e-5)}
    whole = one.explain(given)
    assert abs(whole.gap) < 1e-2 * max(1, abs(whole.difference))
    for method in {"grad_cam", "rollout"} - set(able):
        with pytest.raises(InputError, match=f"can read; it supports {', '.join(able)}"):
            one.explain(given, method=method)


@pytest.mark.parametrize(
    "name", [rare("gan"), rare("autoencoder"), rare("recommender"), rare("seq2seq"), rare("speech")]
)
def test_what_is_neither_a_class_nor_a_number_is_refused_and_its_layers_are_read(trained, name):
    one, given = trained(name)
    with pytest.raises(InputError, match="and what is explained is a class, a token or a number"):
        one.explain(given)
    assert all(np.isfinite(each).all() for each in one.activations(given).values())


def test_layers_are_found_by_their_path_as_files_are(trained):
    one, given = trained("cnn")
    found = one.activations(given, "blocks_*")
    assert {path: each.shape for path, each in found.items()} == {
        "blocks_0": (1, 4, 4, 8),
        "blocks_1": (1, 2, 2, 16),
    }
    assert list(one.activations(given, "blocks_1/conv_*")) == ["blocks_1/conv_0", "blocks_1/conv_1"]
    head = one.activations(given, "head")["head"]
    probability = np.exp(head - head.max())[0] / np.exp(head - head.max()).sum()
    assert max(probability) == pytest.approx(one.predict([given])[0]["probability"], rel=1e-5)
    with pytest.raises(InputError, match=r"no layer of \S+ is 'block_\*'; there are blocks_0/conv"):
        one.activations(given, "block_*")


@pytest.mark.matrix
def test_layers_of_members_cannot_be_read(trained):
    members, given = trained("cnn", "--ensemble.members=2")
    with pytest.raises(InputError, match="is in a loop, in an ensemble, or computed again"):
        members.activations(given, "head")


def test_another_class_is_explained_by_its_name(trained):
    one, given = trained("cnn")
    for name in "07":
        found = one.explain(given, label=name)
        assert found.output == name
        assert found.probability == pytest.approx(one.predict([given])[0]["probabilities"][name])


@pytest.fixture
def typed(capsys, monkeypatch, tmp_path):
    """Types the command in an empty folder: its status, output, and errors."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments, stdin=""):
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        status = launch.main(["explain", *map(str, arguments)])
        said = capsys.readouterr()
        return SimpleNamespace(status=status, out=said.out, errors=said.err)

    return run_command


def test_the_command_writes_pictures_and_a_page_that_is_whole_and_escaped(trained, typed):
    one, given = trained("cnn")
    np.save("<b>&.npy", np.stack([given, given[::-1]]))
    found = typed(one.path, "<b>&.npy", "--check", "--steps", 8)
    assert found.status == 0
    assert found.out.startswith("<b>&.npy, row 0: '")
    assert ", gap " in found.out
    assert re.search(r"\ndeletion +0\.\d{4} +0\.\d{4} +\d of 2\n", found.out)
    out = Path("explanations/cnn-integrated_gradients")
    assert sorted(each.name for each in out.iterdir()) == [
        "1.png", "2.png", "curves.png", "explanation.html",
    ]  # fmt: skip
    page = (out / "explanation.html").read_text()
    assert "<h2>&lt;b&gt;&amp;.npy, row 1</h2>" in page
    assert "<b>" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert typed(one.path, "<b>&.npy", "--method", "gradients", "--out", out).status == 0
    assert len(list(out.iterdir())) == 3
    Path("link").symlink_to(out)
    inside = out.stat().st_ino
    assert typed(one.path, "<b>&.npy", "--method", "occlusion", "--out", "link").status == 0
    assert len(list(out.iterdir())) == 3
    os.chdir(out)
    (out := Path()).joinpath("1.png").unlink()
    assert typed(one.path, "../../<b>&.npy", "--method", "gradients", "--out", ".").status == 0
    assert len(list(out.iterdir())) == 3
    assert out.stat().st_ino == inside


def test_tokens_have_their_color_and_their_number(trained, typed):
    one, _ = trained("gpt")
    text = "def <i>:"
    found = typed(one.path, text, "--method", "occlusion", "--out", "why")
    assert found.status == 0
    page = Path("why/explanation.html").read_text()
    spans = re.findall(r'<span style="background: rgba\([\d., ]+\)" title="\S+">(.*?)</span>', page)
    assert "".join(spans) == "def &lt;i&gt;:"
    tokens = one.explain(text).units.names
    assert "".join(tokens) == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["GOOD", "--method", "lime"], "there is no method 'lime'; use gradients"),
        (["GOOD", "--method", "rollout"], "has no self-attention that rollout can read; it suppo"),
        (["GOOD", "--class", "eight"], "there is no class 'eight'; there are 0, 1, 2"),
        (["GOOD", "--position", "2"], "--position is for predictions of several masks"),
        (["GOOD", "--layer", "head", "--method", "grad_cam"], "--layer head is none of those"),
        (["GOOD", "nowhere.png"], "there is no image nowhere.png"),
        (["nowhere.png", "--out", "n/m/o"], "there is no image nowhere.png"),
        (["GOOD", "text.txt"], "text.txt: cannot be read as an image"),
        (["GOOD", "--out", "full"], "--out full has other files; choose another folder"),
        (["GOOD", "--out", "text.txt"], "--out text.txt has other files"),
        (["GOOD", "--out", "scans"], "--out scans has other files"),
        (["GOOD", "--metod", "x"], "unrecognized arguments: --metod"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(trained, typed, tmp_path, arguments, said):
    one, given = trained("cnn")
    np.save("good.npy", np.asarray(given)[None])
    Path("text.txt").write_text("text")
    Path("full").mkdir()
    Path("full/thesis.tex").touch()
    # Named as pictures of explanations are, and with no page that they would be of.
    Path("scans").mkdir()
    Path("scans/1.png").touch()
    before = sorted(tmp_path.rglob("*"))
    found = typed(one.path, *["good.npy" if each == "GOOD" else each for each in arguments])
    assert found.status == 2
    assert said in found.errors
    assert found.errors.startswith("error: ")
    assert found.errors.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
