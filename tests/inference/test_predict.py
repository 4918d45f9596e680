"""The commands that ask and evaluate a trained run, as a user types them."""

import contextlib
import csv
import gzip
import io
import json
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from test_contract import ROOT, build, run

import bigmodel
import launch
from bigmodel.data.samples import dump_samples
from bigmodel.data.tables.csv_table import CsvFormat
from bigmodel.data.texts.text_file import Stream
from bigmodel.experiment import InputError
from bigmodel.inference.inputs import of_stream, read_inputs
from bigmodel.inference.measuring import evaluate, rebuilt

HEADER = "size,colour,grade"
ROWS = [
    f"{n % 10},{['red', 'blue', 'green'][n % 3]},{['low', 'high'][n % 10 > 4]}" for n in range(90)
]


def train(folder, name, *options, of=""):
    path = folder / (of or name)
    script = ROOT / "experiments" / f"{name}.py"
    assert run(build(script, *options), path, steps=2, eval_every=2) == 0
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("asked")


@pytest.fixture(scope="session")
def cnn(folder):
    return train(folder, "cnn")


@pytest.fixture(scope="session")
def mlp(folder):
    table = folder / "table.csv"
    table.write_text("\n".join([HEADER, *ROWS]))
    path = train(folder, "mlp", "--data.name=csv", f"--data.path={table}")
    table.unlink()
    return path


@pytest.fixture(scope="session")
def gan(folder):
    return train(folder, "gan")


