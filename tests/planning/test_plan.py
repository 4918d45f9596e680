import math
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

import launch
from bigmodel.experiment import InputError
from bigmodel.planning.plan import execute
from bigmodel.planning.planning import DiedError, apart
from bigmodel.sharding.chips import CHIPS, find_chip

ROOT = Path(__file__).parent.parent.parent
GPT = str(ROOT / "experiments" / "gpt.py")
SCRIPT = """
from dataclasses import dataclass
import linear
from bigmodel.runtime import Settings

@dataclass(frozen=True)
class Config(Settings):
    pass

def build(config):
    return linear.experiment()
"""
SEVEN_BILLION = ["--model.layers=32", "--model.width=4096", "--model.heads=32", "--model.no-tied"]
SEVEN_BILLION += ["--model.activation=swiglu", "--model.expansion=3", "--model.dtype=bfloat16"]
SEVEN_BILLION += ["--model.remat", "--model.scan", "--data.batch-size=64", "--data.context=2048"]
SEVEN_BILLION += ["--data.tokenizer=byte", "--data.test=0.01"]


@pytest.fixture
def script(tmp_path: Path) -> str:
    """Softmax regression on batches of 16."""
    path = tmp_path / "regression.py"
    path.write_text(SCRIPT)
    return str(path)


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch):
    """The command in this process, whose eight devices stand in."""
    for name in ("JAX_PLATFORMS", "JAX_NUM_CPU_DEVICES", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, "")

    return lambda *arguments: execute(*launch.parse(["plan", *arguments]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--topology", "v6:2x2"], r"did you mean v6e\?"),
        (["--devices", "8", "--", "--mesh.fsdp", "3"], "--mesh.fsdp 3 does not divide"),
        (["--devices", "3"], "does not divide over the 3 devices"),
        (["--devices", "8", "--", "--mesh.fdsp", "4"], r"did you mean --mesh.fsdp\?"),
        (["--devices", "8", "--search"], "name a chip"),
        (["--devices", "8", "--tries", "0"], "--tries is 0"),
    ],
)
def test_wrong_input_is_one_line(plan, script, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        plan(script, *arguments)
    assert "\n" not in str(raised.value)


def test_what_is_no_script_of_an_experiment_is_refused(plan) -> None:
    with pytest.raises(InputError, match=r"there is no script nowhere\.py"):
        plan("nowhere.py", "--devices", "2")
    with pytest.raises(InputError, match="has no Config and no build"):
        plan(str(ROOT / "launch.py"), "--devices", "2")


def test_a_plan_says_what_it_was_compiled_for_and_whether_it_fits(plan, script, capsys) -> None:
    assert plan(script, "--topology", "h100:8", "--", "--mesh.fsdp", "8") == 0
    text = capsys.readouterr().out
    assert "virtual CPU devices" in text
    assert "FITS" in text
    assert "of 80.00 GB are left" in text


def test_what_does_not_fit_says_by_how_much_and_gives_status_1(
    plan, script, capsys, monkeypatch
) -> None:
    chip = find_chip("h100")
    monkeypatch.setitem(CHIPS, "h100", chip._replace(memory=100.0))
    assert plan(script, "--topology", "h100:8") == 1
    assert re.search(r"DOES NOT FIT: [\d.]+ MB more than the 0.00 MB", capsys.readouterr().out)


def test_a_search_ends_with_the_plan_of_the_best(plan, script, capsys) -> None:
    assert plan(script, "--topology", "l4:8", "--search", "--tries", "2") == 0
    *tried, best = capsys.readouterr().out.split("best of 2: ")
    assert best.splitlines()[0] in tried[0]
    assert "FITS" in best


@pytest.mark.matrix
@pytest.mark.parametrize(("side", "status"), [(8, 0), (2, 1)])
def test_seven_billion_parameters_are_planned_within_3_minutes_and_4_gb(side, status) -> None:
    command = [sys.executable, str(ROOT / "launch.py"), "plan", GPT]
    command += [f"--topology=v5e:{side}x{side}", "--", *SEVEN_BILLION, f"--mesh.fsdp={side**2}"]
    start = time.monotonic()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert ("DOES NOT FIT" in done.stdout) == bool(status)
    assert time.monotonic() - start < 180
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 4e6


def test_a_call_apart_returns_and_raises_what_the_function_does() -> None:
    assert apart(math.gcd, 12, 18) == 6
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        apart(math.sqrt, -1)
    with pytest.raises(InputError, match="no chip"):
        apart(find_chip, "v0")


def test_a_process_that_dies_is_an_error_and_leaves_this_one_alone(capfd) -> None:
    with pytest.raises(DiedError):
        apart(os.abort)
    assert capfd.readouterr().err == ""
