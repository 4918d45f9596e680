"""The entry of an experiment's script: from a command line to a finished run directory."""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import jax

from bigmodel import errors
from bigmodel.config import to_json, with_values
from bigmodel.experiment import Experiment, InputError
from bigmodel.output import protect_output
from bigmodel.processes.agreement import Agreement
from bigmodel.processes.cpu import start_cpu
from bigmodel.processes.distributed import (
    check_all_work,
    find_process_info,
    is_first,
    is_peer_lost,
    is_started_again,
    join,
    wait_for_all,
)
from bigmodel.processes.flags import set_flags
from bigmodel.processes.heartbeat import Heartbeat
from bigmodel.processes.signals import Interrupted, StopRequest
from bigmodel.run_directory.directory import MANIFEST, RunDirectory
from bigmodel.run_directory.manifest import identity
from bigmodel.run_directory.same_run import default_directory
from bigmodel.runtime.calls import compile_first, is_debugged
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.compilation import Compiled, compile_experiment
from bigmodel.runtime.cross_validation import check_readable_again, cross_validate, has_folds
from bigmodel.runtime.loop import Plan, step_key, train
from bigmodel.runtime.memory import TooLargeError, plan_command
from bigmodel.runtime.recorder import open_run
from bigmodel.runtime.settings import Settings
from bigmodel.runtime.xla import use_compilation_cache, use_precision
from bigmodel.sharding.cores import devices_before, mesh_of
from bigmodel.tracking.profile import Profile
from bigmodel.tracking.progress import clock, print_results, redirect_output, say

Config = TypeVar("Config", bound=Settings)


