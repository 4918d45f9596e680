"""A job of Kubernetes: the manifest of a JobSet, ``jobset.x-k8s.io/v1alpha2``.

A pod is one process with all accelerators of its node. A pod that says 75, or whose node is
taken away, fails its Job with the reason ``PodFailurePolicy``: then all pods start again, as
often as it happens. Any other failure has the reason ``BackoffLimitExceeded``: they start again
as often as retries were asked for.

See https://jobset.sigs.k8s.io and https://kubernetes.io/docs/concepts/workloads/controllers/job.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from bigmodel import errors
from bigmodel.experiment import InputError
from bigmodel.launching.job import Job
from bigmodel.output import RANK
from bigmodel.processes.rendezvous import COORDINATOR, COUNT, RESUMES

PORT = 8476
"""Of the coordinator. Each pod has its own address, so that no other one can be there."""
WORKER = "worker"
INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
LONGEST_NAME = 40
"""The name of a pod ends in ``-worker-0-N-`` and five letters, and may have 63 in all."""
TPUS = {
    "v4": ("tpu-v4-podslice", 3),
    "v5e": ("tpu-v5-lite-podslice", 2),
    "v5p": ("tpu-v5p-slice", 3),
    "v6e": ("tpu-v6e-slice", 2),
}
"""GKE's name of a generation, and the number of dimensions of its topologies."""
CHIPS_PER_HOST = 4
ONE_HOST = 8
"""Chips up to which a topology of two dimensions is on one host."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A slice of TPUs on Google Kubernetes Engine."""

    accelerator: str
    topology: str
    hosts: int
    chips_per_host: int


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Resources requested from Kubernetes for a job."""

    image: str
    namespace: str | None
    volume: tuple[str, str] | None
    """a persistent volume claim, and where it is mounted"""
    tpu: Slice | None


def manifest(job: Job, cluster: Cluster) -> str:
    """The JobSet as YAML; raises InputError where the package that writes it is not installed."""
    try:
        import yaml
    except ImportError:
        raise InputError(
            "--kubernetes needs the package pyyaml: pip install -e '.[kubernetes]'"
        ) from None
    text = yaml.safe_dump(jobset(job, cluster), sort_keys=False, width=100)
    return f"# {job.written_by}\n{text}"


def jobset(job: Job, cluster: Cluster) -> dict[str, Any]:
    """The JobSet as plain values."""
    check_name(job.name)
    pods = cluster.tpu.hosts if cluster.tpu else job.nodes
    metadata = {"name": job.name}
    if cluster.namespace is not None:
        metadata["namespace"] = cluster.namespace
    stopped = [
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": "train", "operator": "In", "values": [errors.RESUME]},
        },
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    again = {
        "name": "stopped",
        "action": "RestartJobSetAndIgnoreMaxRestarts",
        "onJobFailureReasons": ["PodFailurePolicy"],
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "network": {"enableDNSHostnames": True, "subdomain": job.name},
            "failurePolicy": {
                "maxRestarts": job.retries,
                "restartStrategy": "BlockingRecreate",
                "rules": [again],
            },
            "replicatedJobs": [
                {
                    "name": WORKER,
                    "replicas": 1,
                    "template": {
                        "spec": {
                            "completionMode": "Indexed",
                            "completions": pods,
                            "parallelism": pods,
                            "backoffLimit": 0,
                            "podFailurePolicy": {"rules": stopped},
                            "template": {"spec": _pod(job, cluster, pods)},
                        }
                    },
                }
            ],
        },
    }


def _pod(job: Job, cluster: Cluster, pods: int) -> dict[str, Any]:
    runs = f"{cluster.volume[1].rstrip('/')}/runs" if cluster.volume else "runs"
    container: dict[str, Any] = {
        "name": "train",
        "image": cluster.image,
        "command": ["python", *job.arguments(runs)],
        "env": _environment(job, cluster, pods),
    }
    if cluster.tpu is None:
        container["ports"] = [{"containerPort": PORT}]
    resources = _resources(job, cluster)
    if resources:
        container["resources"] = resources
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": job.notice,
        "containers": [container],
    }
    if cluster.tpu is not None:
        pod["nodeSelector"] = {
            "cloud.google.com/gke-tpu-accelerator": cluster.tpu.accelerator,
            "cloud.google.com/gke-tpu-topology": cluster.tpu.topology,
        }
    volumes: dict[str, tuple[str, dict[str, Any]]] = {}
    if cluster.volume is not None:
        claim, path = cluster.volume
        volumes["runs"] = (path, {"persistentVolumeClaim": {"claimName": claim}})
    if job.gpus_per_node:
        # The GPUs of a node may talk through it, and a container has 64 MiB by default.
        volumes["shared-memory"] = ("/dev/shm", {"emptyDir": {"medium": "Memory"}})
    if volumes:
        container["volumeMounts"] = [{"name": n, "mountPath": v[0]} for n, v in volumes.items()]
        pod["volumes"] = [{"name": name, **volume} for name, (_, volume) in volumes.items()]
    return pod


def _environment(job: Job, cluster: Cluster, pods: int) -> list[dict[str, Any]]:
    """Environment variables of a process. On TPUs JAX finds the others from the node's metadata."""
    variables = {RESUMES: "1"}
    if cluster.tpu is None:
        variables[COORDINATOR] = f"{job.name}-{WORKER}-0-0.{job.name}:{PORT}"
        variables[COUNT] = str(pods)
        # Said, so that JAX need not ask the cluster for it.
        variables["JAX_LOCAL_DEVICE_IDS"] = ",".join(map(str, range(job.gpus_per_node or 1)))
    entries: list[dict[str, Any]] = [{"name": n, "value": v} for n, v in variables.items()]
    if cluster.tpu is None:
        entries.append({"name": RANK, "valueFrom": {"fieldRef": {"fieldPath": INDEX}}})
    return entries


