"""An export answers as the run does, where this package is not; or else nothing of it stays."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from rare import rare

import bigmodel
import launch
from bigmodel.data.texts.shards.vocabularies import ended
from bigmodel.data.texts.tokenizers import Kind, learn_tokenizer
from bigmodel.experiment import InputError
from bigmodel.export import program, stablehlo
from bigmodel.export.huggingface_tokenizer import end_of_text, tokenizer_files
from bigmodel.export.program import relative_difference
from bigmodel.inference.trained import Trained, load_run
from bigmodel.runtime.entry import main
from bigmodel.script import load_script
from bigmodel.tree import named_leaves

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = [
    path.stem
    for path in sorted((ROOT / "experiments").glob("*.py"))
    if "\ndef predictor(" in path.read_text(encoding="utf-8")
]
EXCEPTIONS = {
    # It has no operation for the largest few of an axis, and none to sort one.
    **{
        ("litert", script): "sort"
        for script in ("bert", "recommender", "seq2seq", "summarize", "transformer")
    },
    # As it says of a sort of truth values.
    ("litert", "detect"): "tfl.less",
    # Neither has what draws random bits.
    **{("litert", script): "right_shift" for script in ("gpt", "text_to_image")},
    **{("onnx", script): "BitCast" for script in ("gpt", "text_to_image")},
}
"""Formats that a script has not, and a part of the message that says why."""
FOREIGN = {"onnx": "jax2onnx", "savedmodel": "tensorflow", "litert": "ai_edge_litert"}
# Two kinds of input; those of the others are left to the matrix.
KEPT = ("cnn", "mlp")


def case(script: str, *values: Any) -> Any:
    """A case of a script, all of which are in one process."""
    marks = [pytest.mark.xdist_group(f"export-{script}")]
    marks += [] if script in KEPT else [pytest.mark.matrix]
    return pytest.param(*values, script, marks=marks)


MATRIX = [case(script, form) for script in SCRIPTS for form in FOREIGN]
EACH = [case(script) for script in SCRIPTS]
WIDE = ("--model.widths", "32", "64", "--model.dense=64", "--model.convolutions=1")
needs_export = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("flatbuffers", "safetensors")),
    reason="needs the extra export",
)


@pytest.fixture(scope="session")
def runs():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def trained(runs: Path, script: str, *more: str, of: str = "") -> Path:
    """A run of two steps; ``of`` is its script where the run has another name."""
    path = runs / script
    if not path.exists():
        module = load_script(ROOT / "experiments" / f"{of or script}.py")
        options = ("--run.steps=2", "--run.eval-every=2", f"--run.dir={path}", *more)
        with pytest.raises(SystemExit) as end:
            main(module.build, module.Config(), (*module.TINY, *options))
        assert end.value.code == 0
    return path


def export(run: Path, form: str, out: Path, *arguments: str) -> int:
    return launch.main(["export", str(run), "--format", form, "--out", str(out), *arguments])


def held_out(run: Trained, count: int) -> list[Any]:
    return list(run.script.build(run.config).data.inputs["test"][-count:])


def lines_of(folder: Path) -> str:
    (lines,) = re.findall(r"```python\n(.*)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(lines.splitlines()) <= 5
    return lines


def test_a_run_whose_script_has_moved_is_exported_with_where_it_is(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, script = tmp_path / "run", tmp_path / "elsewhere.py"
    shutil.copytree(trained(runs, "cnn"), run)
    shutil.copyfile(ROOT / "experiments" / "cnn.py", script)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "script": "gone.py"}))
    monkeypatch.chdir(tmp_path)
    assert export(Path("run"), "run", Path("out"), "--script", "elsewhere.py") == 0
    assert json.loads(Path("out/manifest.json").read_text()) == {**manifest, "script": str(script)}
    # Where it is what the run says, nothing is changed.
    assert export(trained(runs, "cnn"), "run", tmp_path / "same") == 0
    expected = (trained(runs, "cnn") / "manifest.json").read_bytes()
    assert Path("same/manifest.json").read_bytes() == expected


@needs_export
@pytest.mark.parametrize("script", EACH)
def test_stablehlo_answers_as_the_run_in_a_process_that_imports_only_jax(
    script: str, runs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "export"
    assert export(trained(runs, script), "stablehlo", out) == 0
    run = load_run(trained(runs, script))
    batch = program.encoded(run.predictor, held_out(run, 5))
    np.savez(tmp_path / "five.npz", **batch)
    code = lines_of(out).replace("sample_input.npz", str(tmp_path / "five.npz"))
    code += f"np.savez({str(tmp_path / 'answers.npz')!r}, **outputs)\n"
    code += "import sys; sys.exit(bool({'bigmodel', 'flax', 'optax'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-P", "-c", code], cwd=out, check=True)
    expected = named_leaves(run.apply(batch))
    signature = json.loads((out / "signature.json").read_text())
    with np.load(tmp_path / "answers.npz") as answers:
        assert list(answers) == [each["name"] for each in signature["outputs"]]
        for found, array in zip(answers.values(), expected.values(), strict=True):
            assert relative_difference(found, np.asarray(array)) < 1e-5
            assert len(found) == 5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("form", "script"), MATRIX)
def test_other_runtimes_answer_as_the_run_or_say_why_not(
    form: str, script: str, runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    pytest.importorskip(FOREIGN[form])
    status = export(trained(runs, script), form, tmp_path / "export")
    printed = capfd.readouterr()
    if (form, script) in EXCEPTIONS:
        assert status == 2
        assert EXCEPTIONS[form, script] in printed.err
        assert list(tmp_path.iterdir()) == []
    else:
        assert status == 0, printed.err
        assert "agrees on 16 examples" in printed.out
        lines_of(tmp_path / "export")


@needs_export
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", [rare("stablehlo"), "onnx", "safetensors"])
def test_a_compressed_run_is_exported_by_its_integers(
    form: str, runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    if form in FOREIGN:
        pytest.importorskip(FOREIGN[form])
    plain, small = runs / "wide", runs / "wide-int8"
    if not small.exists():
        trained(runs, "wide", *WIDE, of="cnn")
        assert launch.main(["compress", str(plain), "--to", "int8", "--out", str(small)]) == 0
    sizes = {}
    for run in (plain, small):
        assert export(run, form, tmp_path / run.name) == 0
        assert "agrees on 16 examples" in capfd.readouterr().out
        sizes[run] = max(file.stat().st_size for file in (tmp_path / run.name).iterdir())
    assert sizes[small] < 0.35 * sizes[plain]


@needs_export
@pytest.mark.parametrize("dtype", ["float32", rare("bfloat16")])
def test_safetensors_are_the_variables_by_their_paths_with_the_config(
    dtype: str, runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    out = tmp_path / "export"
    path = trained(runs / dtype, "cnn", f"--optimizer.parameter-dtype={dtype}")
    assert export(path, "stablehlo", tmp_path / "program") == 0
    assert export(path, "safetensors", out) == 0
    assert capfd.readouterr().out.count("agrees on 16 examples") == 2
    # Read by the format's definition: a length, a header in JSON, and the numbers.
    content = (out / "model.safetensors").read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    run = load_run(path)
    assert json.loads(header.pop("__metadata__")["config"])["model"]["dense"] == [16]
    for path, leaf in named_leaves(run.variables).items():
        entry = header.pop(path)
        assert leaf.dtype.name == dtype
        assert entry["dtype"] == {"float32": "F32", "bfloat16": "BF16"}[dtype]
        assert tuple(entry["shape"]) == leaf.shape
        begin, stop = entry["data_offsets"]
        assert content[end:][begin:stop] == np.asarray(leaf).tobytes()
    assert not header


@pytest.mark.parametrize("end", ["", "<|endoftext|>"])
@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_a_tokenizer_is_written_with_the_ids_that_it_has(kind: Kind, end: str) -> None:
    text = "one, two, and \u00e9t\u00e9 & \N{EURO SIGN}\n\n  three" * 9
    tokenizer = learn_tokenizer(kind, train=[text], others=[], size=300)
    if end:
        tokenizer, text = ended(tokenizer), f"{text}{end}{text}"
    chat = {"template": "{{ messages }}", "tokens": {"eos_token": "an"}}
    assets = {"tokenizer.json": tokenizer.dump(), "chat.json": json.dumps(chat).encode()}
    files = tokenizer_files(assets, 8)
    theirs = tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())
    ids = theirs.encode(text).ids
    assert ids == tokenizer.encode(text).tolist()
    assert theirs.decode(ids, skip_special_tokens=False) == text
    expected = {"model_max_length": 8, "chat_template": "{{ messages }}", "eos_token": "an"}
    assert expected.items() <= json.loads(files["tokenizer_config.json"]).items()
    assert end_of_text(assets) == theirs.token_to_id("an")


@needs_export
def test_the_sample_and_the_assets_are_those_of_the_run(runs: Path, tmp_path: Path) -> None:
    run, out = load_run(trained(runs, "cnn")), tmp_path / "export"
    inputs = held_out(run, 3)
    files = [tmp_path / f"{n}.png" for n in range(2)]
    for pixels, file in zip(inputs, files, strict=False):
        from PIL import Image

        Image.fromarray((np.asarray(pixels)[..., 0] * 255).astype(np.uint8)).save(file)
    assert export(run.path, "stablehlo", out, "--input", *map(str, files)) == 0
    with np.load(out / "sample_input.npz") as sample, np.load(out / "sample_output.npz") as answers:
        np.testing.assert_array_equal(sample["image"], run.predictor.encode(files)["image"])
        assert run.predictor.decode(answers["output"])[0]["class"] == run.predict(files)[0]["class"]
    assert (out / "assets" / "images.json").read_bytes() == run.assets["images.json"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_encrypted_run_answers_as_the_run_without_plain_files(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip("cryptography")
    monkeypatch.setattr("bigmodel.protection.sealing.COST", 2)
    monkeypatch.setenv("BIGMODEL_PASSPHRASE", "correct horse")
    run, out = load_run(trained(runs, "cnn")), tmp_path / "export"
    assert export(run.path, "run", out, "--encrypt") == 0
    assert "agrees on 16 examples" in capsys.readouterr().out
    assert [path.name for path in out.iterdir()] == ["export.sealed"]
    opened = bigmodel.load(out)
    assert opened.path == out
    inputs = held_out(run, 3)
    assert opened.predict(inputs) == run.predict(inputs)
    np.save(tmp_path / "one.npy", np.asarray(inputs[:1]))
    (tmp_path / "word.txt").write_text("correct horse\n")
    monkeypatch.delenv("BIGMODEL_PASSPHRASE")
    explain = ["explain", str(out), str(tmp_path / "one.npy"), "--out", str(tmp_path / "why")]
    assert launch.main([*explain, "--passphrase-file", str(tmp_path / "word.txt")]) == 0
    assert "export: integrated gradients" in (tmp_path / "why" / "explanation.html").read_text()
    monkeypatch.setenv("BIGMODEL_PASSPHRASE", "wrong horse")
    with pytest.raises(InputError, match="the passphrase is not that of"):
        bigmodel.load(out)


@needs_export
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda array: array + np.float32(0.1), "answers otherwise than the run"),
        (lambda array: array[:-1], "its runtime cannot run it"),
        (lambda array: array / 0, "answers otherwise than the run"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_of_an_export_that_answers_otherwise_nothing_stays(
    damage: Any, said: str, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    write = program.write_arrays

    def damaged(path: Path, arrays: Any) -> None:
        write(path, {name: damage(np.asarray(array)) for name, array in arrays.items()})

    monkeypatch.setattr(stablehlo, "write_arrays", damaged)
    assert export(trained(runs, "cnn"), "stablehlo", tmp_path / "export") == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@needs_export
def test_what_cannot_be_exported_is_said_in_one_line(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def refused(run: Path, form: str, out: Path) -> str:
        assert export(run, form, out) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "is not empty" in refused(runs / "cnn", "stablehlo", tmp_path / "full")
    line = refused(trained(runs, "cnn"), "huggingface", tmp_path / "out")
    assert "a NamedCnn has no counterpart among bert, gpt2" in line
    assert "there is no run directory" in refused(tmp_path / "no", "stablehlo", tmp_path / "out")
    moved = tmp_path / "moved"
    shutil.copytree(trained(runs, "cnn"), moved)
    config = json.loads((moved / "config.json").read_text())
    config["data"] |= {"name": "folder", "path": str(tmp_path / "gone")}
    (moved / "config.json").write_text(json.dumps(config))
    assert "inputs to check with by --input" in refused(moved, "stablehlo", tmp_path / "out")
    monkeypatch.setattr(stablehlo, "NEEDS", ("no_such_module",))
    assert ".[export]" in refused(moved, "stablehlo", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("found", "expected", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.2),
        ([1e-9, 4.0], [2e-9, 4.0], 2.5e-10),
        ([0.0], [0.0], 0.0),
        ([-np.inf, 1.0], [-np.inf, 1.0], 0.0),
        ([np.nan], [1.0], np.nan),
        ([1.0], [np.nan], np.inf),
        ([np.inf], [-np.inf], np.inf),
        ([1.0], [1.0, 1.0], np.inf),
        ([1], [1.0], np.inf),
        ([3, 5], [3, 4], 0.25),
    ],
)
def test_differences_are_relative_to_the_largest_magnitude(
    found: list[float], expected: list[float], difference: float
) -> None:
    computed = relative_difference(np.asarray(found), np.asarray(expected))
    np.testing.assert_allclose(computed, difference, rtol=1e-12)
