"""The entry of an experiment's script: from a command line to a finished run directory."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

import jax

from bigmodel import errors
from bigmodel.config import to_json
from bigmodel.experiment import Experiment, InputError
from bigmodel.figures.curves import draw_curves
from bigmodel.processes.agreement import Agreement
from bigmodel.processes.distributed import (
    agree_on,
    check_all_work,
    find_place,
    is_first,
    is_peer_lost,
    is_started_again,
    join,
    wait_for_all,
)
from bigmodel.processes.pulse import Pulse
from bigmodel.processes.signals import Interrupted, StopRequest
from bigmodel.run_directory.changes import changes
from bigmodel.run_directory.checkpoints import Checkpoints
from bigmodel.run_directory.digest import params_digest
from bigmodel.run_directory.directory import MANIFEST, SUMMARY, RunDirectory
from bigmodel.run_directory.manifest import identity, manifest
from bigmodel.runtime.command_line import parse
from bigmodel.runtime.compilation import Compiled, compile_experiment, use_compilation_cache
from bigmodel.runtime.cross_validation import cross_validate, has_folds
from bigmodel.runtime.evaluation import metric_names
from bigmodel.runtime.loop import Trainer, Training, check_best, drive, init_key
from bigmodel.runtime.memory import TooLargeError, check_fits, plan_command
from bigmodel.runtime.settings import Settings
from bigmodel.sharding.mesh import make_mesh
from bigmodel.tracking.progress import Reporter, clock, redirect_output, say
from bigmodel.tracking.sinks import Sinks, check_sinks
from bigmodel.tree import named_leaves

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

    Args:
        build: from a config to the experiment; must be defined in the experiment's script.
        default: the config without any option.
        arguments: the options; by default those of this process.
    """
    script = Path(inspect.getfile(build)).resolve()
    stop = StopRequest()
    shared = False
    options = sys.argv[1:] if arguments is None else arguments
    try:
        with stop:
            config = parse(
                default,
                options,
                description=inspect.getdoc(inspect.getmodule(build)) or script.stem,
            )
            place = find_place()
            shared = place is not None or is_started_again()
            if place is not None:
                join(place, {"config": to_json(config), **identity(script)})
            use_compilation_cache()

            def run(one: Config) -> int:
                status = start(build(one), one, script=script, stop=stop)
                wait_for_all("the end of a run")
                return status

            if has_folds(config):
                status = cross_validate(config, directory_of(config, script), run)
            else:
                status = run(config)
    except InputError as error:
        needs = _needs(script, options) if isinstance(error, TooLargeError) else ""
        status = _fail(errors.BAD_INPUT, f"{error}{needs}")
    except errors.NotFiniteError as error:
        status = _fail(errors.NOT_FINITE, str(error))
    except (errors.StorageError, errors.JoinError) as error:
        status = _fail(errors.FAILED, str(error))
    except Interrupted as interruption:
        say(f"stopped by {signal.Signals(interruption.number).name}")
        # Threads that still make batches or write a checkpoint are not waited for.
        os._exit(_stopped(interruption.number, shared=shared))
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        if "RESOURCE_EXHAUSTED" in reason:
            needs = _needs(script, options)
            status = _fail(errors.FAILED, f"out of memory: {reason}{needs}")
        elif is_peer_lost(reason):
            status = _fail(errors.LOST, f"another process is gone: {reason}")
        elif shared:
            traceback.print_exc()
            status = errors.FAILED
        else:
            raise
    except Exception:
        if not shared:
            raise
        traceback.print_exc()
        status = errors.FAILED
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


def start(experiment: Experiment, config: Settings, *, script: Path, stop: StopRequest) -> int:
    """Starts a run, or goes on with it: see :func:`begin`."""
    compiled = compile_experiment(experiment, make_mesh(config.mesh))
    return drive(begin(experiment, config, compiled, script=script, stop=stop), compiled.step)