def _resources(job: Job, cluster: Cluster) -> dict[str, Any]:
    wanted = {"cpu": job.cpus_per_task, "memory": job.mem}
    requests = {name: str(value) for name, value in wanted.items() if value is not None}
    limits = {}
    if cluster.tpu is not None:
        limits["google.com/tpu"] = str(cluster.tpu.chips_per_host)
    elif job.gpus_per_node:
        limits["nvidia.com/gpu"] = str(job.gpus_per_node)
    return {name: value for name, value in (("requests", requests), ("limits", limits)) if value}


def tpu_slice(text: str) -> Slice:
    """The slice that ``v5e:8x8`` means; raises InputError for one that there is not."""
    generation, _, topology = text.partition(":")
    if generation not in TPUS:
        raise InputError(f"--tpu is {text}; it must be one of {', '.join(TPUS)}, as v5e:8x8")
    accelerator, dimensions = TPUS[generation]
    if not re.fullmatch("x".join([r"[1-9]\d*"] * dimensions), topology):
        example = "x".join("4" * dimensions)
        raise InputError(
            f"--tpu is {text}; a topology of {generation} has {dimensions} dimensions, as {example}"
        )
    chips = math.prod(map(int, topology.split("x")))
    if chips <= (ONE_HOST if dimensions == 2 else CHIPS_PER_HOST):
        hosts, per_host = 1, chips
    else:
        hosts, per_host = chips // CHIPS_PER_HOST, CHIPS_PER_HOST
    if chips != hosts * per_host:
        raise InputError(f"--tpu is {text}, {chips} chips; a host has {CHIPS_PER_HOST}")
    return Slice(accelerator=accelerator, topology=topology, hosts=hosts, chips_per_host=per_host)


def volume_of(text: str) -> tuple[str, str]:
    """The claim and the path of ``CLAIM:/PATH``; raises InputError for any other form."""
    claim, _, path = text.partition(":")
    if not claim or not path.startswith("/"):
        raise InputError(f"--volume is {text}; it must be CLAIM:/PATH")
    return claim, path


def check_name(name: str) -> None:
    """Raises InputError for a name that no JobSet and none of its pods can have."""
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) or len(name) > LONGEST_NAME:
        raise InputError(
            f"--name is {name}; Kubernetes takes at most {LONGEST_NAME} lower-case letters, "
            "digits and inner hyphens"
        )
