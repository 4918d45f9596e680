r"""Gives an experiment to a job scheduler: SLURM, or Kubernetes with JobSet.

Writes a script for sbatch to slurm/NAME.sbatch, or a manifest to kubernetes/NAME.yaml, and
submits it. With --dry-run it only prints it.

python launch.py submit experiments/gpt.py --nodes 2 --gpus-per-node 8 --time 4:00:00 -- --seed 1
python launch.py submit experiments/gpt.py --kubernetes --image registry/gpt:1 --tpu v5e:8x8 \
    --volume checkpoints:/volume --dry-run
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bigmodel.experiment import InputError
from bigmodel.launching import kubernetes, slurm
from bigmodel.launching.job import Job, add_resources, check_positive, default_name, job_of
from bigmodel.launching.slurm import OF_SLURM, add_slurm_options
from bigmodel.script import add_script, check_script

ONLY_SLURM = (*OF_SLURM, "processes_per_node")
ONLY_KUBERNETES = ("image", "namespace", "volume", "tpu")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add_script(parser)
    add = parser.add_argument
    add("--dry-run", action="store_true", help="print what would be submitted, write nothing")
    add("--name", help="of the job and its run directory; default: the script's and a digest")
    add("--nodes", type=int, help="machines; default 1")
    add_resources(parser)
    group = parser.add_argument_group("SLURM")
    group.add_argument(
        "--processes-per-node",
        type=int,
        help="1 or as many as GPUs; default: one for each GPU, without GPUs one",
    )
    add_slurm_options(group)
    group = parser.add_argument_group("Kubernetes")
    add = group.add_argument
    add("--kubernetes", action="store_true", help="submit a JobSet instead of a SLURM job")
    add("--image", help="image with Python and the code in its working directory")
    add("--namespace", help="default: kubectl's own")
    add("--volume", help="CLAIM:/PATH of the volume with the run directories")
    add("--tpu", help="slice of TPUs on GKE, as v5e:8x8, instead of --nodes")


def execute(parsed: argparse.Namespace, options: Sequence[str]) -> int:
    """Prints the job, or writes and submits it."""
    check_script(parsed.script)
    _check_scheduler(parsed)
    job = _job(parsed, options)
    if parsed.kubernetes:
        text = _manifest(parsed, job)
        command, path = ["kubectl", "apply", "--filename"], Path("kubernetes", f"{job.name}.yaml")
    else:
        slurm.check_processes(job)
        text = slurm.sbatch_script(job, parsed)
        command, path = ["sbatch"], Path("slurm", f"{job.name}.sbatch")
    if parsed.dry_run:
        print(text, end="")
    else:
        hand_over(text, [*command, str(path)], path)
    return 0


def _job(parsed: argparse.Namespace, options: Sequence[str]) -> Job:
    check_positive("nodes", parsed.nodes)
    check_positive("processes-per-node", parsed.processes_per_node)
    name = default_name(parsed.script, options) if parsed.name is None else parsed.name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InputError(
            f"--name is {name}; it must be letters, digits, dots, hyphens and underscores"
        )
    return job_of(
        parsed,
        name=name,
        script=parsed.script,
        options=options,
        nodes=parsed.nodes or 1,
        processes_per_node=parsed.processes_per_node or parsed.gpus_per_node or 1,
    )


def _manifest(parsed: argparse.Namespace, job: Job) -> str:
    if parsed.image is None:
        raise InputError("--kubernetes needs --image, with Python and the code in it")
    if parsed.tpu is not None and (parsed.nodes or parsed.gpus_per_node) is not None:
        raise InputError("--tpu says how many nodes there are; leave --nodes and GPUs out")
    if parsed.volume is None:
        print(
            "warning: without --volume the checkpoints are gone with their pods, "
            "and a restart begins anew",
            file=sys.stderr,
        )
    cluster = kubernetes.Cluster(
        image=parsed.image,
        namespace=parsed.namespace,
        volume=None if parsed.volume is None else kubernetes.volume_of(parsed.volume),
        tpu=None if parsed.tpu is None else kubernetes.tpu_slice(parsed.tpu),
    )
    return kubernetes.manifest(job, cluster)


def _check_scheduler(parsed: argparse.Namespace) -> None:
    """Raises InputError for an option that the chosen scheduler does not have."""
    names = ONLY_SLURM if parsed.kubernetes else ONLY_KUBERNETES
    for name in names:
        if getattr(parsed, name) is not None:
            option = name.replace("_", "-")
            where = "SLURM; leave it out" if parsed.kubernetes else "Kubernetes; add --kubernetes"
            raise InputError(f"--{option} is for {where}")


def hand_over(text: str, command: Sequence[str], path: Path) -> None:
    """Writes a file and submits it by a command; a refused one is not kept.

    Raises:
        InputError: where the command is missing or refuses it.
    """
    if shutil.which(command[0]) is None:
        raise InputError(f"there is no {command[0]} here; --dry-run prints what it would get")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    done = subprocess.run(
        command, check=False, capture_output=True, encoding="utf-8", errors="replace"
    )
    if done.returncode != 0:
        path.unlink()
        said = " ".join((done.stderr or done.stdout).split())
        raise InputError(f"{command[0]} refuses the job: {said}")
    print(f"{path}: {done.stdout.strip()}")
