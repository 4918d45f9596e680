"""A run of gpt.py on dialogues keeps the contract too."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import logged, summary
from test_contract import ROOT, build, losses, run, stop_after

import bigmodel
from bigmodel.inference.measuring import evaluate
from bigmodel.sharding.mesh import MeshShape

GPT = ROOT / "experiments" / "gpt.py"
END = "<|im_end|>"


@pytest.fixture(scope="session")
def options(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Those of a run on dialogues that a program has made, with answers of different lengths."""
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("dialogues") / "dialogues.jsonl"
    lines = []
    for number in range(200):
        words = random.choice(["red", "green", "blue"], size=1 + number % 3).tolist()
        asked, said = " and ".join(words), " ".join(reversed(words))
        roles = {"user": asked, "assistant": said}
        messages = [{"role": role, "content": content} for role, content in roles.items()]
        lines.append(json.dumps({"messages": messages * (1 + number % 2)}))
    path.write_text("\n".join(lines))
    changed = ("--data.validation=0.1", "--data.test=0.1", "--data.context=64")
    return ("--data.name=dialogues", f"--data.path={path}", "--data.vocab-size=300", *changed)


def test_a_run_on_dialogues_answers_questions_and_is_evaluated(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    built = build(GPT, *options)
    assert run(built, tmp_path / "run", steps=3, eval_every=3) == 0
    trained = bigmodel.load(tmp_path / "run")
    question = {"messages": [{"role": "user", "content": "red and blue"}]}
    asked: list[Any] = ["red and blue", question, json.dumps(question)]
    first, *others = trained.predict(asked)
    assert others == [first, first]
    assert END not in first["text"]
    found = evaluate(trained).values
    ended = summary(tmp_path / "run")
    assert {name: ended[name] for name in found} == pytest.approx(found, rel=1e-4)


@pytest.mark.matrix
def test_a_run_on_dialogues_learns_and_resumes_on_any_mesh(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(GPT, *options)
    alone, _ = losses(built, MeshShape(1), 60)
    assert np.mean(alone[-5:]) < 0.5 * np.mean(alone[:5])
    for layout in (MeshShape(8), MeshShape(2, 4)):
        spread, _ = losses(built, layout, 10)
        np.testing.assert_allclose(spread, alone[:10], rtol=1e-5)
    lengths = {"steps": 6, "eval_every": 3, "log_every": 2}
    assert run(built, tmp_path / "whole", **lengths) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert run(built, tmp_path / "cut", **lengths) == 0
    assert run(built, tmp_path / "cut", **lengths) == 0
    whole, cut = summary(tmp_path / "whole"), summary(tmp_path / "cut")
    assert whole["params_digest"] == cut["params_digest"]
    assert logged(tmp_path / "whole") == logged(tmp_path / "cut")