@pytest.fixture
def typed(capsys, monkeypatch, tmp_path):
    """Types a command in an empty folder: its status, lines of output, and errors."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def run_command(command, *arguments, stdin=""):
        content = stdin if isinstance(stdin, bytes) else stdin.encode()
        # What a shell says of the encoding does not matter.
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))
        status = launch.main([command, *map(str, arguments)])
        said = capsys.readouterr()
        return SimpleNamespace(status=status, lines=said.out.splitlines(), errors=said.err)

    return run_command


def digits(folder, count):
    paths = [folder / f"{n}.png" for n in range(count)]
    for path, image in zip(paths, load_digits().images, strict=False):
        Image.fromarray((image * 15.9).astype(np.uint8)).save(path)
    return paths


def test_images_are_answered_in_order_from_files_and_folders(cnn, typed, tmp_path):
    images = digits(tmp_path, 5)
    one = typed("predict", cnn, *images)
    expected = bigmodel.load(cnn).predict(images)
    assert one.status == 0
    assert [json.loads(line) for line in one.lines] == expected
    assert typed("predict", cnn, tmp_path).lines == one.lines
    np.save("five.npy", np.stack([np.asarray(Image.open(path)) for path in images]))
    assert typed("predict", cnn, "five.npy").lines == one.lines
    Path("five.npy").unlink()
    best = typed("predict", cnn, "--top", 2, *images).lines
    assert [len(json.loads(line)["probabilities"]) for line in best] == [2] * 5
    assert typed("predict", cnn, tmp_path, "--out", "a.csv", "--batch-size", 2).lines == []
    with Path("a.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["class"] for row in table] == [answer["class"] for answer in expected]
    assert float(table[0]["probabilities.3"]) == pytest.approx(expected[0]["probabilities"]["3"])


def test_rows_are_answered_from_files_lines_and_standard_input(mlp, typed):
    table = "\n".join([HEADER.replace(",grade", ""), *(row.rpartition(",")[0] for row in ROWS)])
    Path("rows.csv").write_text(table)
    Path("rows.csv.gz").write_bytes(gzip.compress(table.encode()))
    expected = typed("predict", mlp, "rows.csv").lines
    assert len(expected) == 90
    assert typed("predict", mlp, "rows.csv.gz").lines == expected
    assert typed("predict", mlp, stdin=table).lines == expected
    lines = "\n".join(json.dumps({"colour": "red", "size": n, "other": 1}) for n in (0, 3))
    assert typed("predict", mlp, "-", stdin=lines).lines == [expected[0], expected[3]]
    marked = table.replace(",", ";").encode("utf-8-sig").replace(b"size", b"sep=;\nsize", 1)
    assert typed("predict", mlp, stdin=marked).lines == expected
    assert typed("predict", mlp, stdin=gzip.compress(marked)).lines == expected
    assert typed("predict", mlp, stdin=table.encode("utf-16")).lines == expected
    assert typed("predict", mlp, stdin=lines.encode("utf-8-sig")).lines == expected[:4:3]
    said = typed("predict", mlp, stdin=b"size,colour\n1,gr\xfcn\n")
    assert said.status == 2
    assert said.errors == (
        "error: standard input is not utf-8 text: it has the byte 0xfc; convert it to UTF-8\n"
    )
    said = typed("predict", mlp, stdin="size,colour\n1,mauve\n,pink\n3,red\n")
    assert said.status == 0
    assert said.errors.count("warning: ") == 1
    assert "values of 'colour' that training never saw, such as 'mauve', are taken" in said.errors
    assert said.errors.endswith("missing: 2\n")


def test_rows_of_a_run_that_reads_one_column_have_one(folder, typed):
    Path("xy.csv").write_text("x,y\n" + "".join(f"{n},{2 * n}\n" for n in range(60)))
    path = train(
        folder, "mlp", "--data.name=csv", f"--data.path={Path('xy.csv').resolve()}", of="one"
    )
    expected = typed("predict", path, stdin='{"x": 1}\n{"x": 2}\n').lines[-2:]
    assert ["y" in json.loads(line) for line in expected] == [True, True]
    assert typed("predict", path, stdin="x\n1\n2\n").lines == expected
    assert typed("predict", path, stdin='"x"\n1\n\n2').lines == expected


def test_samples_are_images_in_a_folder_one_for_each_seed(gan, typed):
    assert typed("predict", gan, 3, 7, "--count", 2, "--seed", 5, "--out", "drawn").status == 0
    lines = Path("drawn/answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in lines] == [f"{n}.png" for n in range(4)]
    images = [np.asarray(Image.open(f"drawn/{n}.png")) for n in range(4)]
    assert images[0].shape == (8, 8)
    one = bigmodel.load(gan)
    wishes = [{"class": name, "seed": seed} for name in "37" for seed in (5, 6)]
    assert len(np.unique(one.predictor.encode(wishes)["latent"], axis=0)) == 2
    for image, answer in zip(images, one.predict(wishes), strict=True):
        np.testing.assert_array_equal(image, answer["image"][..., 0])


BAD = [
    (["predict", "CNN", "nowhere.png"], "there is no image nowhere.png"),
    (["predict", "CNN", "no" * 200, "--out", "n/m/a.jsonl"], "there is no image nono"),
    (["predict", "CNN", "nowhere.png", "--out", "none"], "there is no image nowhere.png"),
    (["export", "CNN", "--format=run", "--out=n/m/o", "--input=nowhere.png"], "there is no image"),
    (["predict", "CNN", "nowhere.npy"], "there is no image nowhere.npy"),
    (["predict", "CNN", "no.npy"], "no.npy is no .npy file of rows of numbers"),
    (["predict", "CNN", "text.txt"], "text.txt: cannot be read as an image"),
    (["predict", "CNN", "empty"], "empty: cannot be read as an image: it is empty"),
    (["predict", "CNN", "none"], "none is empty; give at least one input"),
    (["predict", "nowhere", "a.png"], "there is no run directory nowhere"),
    (["predict", "none", "a.png"], "none is no whole run directory"),
    (["predict", "CNN", "--at", "3"], "has no checkpoint of step 3; there are 2"),
    (["predict", "CNN", "--at", "worst"], "'worst' is none of best, last and a step"),
    (["predict", "CNN", "--top", "0"], "'0' is no number from 1 on"),
    (["predict", "CNN", "--cut", "text.txt"], "--cut is for another kind of input"),
    (["predict", "CNN", "--script", "a.py"], "there is no script a.py"),
    (["predict", "CNN", "--", "--run.stepz", "3"], "there is no option --run.stepz"),
    (["predict", "MLP", "nowhere.csv"], "there is no file nowhere.csv"),
    (["predict", "MLP", "empty"], "empty is empty"),
    (["predict", "MLP", "text.txt"], "text.txt is empty; give at least one input"),
    (["predict", "MLP", "one.csv"], "one.csv, line 2: it has no column 'colour'"),
    (["predict", "MLP", "wrong.csv"], "wrong.csv, line 2: it has no column 'colour'"),
    (["predict", "MLP", "long.csv"], "long.csv, line 3 has 3 cells, and the header has 2"),
    (["predict", "MLP", "bad.csv"], "bad.csv, line 3: column 'size': 'x' is not a finite number"),
    (["predict", "MLP", "bad.jsonl"], "bad.jsonl, line 2 is no JSON"),
    (["predict", "GAN", "3"], "the answers are images; give a folder for them with --out DIR"),
    (["predict", "GAN", "x", "--out", "d"], "there is no class 'x'"),
    (["predict", "GAN", "3", "--out", "full"], "--out full is not empty"),
    (["predict", "CNN", "no.npy", "--out", "d.csv"], "--out d.csv is a folder; give a file"),
    (["card", "CNN", "--out", "full", "--replace"], "--out full is a folder; give a file"),
    (["evaluate", "MLP", "--", "--data.path", "wrong.csv"], "has no column 'colour'"),
    (["evaluate", "MLP", "--", "--data.path", "class.csv"], "line 3 has the class 'middle'"),
    (
        ["evaluate", "CNN", "--", "--data.split-seed", "3"],
        "--data.split-seed divides the run's own",
    ),
    (["evaluate", "MLP"], "table.csv does not exist"),
    (["evaluate", "CNN", "--out", "full"], "--out full is not empty"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD, ids=[said for _, said in BAD])
def test_bad_input_is_one_line_and_leaves_nothing(request, typed, tmp_path, arguments, said):
    for name, content in {
        "text.txt": "some text",
        "empty": "",
        "no.npy": "some text",
        "one.csv": "size\n1\n",
        "wrong.csv": "size,grade\n1,low\n",
        "long.csv": "size,colour\n1,red\n2,red,3\n",
        "bad.csv": "size,colour\n1,red\nx,red\n",
        "bad.jsonl": '{"size": 1, "colour": "red"}\n{"size": NaN}\n',
        "class.csv": f"{HEADER}\n1,red,low\n2,red,middle\n",
        "full/file": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    for folder in ("none", "d.csv"):
        (tmp_path / folder).mkdir()
    before = sorted(tmp_path.rglob("*"))
    runs = {name: request.getfixturevalue(name.lower()) for name in ("CNN", "MLP", "GAN")}
    found = typed(*[runs.get(argument, argument) for argument in arguments])
    assert found.status == 2
    assert said in found.errors
    assert found.errors.startswith("error: ")
    assert found.errors.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_an_evaluation_is_a_folder_of_its_own(mlp, typed):
    Path("other.csv").write_text("\n".join([HEADER, *ROWS[:40]]))
    for number in (0, 1):
        found = typed("evaluate", mlp, "--", "--data.path", "other.csv")
        folder = mlp / "evaluations" / str(number)
        assert found.lines[0] == f"{folder}: step 2 of {mlp}"
    told = json.loads((folder / "metrics.json").read_text())
    assert told["options"] == ["--data.path", "other.csv"]
    rows = [dict(zip(HEADER.split(","), row.split(","), strict=True)) for row in ROWS[:40]]
    right = [
        a["class"] == r["grade"]
        for a, r in zip(bigmodel.load(mlp).predict(rows), rows, strict=True)
    ]
    assert told["metrics"]["test/accuracy"] == pytest.approx(np.mean(right))
    assert (folder / "figures" / "test_confusion.png").exists()


def in_classes(folder, count):
    for name in "ab":
        (folder / name).mkdir(parents=True)
        digits(folder / name, count // 2)


def in_lines(path, count):
    lines = [f"{n},{n % 3}:{'ab'[n % 2]}" for n in range(count)]
    path.write_text("\n".join(["@classLabel true a b", "@data", *lines]))


@pytest.mark.parametrize(
    ("name", "source", "make"),
    [("cnn", ("folder", "--data.size=8"), in_classes), ("cnn1d", ("ts",), in_lines)],
)
def test_other_data_are_measured_without_the_test_set_of_training(tmp_path, name, source, make):
    train_path, test_path, other = (tmp_path / each for each in ("train", "held", "other"))
    for path, count in ((train_path, 40), (test_path, 20), (other, 6)):
        make(path, count)
    named, *rest = source
    paths = f"--data.path={train_path}", f"--data.test-path={test_path}"
    run = train(tmp_path, name, f"--data.name={named}", *rest, "--data.batch-size=4", *paths)
    for options in (["--data.path", str(other)], [f"--data.path={other}"]):
        batches = rebuilt(bigmodel.load(run, options=options), other=True).data.splits["test"]
        assert sum(batch["weight"].sum() for batch in batches) == 6


@pytest.mark.parametrize(
    "options", [["--data.batch-size", "32"], ["--data.no-flip", "--data.shift=2"], ["--seed", "1"]]
)
def test_options_that_say_no_other_data_leave_the_runs_own_test_split(
    options, cnn, typed, tmp_path
):
    expected = typed("evaluate", cnn, "--out", tmp_path / "a").lines[1:]
    found = typed("evaluate", cnn, "--out", tmp_path / "b", "--", *options).lines[1:]
    assert [line.split()[0] for line in found] == [line.split()[0] for line in expected]
    numbers = [[float(line.split()[1]) for line in lines] for lines in (expected, found)]
    assert numbers[0] == pytest.approx(numbers[1], abs=2e-4)
    assert any("validation/" in line for line in found)


@pytest.mark.parametrize(
    "text",
    [
        "[[1, 4], [2, 5]]\n\n[[3, 6]]\n",
        "\n# A comment.\n@classLabel true a b\n@data\n1,2:4,5:a\n3:6:b\n",
    ],
    ids=["json", "ts"],
)
def test_sequences_are_read_from_any_stream_by_what_it_begins_with(text):
    found = list(of_stream(Stream("body", io.StringIO(text)), "sequence", written=CsvFormat()))
    assert [each.value for each in found] == [[[1, 4], [2, 5]], [[3, 6]]]
    assert found[-1].name == f"body, line {text[:-1].count(chr(10)) + 1}"


@pytest.mark.parametrize("lines", [["a\n", "b\n", "c"], ["\ufeffa\n", "b\n", "c\n"]])
@pytest.mark.parametrize("standard", [False, True], ids=["named", "standard"])
def test_a_pipe_is_answered_while_it_is_written(lines, standard, tmp_path, monkeypatch):
    os.mkfifo(pipe := tmp_path / "pipe")
    may_go_on = [threading.Event() for _ in lines]

    def write():
        with pipe.open("wb", buffering=0) as file:
            for line, event in zip(lines, may_go_on, strict=True):
                event.wait(60)
                file.write(line.encode())

    thread = threading.Thread(target=write)
    thread.start()
    with contextlib.ExitStack() as stack:
        if standard:
            file = stack.enter_context(pipe.open("rb"))
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        may_go_on[0].set()
        found = read_inputs(["-" if standard else str(pipe)], "text", written=CsvFormat())
        read = []
        for event in [*may_go_on[1:], threading.Event()]:
            read.append(next(found).value)
            event.set()
        assert read == ["a", "b", "c"]
        assert next(found, None) is None
    thread.join()


@pytest.mark.parametrize("kind", ["text", "sample"])
def test_a_folder_is_no_text(kind, tmp_path):
    (tmp_path / "a.txt").write_text("text")
    [empty] = read_inputs([""], kind, written=CsvFormat())
    assert empty.value == ""
    with pytest.raises(InputError, match="is a folder; give a file with a text on each line, or a"):
        list(read_inputs([str(tmp_path)], kind, written=CsvFormat()))


def test_a_script_whose_build_takes_no_assets_is_told_so(mlp, monkeypatch):
    one = bigmodel.load(mlp)
    monkeypatch.setattr(one.script, "build", lambda config: config)
    with pytest.raises(InputError, match=r"its build takes no assets"):
        evaluate(one, other=True)


def test_an_input_that_json_cannot_express_is_no_sample():
    kept = dump_samples({"test": [object(), {"a": np.float32(0.5)}, {1, 2}, "text"]})
    assert json.loads(kept) == [{"a": 0.5}, "text"]
