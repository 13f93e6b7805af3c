"""Signals that end a node: Ctrl-C, a service manager, and a terminal that is closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def ending_signals() -> tuple[signal.Signals, ...]:
    """SIGINT, SIGTERM and SIGHUP; without SIGHUP in a process started to ignore it.

    `nohup` asks for a node that outlives its terminal. SIGINT is never left out: a shell without
    job control makes all background jobs ignore it, and what flies must be stoppable.
    """
    always = (signal.SIGINT, signal.SIGTERM)
    outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return always if outlives_terminal else (*always, signal.SIGHUP)


@contextmanager
def held_back() -> Iterator[None]:
    """Lets SIGINT and SIGTERM take effect behind a block, and not within it.

    Only in the main thread, which is the one that they interrupt. A process that is started
    within hears them as before.
    """
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        numbers = ()
    # What is ignored stays so: processes inherit that, and no handlers.
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in came:
        signal.raise_signal(number)
