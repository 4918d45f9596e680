"""What ``launch.py submit`` prints and refuses. See ``tests/slurm`` for it on a real SLURM."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bigmodel.experiment import InputError
from bigmodel.launching.job import default_name
from bigmodel.launching.slurm import seconds_of
from launch import main

ODD = ["--seed", "1", "a b", "it's", '"', "$HOME", "`ls`", "\\", "*", "", "#", "é"]
KUBERNETES = ["--kubernetes", "--image", "registry/image:1", "--volume", "claim:/volume"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an experiment, and without any job scheduler."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    (tmp_path / "one.py").touch()
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["submit", "one.py", "--dry-run", *arguments]) == 0
    return capsys.readouterr().out


def directives(script: str) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", script, re.MULTILINE))


def started(script: str, folder: Path, **variables: str) -> list[list[str]]:
    """Runs a script with an srun and a scontrol that only tell their arguments."""
    told = folder / "told"
    for name, status in (("srun", "exit $(cat statuses/$(wc -l < told))"), ("scontrol", "")):
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        tell = f"printf '%s\\0' {name} \"$@\" >> {told}; echo >> {told}\n"
        program.write_text(f"#!/bin/bash\n{tell}{status}\n")
        program.chmod(0o755)
    path = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "SLURM_JOB_ID": "7", **variables}
    script = script.replace("sleep 5", "true")
    done = subprocess.run(
        ["/bin/bash", "-c", script], cwd=folder, env=path, check=False, capture_output=True
    )
    lines = [line.split("\0")[:-1] for line in told.read_text().splitlines()]
    return [*lines, ["exit", str(done.returncode)]]


def answering(folder: Path, *statuses: int) -> None:
    """The exit status of each start."""
    (folder / "statuses").mkdir(exist_ok=True)
    for index, status in enumerate(statuses, start=1):
        (folder / "statuses" / str(index)).write_text(str(status))


def test_a_script_asks_for_what_was_asked_for(home: Path, capsys: pytest.CaptureFixture) -> None:
    asked = ["--nodes=2", "--gpus-per-node=8", "--cpus-per-task=4", "--mem=64G", "--name=job"]
    asked += [r'--partition=a "b" \ c', "--qos=high", "--time=4:00:00", "--sbatch=mail-type=END"]
    script = printed(capsys, *asked)
    assert directives(script) == {
        "job-name": "job",
        "nodes": "2",
        "ntasks-per-node": "8",
        "gpus-per-node": "8",
        "cpus-per-task": "4",
        "mem": "64G",
        "time": "4:00:00",
        "partition": r'"a \"b\" \\ c"',
        "qos": "high",
        "chdir": str(home),
        "output": "slurm/job-%j.log",
        "open-mode": "append",
        "signal": "TERM@120",
        "requeue": "",
        "mail-type": "END",
    }
    assert "JAX_LOCAL_DEVICE_IDS" not in script
    assert [path.name for path in home.iterdir()] == ["one.py"]


def test_options_come_through_the_shell_unchanged(
    home: Path, capsys: pytest.CaptureFixture
) -> None:
    answering(home, 0)
    script = printed(capsys, "--name=job", "--cpus-per-task=4", "--", *ODD)
    line, end = started(script, home)
    assert line[:4] == ["srun", "--wait=60", "--kill-on-bad-exit=0", "--cpus-per-task=4"]
    assert line[4:] == [sys.executable, "one.py", "--run.dir=runs/job", *ODD]
    assert end == ["exit", "0"]


@pytest.mark.parametrize(
    ("statuses", "starts"), [([75], 1), ([137, 0], 2), ([1, 1, 1], 3), ([2], 1), ([3], 1)]
)
def test_what_may_end_otherwise_is_tried_again_and_75_requeued(
    statuses: list[int], starts: int, home: Path, capsys: pytest.CaptureFixture
) -> None:
    answering(home, *statuses)
    *lines, end = started(printed(capsys, "--retries=2"), home)
    if statuses == [75]:
        assert lines.pop() == ["scontrol", "requeue", "7"]
    assert [line[0] for line in lines] == ["srun"] * starts
    assert end == ["exit", str(statuses[-1])]


def test_setup_comes_before_python_of_the_path(capsys: pytest.CaptureFixture) -> None:
    script = printed(capsys, "--setup=module load cuda", "--setup=. venv/bin/activate")
    assert script.index("\nmodule load cuda\n. venv/bin/activate\n") < script.index("srun")
    assert " python one.py" in script


def test_one_process_of_a_node_gets_all_its_gpus(capsys: pytest.CaptureFixture) -> None:
    script = printed(capsys, "--gpus-per-node=4", "--processes-per-node=1")
    assert directives(script)["ntasks-per-node"] == "1"
    assert "\nexport JAX_LOCAL_DEVICE_IDS=0,1,2,3" in script


def test_the_run_directory_is_a_function_of_script_and_options(
    capsys: pytest.CaptureFixture,
) -> None:
    names = [default_name(Path("a/one_two.py"), options) for options in ((), (), ("--seed", "1"))]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("one-two-")
    assert f"--run.dir=runs/{default_name(Path('one.py'), ['x'])} x" in printed(capsys, "--", "x")
    for given in (["--run.dir", "mine"], ["--run.dir=mine"]):
        assert printed(capsys, "--", *given).count("--run.dir") == 1


def test_time_limits_are_read_as_sbatch_reads_them() -> None:
    meant = {"90": 5400, "4:00": 240, "4:00:00": 14400, "1-2": 93600}
    meant |= {"1-2:3": 93780, "1-2:3:4": 93784, "0": 0}
    assert {text: seconds_of(text) for text in meant} == meant
    for wrong in ("", "4h", "1:2:3:4", "-1", "1-", "four", "1-2-3", "1.5"):
        with pytest.raises(InputError, match="--time"):
            seconds_of(wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nodes", "0"], "--nodes is 0"),
        (["--gpus-per-node", "-1"], "--gpus-per-node is -1"),
        (["--gpus-per-node", "8", "--processes-per-node", "3"], "1 process or 8"),
        (["--time", "4h"], "--time is 4h"),
        (["--time", "2:00"], "is 120 s, all of it --notice"),
        (["--notice", "0"], "--notice is 0"),
        (["--name", "a/b"], "--name is a/b"),
        (["--name", ".."], "--name is .."),
        (["--partition", "a\nb"], "second line"),
        (["--sbatch", "a\nb"], "second line"),
        ([], "there is no sbatch here; --dry-run"),
        (["--image", "x"], "--image is for Kubernetes"),
        (["--kubernetes"], "needs --image"),
        ([*KUBERNETES, "--time", "1"], "--time is for SLURM"),
        ([*KUBERNETES], "there is no kubectl here"),
        ([*KUBERNETES, "--name", "Job_1"], "lower-case"),
        ([*KUBERNETES, "--volume", "claim"], "CLAIM:/PATH"),
        ([*KUBERNETES, "--tpu", "v9:2x2"], "one of v4, v5e"),
        ([*KUBERNETES, "--tpu", "v5e:8x8x8"], "2 dimensions, as 4x4"),
        ([*KUBERNETES, "--tpu", "v5e:3x3"], "9 chips"),
        ([*KUBERNETES, "--tpu", "v5e:8x8", "--nodes", "2"], "leave --nodes"),
        (["--nodes"], "--nodes"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2_and_nothing_written(
    arguments: list[str], message: str, home: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["submit", "one.py", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in home.iterdir()] == ["one.py"]


def test_a_missing_script_is_said_before_all_else(capsys: pytest.CaptureFixture) -> None:
    assert main(["submit", "two.py"]) == 2
    assert "there is no script two.py" in capsys.readouterr().err


def test_a_directory_that_slurm_reads_otherwise_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (home / "50%j").mkdir()
    monkeypatch.chdir(home / "50%j")
    assert main(["submit", "../one.py", "--dry-run"]) == 2
    assert "50%j for its own; rename it" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 1])
def test_a_script_is_kept_only_if_sbatch_takes_it(
    status: int, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    sbatch = home / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f'#!/bin/bash\n[ -f "$1" ] && echo said\necho; exit {status}\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(sbatch.parent))
    written = printed(capsys, "--name=job").replace(" --dry-run", "")
    assert main(["submit", "one.py", "--name=job"]) == (0 if status == 0 else 2)
    out, error = capsys.readouterr()
    if status == 0:
        assert out == "slurm/job.sbatch: said\n"
        assert (home / "slurm" / "job.sbatch").read_text() == written
    else:
        assert error == "error: sbatch refuses the job: said\n"
        assert not (home / "slurm" / "job.sbatch").exists()


def test_a_jobset_without_pyyaml_is_refused_in_one_line(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert main(["submit", "one.py", "--dry-run", *KUBERNETES]) == 2
    assert "pip install -e '.[kubernetes]'" in capsys.readouterr().err


def test_a_jobset_has_what_its_schema_demands(capsys: pytest.CaptureFixture) -> None:
    asked = ["--nodes=2", "--gpus-per-node=8", "--mem=64Gi", "--name=job", "--retries=5"]
    jobset = yaml.safe_load(printed(capsys, *KUBERNETES, *asked, "--", *ODD))
    assert jobset["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
    assert jobset["kind"] == "JobSet"
    policy = jobset["spec"]["failurePolicy"]
    assert policy["maxRestarts"] == 5
    assert policy["restartStrategy"] in ("Recreate", "BlockingRecreate", "InPlaceRestart")
    (rule,) = policy["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    (replicated,) = jobset["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 2, 2)
    pod = job["template"]["spec"]
    # A pod failure policy is refused beside any other restart policy.
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    by_code, by_condition = job["podFailurePolicy"]["rules"]
    assert by_code["action"] == by_condition["action"] == "FailJob"
    assert by_code["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [75],
    }
    assert by_condition["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert container["command"] == ["python", "one.py", "--run.dir=/volume/runs/job", *ODD]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "8"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }


def test_pods_find_the_first_one_by_its_name(capsys: pytest.CaptureFixture) -> None:
    jobset = yaml.safe_load(printed(capsys, *KUBERNETES, "--nodes=3", "--name=job"))
    network = jobset["spec"]["network"]
    (replicated,) = jobset["spec"]["replicatedJobs"]
    (container,) = replicated["template"]["spec"]["template"]["spec"]["containers"]
    variables = {entry["name"]: entry for entry in container["env"]}
    # JobSet calls pods <jobset>-<replicated job>-<job index>-<pod index>.<subdomain>.
    host = f"{jobset['metadata']['name']}-{replicated['name']}-0-0.{network['subdomain']}"
    assert network["enableDNSHostnames"] is True
    address = variables["BIGMODEL_COORDINATOR"]["value"]
    assert address == f"{host}:{container['ports'][0]['containerPort']}"
    assert variables["BIGMODEL_PROCESSES"]["value"] == "3"
    field = variables["BIGMODEL_PROCESS"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert "batch.kubernetes.io/job-completion-index" in field
    assert all(isinstance(entry.get("value", ""), str) for entry in container["env"])


@pytest.mark.parametrize(
    ("asked", "accelerator", "hosts", "chips"),
    [
        ("v5e:8x8", "tpu-v5-lite-podslice", 16, 4),
        ("v5e:2x4", "tpu-v5-lite-podslice", 1, 8),
        ("v6e:4x4", "tpu-v6e-slice", 4, 4),
        ("v4:2x2x1", "tpu-v4-podslice", 1, 4),
        ("v5p:2x2x2", "tpu-v5p-slice", 2, 4),
    ],
)
def test_slices_of_tpus_are_as_gke_has_them(
    asked: str, accelerator: str, hosts: int, chips: int, capsys: pytest.CaptureFixture
) -> None:
    jobset = yaml.safe_load(printed(capsys, *KUBERNETES, "--tpu", asked))
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    pod = job["template"]["spec"]
    assert job["completions"] == hosts
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": accelerator,
        "cloud.google.com/gke-tpu-topology": asked.split(":")[1],
    }
    assert pod["containers"][0]["resources"]["limits"] == {"google.com/tpu": str(chips)}
    assert [entry["name"] for entry in pod["containers"][0]["env"]] == ["BIGMODEL_RESUMES"]