def main(
    build: Callable[[Config], Experiment],
    default: Config,
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Runs an experiment as the command line says, and exits.

    The exit status is 0 when the run is complete or SIGTERM stopped it, 1 when it failed, 2
    for bad input (nothing was written), 3 for a loss that is not finite and 130 for Ctrl-C.
    Of several processes, and under a launcher or a job scheduler, it is 75 where SIGTERM stopped
    the run: whoever started it may start it again.

    ``build`` must be defined in the experiment's script; ``arguments`` are by default those of this
    process.
    """
    script = Path(inspect.getfile(build)).resolve()
    stop = StopRequest()
    shared = False
    options = sys.argv[1:] if arguments is None else arguments
    protect_output()
    try:
        with stop:
            config = parse(
                default,
                options,
                description=inspect.getdoc(inspect.getmodule(build)) or script.stem,
            )
            set_flags(deterministic=config.run.deterministic, fast=config.run.flags)
            if has_folds(config):
                check_readable_again(config, "each fold reads it")
            info = find_process_info()
            shared = info is not None or is_started_again()
            if info is not None:
                check_readable_again(config, "each process reads it")
                join(info, {"config": to_json(config), **identity(script)})
            start_cpu(alone=info is None)
            use_compilation_cache()

            def run_one(one: Config) -> int:
                status = run_experiment(build(one), one, script=script, stop=stop)
                wait_for_all("the end of a run")
                return status

            if has_folds(config):
                first = with_values(config, {"data.fold": 0})
                data = "" if config.run.dir else build(first).data.fingerprint
                status = cross_validate(config, directory_of(config, script, data), run_one)
            else:
                status = run_one(config)
    except InputError as error:
        needs = _needs(script, options) if isinstance(error, TooLargeError) else ""
        status = _fail(errors.BAD_INPUT, f"{error}{needs}")
    except errors.EXPECTED as error:
        status = _fail(*errors.explain(error))
    except Interrupted as interruption:
        say(f"stopped by {signal.Signals(interruption.number).name}")
        # Threads that still make batches or write a checkpoint are not waited for.
        os._exit(_stopped(interruption.number, shared=shared))
    except Exception as error:
        of_jax = isinstance(error, jax.errors.JaxRuntimeError)
        reason = str(error).partition("\n")[0]
        if isinstance(error, MemoryError) or (of_jax and "RESOURCE_EXHAUSTED" in reason):
            status = _fail(errors.FAILED, f"out of memory: {reason}{_needs(script, options)}")
        elif of_jax and is_peer_lost(reason):
            status = _fail(errors.LOST, f"another process is gone: {reason}")
        elif shared:
            traceback.print_exc()
            status = errors.FAILED
        else:
            raise
    if shared and status not in (errors.DONE, errors.RESUME):
        # An orderly end would wait for the other processes, which wait for this one.
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


def _needs(script: Path, options: Sequence[str]) -> str:
    return f"; to see what it needs: {plan_command(script, options)}"


def _stopped(number: int | None, *, shared: bool) -> int:
    """The exit status of a run that a signal stopped; None if another process got it."""
    if number == signal.SIGINT:
        return errors.INTERRUPTED
    return errors.RESUME if shared else errors.DONE


def run_experiment(
    experiment: Experiment,
    config: Settings,
    *,
    script: Path,
    stop: StopRequest,
    compiled: Compiled | None = None,
    **options: Any,
) -> int:
    """Runs an experiment in its run directory, from its start or from its last checkpoint on.

    ``compiled`` are its functions where another run has had them already, ``options`` those of
    :func:`~bigmodel.runtime.recorder.open_run`. The result is the exit status of a run that ended
    well or was stopped by a signal.

    Raises:
        InputError: for options or a run directory that cannot be used.
        NotFiniteError: where the run diverged.
        StorageError: where a file cannot be read or written.
    """
    use_precision(config.run.matmul_precision)
    path = directory_of(config, script, experiment.data.fingerprint)
    recorded = RunDirectory(path).read_json(MANIFEST) if path.exists() else None
    mesh = mesh_of(experiment, config.mesh, devices_before(recorded))
    compiled = compiled or compile_experiment(experiment, mesh)
    check_all_work(mesh)
    data, seed = experiment.data, config.seed
    plan, key = Plan.of(config.run, data), step_key(seed)
    meanwhile = functools.partial(compile_first, compiled, data, seed, plan, key)
    if not is_debugged():
        options["meanwhile"] = meanwhile
    opened = open_run(experiment, config, compiled, path, script=script, **options)
    if opened is None:
        return errors.DONE
    recorder, state = opened
    heartbeat = Heartbeat(jax.process_index())
    if not is_first():
        log = recorder.directory.logs / f"rank-{jax.process_index()}.log"
        heartbeat.log_to(redirect_output(log))
    steps = config.run.profiled_steps() if is_first() else range(0)
    profile = Profile(steps, recorder.directory.profile)
    agreement = Agreement(mesh, stop)
    stop.defer()
    with recorder:
        state, step = train(
            compiled,
            state,
            recorder.start,
            data=data,
            seed=seed,
            key=key,
            plan=plan,
            recorder=recorder,
            agreement=agreement,
            profile=profile,
            heartbeat=heartbeat,
        )
        cancelled = agreement.at_times(heartbeat.beat)
        summary = recorder.finish(step, state, cancelled) if recorder.ended else None
    if summary is None:
        other = "a signal to another process"
        name = other if stop.number is None else signal.Signals(stop.number).name
        saved = f"at step {step}, saved" if step else "before the first step"
        say(f"stopped by {name} {saved}; the same command goes on from there")
        return _stopped(stop.number, shared=jax.process_count() > 1 or is_started_again())
    say(f"{summary['status']} at step {step} in {clock(summary['seconds'])}")
    print_results(summary)
    return errors.DONE


def directory_of(config: Settings, script: Path, fingerprint: str) -> Path:
    """The run directory that was asked for, or that of :func:`default_directory`."""
    if config.run.dir:
        return Path(config.run.dir)
    return default_directory(to_json(config), script, fingerprint)


def _fail(status: int, message: str) -> int:
    print(f"error: {message}", file=sys.stderr, flush=True)
    return status