def begin(
    experiment: Experiment,
    config: Settings,
    compiled: Compiled,
    *,
    script: Path,
    stop: StopRequest,
    newest: int | None = None,
    drawing: bool = True,
    notes: Mapping[str, Any] = MappingProxyType({}),
) -> Training[int]:
    """A run in its run directory, from its start or from its last checkpoint on.

    Nothing is written before all that the user gave has been checked.

    Args:
        experiment: what is trained.
        config: from which it was built.
        compiled: its functions; the steps are made by whoever drives this.
        script: the experiment's.
        stop: asks the run to save and stop.
        newest: the step of the newest checkpoint that may be used; None for any.
        drawing: whether figures are made that take long to draw, and curves at the end.
        notes: what is written into the manifest beside the rest.

    Returns:
        The exit status of a run that ended well or was stopped by a signal.

    Raises:
        InputError: for options or a run directory that cannot be used.
        NotFiniteError: where the run diverged.
        StorageError: where a file cannot be read or written.
    """
    as_json = to_json(config)
    first = is_first()
    directory = RunDirectory(directory_of(config, script), writing=first, drawing=drawing)
    mesh = make_mesh(config.mesh)
    check_all_work(mesh)
    check_fits(compiled.state)
    check_best(config.run, lambda: metric_names(experiment, compiled))
    directory.check_same_run(as_json, experiment.data.fingerprint)
    facts = manifest(
        script=script,
        seed=config.seed,
        fingerprint=experiment.data.fingerprint,
        maximize=experiment.maximize,
    )
    facts = {**facts, **notes}
    check_sinks(config.run.sinks)
    finished = directory.read_json(SUMMARY)
    if finished is not None and finished["status"] in ("completed", "stopped early"):
        if first:
            _warn_of_changes(directory, facts)
        say(f"{directory.path}: already {finished['status']} at step {finished['step']}")
        _print_results(finished)
        return errors.DONE
    directory.lock()
    checkpoints = Checkpoints(directory.checkpoints, warn=_warn, writing=first)
    found = agree_on((checkpoints.newest_intact(newest) or 0) if first else 0)
    if found == 0:
        state = compiled.init(init_key(config.seed))
    else:
        state = checkpoints.restore(found, compiled.state)
    step = found
    if step and first:
        _warn_of_changes(directory, facts)
    directory.create(as_json, facts, experiment.data.assets, step=step)
    pulse = Pulse(jax.process_index())
    if not first:
        pulse.logs_to(redirect_output(directory.logs / f"rank-{jax.process_index()}.log"))
    sinks = functools.partial(
        Sinks, config.run.sinks, path=directory.path, config=as_json, warn=_warn
    )
    directory.resume(step, sinks)
    total = config.run.total_steps(experiment.data.steps_per_epoch)
    with Reporter(total) as reporter:
        count = count_parameters(compiled.state)
        devices = f"{mesh.size} {jax.devices()[0].device_kind} device{'s' * (mesh.size > 1)}"
        begin = f"on from step {step}" if step else "from the start"
        reporter.line(f"{directory.path}: {count:,} parameters, {devices}, {begin}")
        trainer = Trainer(
            experiment,
            compiled,
            seed=config.seed,
            run=config.run,
            directory=directory,
            checkpoints=checkpoints,
            reporter=reporter,
            agreement=Agreement(mesh, stop),
            pulse=pulse,
        )
        stop.defer()
        try:
            state, step, ended = yield from trainer.train(state, step)
            if ended is not None:
                summary = summarize(trainer, compiled.whole(state), step, ended)
                directory.finish(summary, draw_curves)
        except errors.NotFiniteError as error:
            checkpoints.wait()
            last = checkpoints.steps()
            kept = f"the checkpoint of step {last[-1]} is kept" if last else "no checkpoint yet"
            summary = {
                "status": "not finite",
                "reason": str(error),
                "step": error.step,
                "seconds": round(trainer.timer.total, 3),
            }
            directory.finish(summary, draw_curves)
            wait_for_all("a loss that is not finite")
            raise errors.NotFiniteError(f"{error}; {kept}", error.step) from None
        finally:
            if not stop.at_once:
                directory.close()
                checkpoints.close()
    if ended is None:
        other = "a signal to another process"
        name = other if stop.number is None else signal.Signals(stop.number).name
        saved = f"at step {step}, saved" if step else "before the first step"
        say(f"stopped by {name} {saved}; the same command goes on from there")
        return _stopped(stop.number, shared=jax.process_count() > 1 or is_started_again())
    say(f"{ended} at step {step} in {clock(summary['seconds'])}")
    _print_results(summary)
    return errors.DONE


def _warn_of_changes(directory: RunDirectory, facts: Mapping[str, Any]) -> None:
    """Says what is not as it was when the run began that goes on now."""
    before = directory.read_json(MANIFEST) or facts
    changed = [change.what for change in changes(before, facts) if change.effect != "none"]
    if changed:
        _warn(
            f"since the run in {directory.path} began, {' and '.join(changed)} changed, so its "
            "bits may differ from those of a new run; choose another --run.dir for one"
        )


def summarize(trainer: Trainer, state: Any, step: int, status: str) -> dict[str, Any]:
    """The content of ``summary.json``: the last value of each metric, and what the run was."""
    last: dict[str, Any] = {}
    for line in trainer.directory.history:
        last.update({name: value for name, value in line.items() if "/" in name})
    best = trainer.best()
    return {
        "status": status,
        "step": step,
        "seconds": round(trainer.timer.total, 3),
        "first_step_seconds": round(trainer.timer.first_step or 0.0, 3),
        "params_digest": params_digest(state.params),
        "parameters": count_parameters(state),
        "best": None if best is None else {"step": best[0], trainer.run.best: best[1]},
        **last,
    }


def count_parameters(state: Any) -> int:
    """How many numbers training changes."""
    return sum(leaf.size for leaf in named_leaves(state.params).values())


def directory_of(config: Settings, script: Path) -> Path:
    """The run directory that was asked for, or ``runs/<name>-<digest>``.

    The digest is a function of what the run computes, not of where. So the same command
    finds its run again, also under another mesh, with a profile or with sinks.
    """
    if config.run.dir:
        return Path(config.run.dir)
    computed = {key: value for key, value in to_json(config).items() if key != "mesh"}
    for name in ("profile", "sinks"):
        del computed["run"][name]
    text = json.dumps(computed, sort_keys=True)
    return Path("runs") / f"{script.stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _print_results(summary: dict[str, Any]) -> None:
    for name, value in summary.items():
        if "/" in name and not name.startswith("train/"):
            say(f"  {name} {value:.4f}" if value is not None else f"  {name} not finite")
    say(f"  params_digest {summary['params_digest']}")


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)


def _fail(status: int, message: str) -> int:
    print(f"error: {message}", file=sys.stderr, flush=True)
    return status
