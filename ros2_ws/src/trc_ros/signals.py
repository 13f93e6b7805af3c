"""Signals that end a node: Ctrl-C, a service manager, and a terminal that is closed."""

from __future__ import annotations

import signal


def ending_signals() -> tuple[signal.Signals, ...]:
    """SIGINT, SIGTERM and SIGHUP; without SIGHUP in a process started to ignore it.

    `nohup` asks for a node that outlives its terminal. SIGINT is never left out: a shell without
    job control makes all background jobs ignore it, and what flies must be stoppable.
    """
    always = (signal.SIGINT, signal.SIGTERM)
    outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return always if outlives_terminal else (*always, signal.SIGHUP)
