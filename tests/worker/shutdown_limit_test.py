"""The limit of a shutdown, which signal handlers begin."""

import signal
import threading
import time

from pacifica.dispatcher.worker.shutdown_limit import Limit, ShutdownLimit

from ..eventually import eventually


def test_each_kind_acts_once_when_its_time_is_over() -> None:
    acted: list[str] = []
    limit = ShutdownLimit(
        {"Warm": Limit(0.1, lambda: acted.append("warm")), "Cold": Limit(0.0, lambda: acted.append("cold"))}
    )
    limit.begin("Warm")  # A signal may come before the thread runs.
    limit.start()
    for _ in range(3):
        limit.begin("Warm")
    assert acted == []
    limit.begin("Cold")
    eventually(lambda: acted == ["cold", "warm"])
    limit.begin("Cold")
    limit.begin("Warm")
    done = threading.Event()
    other = ShutdownLimit({"Warm": Limit(0.2, done.set)})
    other.start()
    other.begin("Warm")
    assert done.wait(10)
    assert acted == ["cold", "warm"]


def test_handler_that_interrupts_itself_waits_for_no_lock() -> None:
    """With a handler that starts a thread, one of a few hundred such signals stops the process forever."""
    acted = threading.Event()
    limit = ShutdownLimit({"Warm": Limit(0.0, acted.set)})
    handled = 0

    def handle(*_: object) -> None:
        nonlocal handled
        limit.begin("Warm")
        handled += 1

    limit.start()
    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.000_02, 0.000_02)
    try:
        eventually(lambda: handled > 2000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(0)  # A signal that has arrived is handled by our handler.
        signal.signal(signal.SIGALRM, before)
    assert acted.wait(10)
