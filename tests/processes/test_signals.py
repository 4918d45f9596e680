import os
import signal

import pytest

from bigmodel.processes.signals import Interrupted, StopRequest


def test_before_there_is_anything_to_save_a_signal_stops_at_once() -> None:
    with StopRequest() as stop:
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.at_once


def test_then_the_first_is_noted_and_a_second_ctrl_c_stops_at_once() -> None:
    with StopRequest() as stop:
        stop.defer()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        assert not stop.at_once
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_another_signal_of_its_kind_does_not_cut_the_save_short(number: int) -> None:
    # Under nohup the tests begin with a signal that is ignored.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with StopRequest() as stop:
            stop.defer()
            for _ in range(3):
                os.kill(os.getpid(), number)
            assert stop.number == number
    finally:
        signal.signal(number, before)


def test_a_closed_terminal_that_is_to_be_ignored_is() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_that_were_there_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopRequest():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
