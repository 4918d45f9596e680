"""The command: what it measures of a trained run, what it writes, and what it refuses."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_contract import ROOT, build, run

import bigmodel
import launch
from bigmodel.analysis.examples import example_means
from bigmodel.analysis.membership.sampling import sampled, training_batches
from bigmodel.inference.measuring import measure_run, rebuilt

COUNT = 240
RNG = np.random.default_rng(0)
SEX = RNG.choice(["f", "m"], COUNT, p=[0.4, 0.6])
SIZE = RNG.normal(size=COUNT).round(3)
# Of men the size says nothing, and so the network errs more.
GRADE = np.where(np.where(SEX == "f", SIZE, RNG.normal(size=COUNT)) > 0, "high", "low")


def lines() -> list[str]:
    rows = zip(range(COUNT), SIZE, SEX, RNG.integers(18, 90, COUNT), GRADE, strict=True)
    return ["id,size,sex,age,grade", *(",".join(map(str, row)) for row in rows)]


def train(folder: Path, name: str, *options: str, steps: int = 2) -> Path:
    path = folder / name
    built = build(ROOT / "experiments" / "mlp.py", *options)
    assert run(built, path, steps=steps, eval_every=steps) == 0
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    (folder / "table.csv").write_text("\n".join(lines()))
    return folder


@pytest.fixture(scope="module")
def table(folder: Path) -> list[str]:
    path = f"--data.path={folder / 'table.csv'}"
    return ["--data.name=csv", path, "--data.ignore", "id", "sex", "age", "--data.test=0.5"]


@pytest.fixture(scope="module")
def mlp(folder: Path, table: list[str]) -> Path:
    return train(folder, "mlp", *table, steps=40)


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Any:
    """Types a command: its status, output and errors."""

    def run_command(*arguments: object) -> SimpleNamespace:
        capsys.readouterr()
        status = launch.main([str(each) for each in arguments])
        said = capsys.readouterr()
        return SimpleNamespace(status=status, out=said.out, errors=said.err)

    return run_command


def test_rates_are_those_of_the_answers_to_the_rows_of_the_test_set(
    mlp: Path, typed: Any, tmp_path: Path
) -> None:
    said = typed("audit", mlp, "--by", "sex", "--out", tmp_path / "a")
    assert said.status == 0, said.errors
    found = json.loads((tmp_path / "a" / "audit.json").read_text())
    data = build_data(mlp)
    rows = data.column("test", "id", option="--by").astype(int)
    assert len(rows) == COUNT // 2
    answers = np.array([one["class"] for one in bigmodel.load(mlp).predict(data.inputs["test"])])
    assert found["positive"] == "low"
    for sex in ("f", "m"):
        some = SEX[rows] == sex
        right, chosen = GRADE[rows][some] == "low", answers[some] == "low"
        of = found["groups"][sex]
        assert of["examples"] == some.sum()
        values = {name: one["value"] for name, one in of["metrics"].items()}
        assert values["selection_rate"] == pytest.approx(chosen.mean())
        assert values["true_positive_rate"] == pytest.approx(chosen[right].mean())
        assert values["false_positive_rate"] == pytest.approx(chosen[~right].mean())
        assert values["accuracy"] == pytest.approx((right == chosen).mean())
    summary = json.loads((mlp / "summary.json").read_text())
    assert found["overall"]["accuracy"]["value"] == pytest.approx(summary["test/accuracy"])
    assert found["differences"]["accuracy"]["p"] < 0.05
    page = (tmp_path / "a" / "audit.html").read_text()
    assert "mlp by sex" in page
    assert page.count("<svg") == len(list((tmp_path / "a" / "figures").glob("*.png"))) == 2
    assert "http" not in page.replace("http://www.w3.org", "")
    again = typed("audit", mlp, "--by", "sex", "--out", tmp_path / "b")
    assert again.status == 0
    assert (tmp_path / "b" / "audit.html").read_text() == page


def build_data(path: Path) -> Any:
    return rebuilt(bigmodel.load(path)).data


def test_other_data_are_audited_as_the_run_reads_them(
    mlp: Path, typed: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    header, *rows = lines()
    other.write_text("\n".join([header, *rows[:60]]))
    options = ("--data.name", "csv", "--data.path", other)
    command = ("audit", mlp, "--by", "age", "--edges", "40", "65", "--smallest", 5)
    said = typed(*command, "--", *options)
    assert said.status == 0, said.errors
    found = json.loads((mlp / "audits" / "0" / "audit.json").read_text())
    assert list(found["groups"]) == ["below 40", "40 to below 65", "65 and more"]
    assert found["examples"] == 60
    assert "--data.path" in found["options"]
    assert typed(*command).status == 0
    assert (mlp / "audits" / "1" / "audit.html").exists()
    shutil.rmtree(mlp / "audits")


def test_an_overfitted_network_gives_its_training_examples_away(
    folder: Path, typed: Any, tmp_path: Path
) -> None:
    noise = folder / "noise.csv"
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(400, 20)).round(3).tolist()
    rows = [",".join(map(str, [*row, rng.choice(["a", "b"])])) for row in numbers]
    noise.write_text("\n".join([",".join([*"abcdefghijklmnopqrst", "label"]), *rows]))
    options = (
        "--data.name=csv", f"--data.path={noise}", "--data.test=0.4", "--model.widths", "128",
        "128", "--model.dropout=0", "--optimizer.weight-decay=0", "--optimizer.learning-rate=1e-2",
    )  # fmt: skip
    path = train(folder, "overfitted", *options, steps=500)
    other = train(folder, "reference", *options, "--data.split-seed=1", steps=500)
    untrained = train(folder, "untrained", *options, steps=2)
    cases = ((path, [], None), (path, [other], 0.1), (untrained, [], 1.0))
    for attacked, references, epsilon in cases:
        if epsilon is not None:
            summary = json.loads((attacked / "summary.json").read_text())
            summary["privacy"] = {"epsilon": epsilon, "delta": 1e-5, "clip": 1.0}
            (attacked / "summary.json").write_text(json.dumps(summary))
        out = tmp_path / f"{attacked.name}-{len(references)}"
        asked = [word for each in references for word in ("--reference", each)]
        said = typed("audit", attacked, "--membership", "--at", "last", *asked, "--out", out)
        assert said.status == 0, said.errors
        found = json.loads((out / "audit.json").read_text())
        assert found["members"]["examples"] == 216
        assert found["others"]["examples"] == 160
        assert list(found["attacks"]) == ["loss threshold", *["calibrated loss"] * len(references)]
        for one in found["attacks"].values():
            if attacked is path:
                assert one["advantage"]["low"] > 0.1
            else:
                assert one["advantage"]["low"] < 0 < one["advantage"]["high"]
        bound = found["largest_advantage_by_privacy"]
        if epsilon is None:
            assert bound is None
        else:
            assert bound == pytest.approx(
                (np.exp(epsilon) - 1 + 2e-5) / (np.exp(epsilon) + 1), rel=1e-6
            )
            assert f"no attack has an advantage above {bound:.3f}" in said.out
            assert f"at most {bound:.3f} for any attack" in (out / "audit.html").read_text()
        assert said.out.count("is above what differential privacy") == (2 if epsilon == 0.1 else 0)
        assert (out / "figures" / "roc.png").exists()


def test_a_run_that_has_learned_from_the_same_examples_is_no_reference(
    mlp: Path, typed: Any, tmp_path: Path
) -> None:
    same = shutil.copytree(mlp, tmp_path / "same")
    said = typed("audit", mlp, "--membership", "--reference", same, "--out", tmp_path / "a")
    assert said.status == 2, said.errors
    assert f"--reference {same} has learned from the same examples" in said.errors
    assert not (tmp_path / "a").exists()


def test_examples_add_up_to_what_is_measured_of_all(mlp: Path) -> None:
    one = bigmodel.load(mlp)
    experiment = rebuilt(one)
    batches = experiment.data.splits["test"]
    measured = measure_run(one, experiment, {"test": batches})["test"]
    means = example_means(one, experiment, batches)
    assert means.keys() == {"loss", "accuracy"}
    for name, mean in means.items():
        assert mean.total.shape == (COUNT // 2,)
        assert mean.total.sum() == pytest.approx(float(measured[name].total), rel=1e-5)
        assert mean.count.sum() == pytest.approx(float(measured[name].count))


def test_some_examples_are_from_everywhere(mlp: Path) -> None:
    experiment = rebuilt(bigmodel.load(mlp))
    batches = training_batches(experiment, 0)
    seen = np.concatenate([batch["weight"] for batch in batches])
    assert seen.sum() == 0.9 * COUNT // 2
    some = list(sampled(batches, 20, np.random.default_rng(0)))
    assert [len(one["weight"]) for one in some] == [5] * len(batches)
    everything = list(sampled(batches, 10**6, np.random.default_rng(0)))
    assert sum(one["weight"].sum() for one in everything) == seen.sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give either --by COLUMN or --groups FILE, or --membership"),
        (["--by", "sex", "--membership"], "give either --by COLUMN"),
        (["--by", "sexe"], "has no column 'sexe'; did you mean 'sex'?"),
        (["--by", "sex", "--positive", "hihg"], "did you mean high?"),
        (["--by", "sex", "--split", "tets"], "--split tets: "),
        (["--by", "sex", "--reference", "x"], "--reference is for --membership"),
        (["--by", "id"], "--by id has"),
        (["--groups", "nowhere.csv"], "--groups nowhere.csv does not exist"),
        (["--groups", "list.csv"], "list.csv has only the column 'id'; add one that says which"),
        (["--membership", "--reference", "nowhere"], "there is no run directory nowhere"),
        (["--membership", "--", "--data.path", "x"], "needs the run's own data"),
        (["--by", "sex", "--out", "."], "is not empty"),
        (["--by", "sex", "--seed", "-1"], "'-1' is no seed"),
        (["--by", "age", "--edges", "18", "nan"], "'nan' is no number"),
        (["--by", "sex", "--examples", "9"], "--examples is for --membership"),
        (["--membership", "--positive", "low"], "--positive is for --by"),
        (["--membership", "--edges", "18"], "--edges is for --by"),
        (["--membership", "--examples", "1"], "a threshold needs 2 of each"),
    ],
)
def test_bad_input_is_one_line(
    options: list[str], message: str, mlp: Path, typed: Any, tmp_path: Path
) -> None:
    if "id" in options:
        options = [*options, "--bins", "150"]
    if "list.csv" in options:
        (list_of := tmp_path / "list.csv").write_text("id\n1\n2\n")
        options = ["--groups", str(list_of)]
    said = typed("audit", mlp, *options)
    assert said.status == 2, said.errors
    assert message in said.errors
    assert said.errors.count("error: ") == 1
    assert said.errors.splitlines()[-1].startswith("error: ")
    assert not (mlp / "audits").exists()


def test_a_card_says_what_is_known_and_leaves_the_rest_to_fill_in(mlp: Path, typed: Any) -> None:
    summary = json.loads((mlp / "summary.json").read_text())
    assert typed("audit", mlp, "--by", "sex").status == 0
    said = typed("card", mlp)
    assert said.status == 0, said.errors
    card = (mlp / "MODEL_CARD.md").read_text()
    rows = {cells[1].strip(): cells[2:] for line in card.splitlines()
            if len(cells := line.split("|")) > 3}  # fmt: skip
    for name in ("accuracy", "roc_auc", "f1_macro", "loss"):
        value, interval = (cell.strip() for cell in rows[f"test/{name}"][:2])
        assert float(value) == pytest.approx(summary[f"test/{name}"], rel=1e-3)
        low, high = map(float, interval.split(" to "))
        assert low < float(value) < high
    assert rows["training examples"][0].strip() == "108"
    assert rows["test examples"][0].strip() == "120"
    assert "2 groups by sex: differences in demographic parity" in card
    assert "was not tried" in card
    assert card.count("**TO FILL IN**") >= 6
    assert typed("card", mlp).status == 2
    assert typed("card", mlp, "--replace").status == 0


def test_without_its_data_a_card_has_the_numbers_of_the_run(
    mlp: Path, typed: Any, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(mlp, moved)
    config = json.loads((moved / "config.json").read_text())
    config["data"]["path"] = "gone.csv"
    (moved / "config.json").write_text(json.dumps(config))
    said = typed("card", moved, "--replace")
    assert said.status == 0, said.errors
    assert "no intervals, for the run cannot be evaluated again" in said.errors
    summary = json.loads((moved / "summary.json").read_text())
    card = (moved / "MODEL_CARD.md").read_text()
    assert f"| test/accuracy | {summary['test/accuracy']:.4g} |" in card
    assert "without intervals" in card


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("audits/7/audit.json", '{"groups": {'),
        ("audits/7/audit.json", "[]"),
        ("audits/7/audit.json", '{"groups": {}, "step": 1}'),
        ("audits/7/audit.json", '{"attacks": 3, "step": 1}'),
        ("evaluations/7/metrics.json", "\x00"),
        ("evaluations/7/metrics.json", '{"metrics": {"accuracy": "x"}, "options": []}'),
    ],
)
def test_a_card_of_damaged_findings_is_one_line(
    mlp: Path, typed: Any, tmp_path: Path, name: str, content: str
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(mlp, moved)
    (moved / name).parent.mkdir(parents=True)
    (moved / name).write_text(content)
    card = tmp_path / "card.md"
    said = typed("card", moved, "--out", card)
    assert said.status == 1
    assert said.errors.splitlines()[-1].startswith(f"error: cannot read {moved / name}: ")
    assert "Traceback" not in said.errors
    assert not card.exists()
