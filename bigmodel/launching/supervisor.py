"""Starts the processes of a run, watches them, and starts them again where one fails.

A process that dies takes the others with it: they wait for it in a collective. So all are
ended, the cause is said in a line, and the run goes on from its last good checkpoint.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from bigmodel import errors
from bigmodel.launching.child import Child
from bigmodel.launching.layout import Layout, coordinator, rank_environment
from bigmodel.processes.signals import Handlers

POLL = 0.1
SETTLE = 3.0
"""Seconds that the others have to end by themselves when one has failed."""
ENDED = (-signal.SIGTERM, -signal.SIGHUP)
"""Statuses of a process that was asked to stop before it could take the signal."""
FINAL = (errors.BAD_INPUT, errors.NOT_FINITE)
"""Statuses that a restart would only reproduce."""


class Policy(NamedTuple):
    """How failures of processes are handled.

    ``watchdog`` is the longest time in seconds without a step, 0 for any; ``grace`` how long
    processes have to save after a signal. ``elastic`` goes on with those that are left.
    """

    retries: int = 0
    watchdog: float = 1800.0
    grace: float = 120.0
    elastic: bool = False


class Outcome(NamedTuple):
    """The outcome of an attempt.

    Where it failed, ``cause`` says why in a line, ``lost`` how many processes a signal ended,
    and ``said`` whether the first rank has already printed what went wrong.
    """

    status: int
    cause: str | None = None
    lost: int = 0
    said: bool = False


class Relay(Handlers):
    """Records the signals that the launcher receives, to pass them on to its processes."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[int] = []

    def receive(self, number: int, _: FrameType | None) -> None:
        """Notes the signal."""
        self.received.append(number)

    def sleep(self, seconds: float) -> None:
        """Waits, or less if a signal comes."""
        until = time.monotonic() + seconds
        while not self.received and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL))


def supervise(command: Sequence[str], layout: Layout, policy: Policy) -> int:
    """Runs a command on all processes of a layout, and restarts it after failures.

    Returns:
        Its exit status: 0, that of the process that failed (1 for one that was killed), 75
        where SIGTERM stopped the run and it may be started again, 130 for Ctrl-C.

    Raises:
        InputError: where the port is in use.
    """
    with Relay() as relay:
        for attempt in range(policy.retries + 1):
            with tempfile.TemporaryDirectory(prefix="bigmodel-") as folder:
                outcome = _run_once(command, layout, policy, relay, Path(folder))
            if outcome.cause is None:
                return outcome.status
            if attempt == policy.retries or outcome.status in FINAL:
                if not outcome.said:
                    _say(f"error: {outcome.cause}" + ("; no retry is left" if attempt else ""))
                return outcome.status
            if policy.elastic and outcome.lost:
                layout = layout.reduced(outcome.lost)
            pause = min(2.0**attempt, 60.0)
            several = "es" * (layout.local > 1)
            _say(
                f"{outcome.cause}; starting {layout.local} process{several} again from the last "
                f"checkpoint in {pause:g} s, retry {attempt + 1} of {policy.retries}"
            )
            relay.sleep(pause)
            if relay.received:
                return _status_of(relay.received[0])
    raise AssertionError("every try returns")


def _run_once(
    command: Sequence[str], layout: Layout, policy: Policy, relay: Relay, control: Path
) -> Outcome:
    address = coordinator(layout)
    children: list[Child] = []
    try:
        for rank in layout.ranks:
            environment = rank_environment(layout, rank, address)
            children.append(Child(command, rank, environment, control))
        return _watch(children, policy, relay)
    finally:
        _end(children, SETTLE)


def _watch(children: Sequence[Child], policy: Policy, relay: Relay) -> Outcome:
    """Waits until all have ended, or until there is a reason to end them."""
    relayed = 0
    deadline: float | None = None
    while True:
        time.sleep(POLL)
        for number in relay.received[relayed:]:
            relayed += 1
            deadline = deadline or time.monotonic() + policy.grace
            for child in children:
                child.send(number)
        steps = {child.rank: child.look() for child in children}
        failed = [child for child in children if child.status not in (None, errors.DONE)]
        stopping = [c for c in failed if c.status == errors.RESUME or c.status in ENDED]
        if stopping and deadline is None:
            # One of the processes got the signal itself; the others stop after the same step.
            deadline = time.monotonic() + policy.grace
            if stopping[0].status in ENDED or steps[stopping[0].rank] is None:
                relay.received.append(signal.SIGTERM)
        if deadline is not None:
            number = relay.received[0] if relay.received else signal.SIGTERM
            status = _status_of(number)
            if all(child.status is not None for child in children):
                ended = all(child.status == errors.DONE for child in children)
                return Outcome(errors.DONE if ended else status)
            if time.monotonic() > deadline:
                _say(f"error: not all processes had saved {policy.grace:g} s after the signal")
                return Outcome(status)
        elif failed:
            return _failure(children, steps)
        elif all(child.status is not None for child in children):
            return Outcome(errors.DONE)
        running = [child for child in children if child.status is None]
        if policy.watchdog and any(
            time.monotonic() - child.moved > policy.watchdog for child in running
        ):
            return _hang(running, steps, policy.watchdog)


def _failure(children: Sequence[Child], steps: Mapping[int, int | None]) -> Outcome:
    """The outcome after a process has ended with a status other than 0."""
    # Those that lost it end as well and may be seen first; bad input ends all, one by one.
    _wait(lambda: any(_is_cause(child) for child in children), SETTLE)
    if any(child.status in FINAL for child in children):
        _wait(lambda: all(child.status is not None for child in children), SETTLE)
    failed = [child for child in children if child.status not in (None, errors.DONE)]
    child = next((child for child in failed if _is_cause(child)), failed[0])
    child.wait(SETTLE)
    status = child.status
    assert status is not None
    how = f"ended with status {status}"
    if status < 0:
        how = f"was ended by {signal.Signals(-status).name}"
        if status == -signal.SIGKILL:
            how += " (by hand, or because memory ran out)"
    cause = f"rank {child.rank} {how} {_after(steps[child.rank])}"
    said = status > 0 and child.rank == 0
    if not said and (lines := child.last_lines()):
        cause += f"; its last lines: {lines}"
    lost = sum(other.status is not None and other.status < 0 for other in children)
    return Outcome(errors.FAILED if status < 0 else status, cause, lost, said)


def _is_cause(child: Child) -> bool:
    """Whether a process failed for a reason of its own."""
    return child.status not in (None, errors.DONE, errors.LOST)


def _hang(running: Sequence[Child], steps: Mapping[int, int | None], watchdog: float) -> Outcome:
    """Makes each process write its stacks, and reports where it hangs."""
    for child in running:
        if not child.stopped:
            child.send(signal.SIGUSR1)
    _wait(lambda: all(child.stopped or child.stacks() for child in running), SETTLE)
    time.sleep(POLL)
    logs = next((child.log.parent for child in running if child.log is not None), None)
    if logs is not None:
        for child in running:
            (logs / f"rank-{child.rank}.stacks").write_text(child.stacks(), encoding="utf-8")
    held = [child for child in running if child.stopped]
    at = "; ".join(f"rank {child.rank}: {child.where()}" for child in running)
    culprit = held[0] if held else min(running, key=lambda child: child.moved)
    cause = f"rank {culprit.rank} hangs {_after(steps[culprit.rank])}, no step for {watchdog:g} s"
    where = "" if logs is None else f"; stacks in {logs}"
    return Outcome(errors.FAILED, f"{cause} ({at}){where}", len(held))


def _end(children: Sequence[Child], grace: float) -> None:
    """Ends all running processes: SIGTERM, a grace period, SIGKILL."""
    for child in children:
        child.send(signal.SIGTERM)
    until = time.monotonic() + grace
    for child in children:
        if not child.wait(until - time.monotonic()):
            child.send(signal.SIGKILL)
            child.wait(60.0)


def _wait(done: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(POLL)


def _status_of(number: int) -> int:
    return errors.INTERRUPTED if number == signal.SIGINT else errors.RESUME


def _after(step: int | None) -> str:
    return "before the first step" if step is None else f"after step {step}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
