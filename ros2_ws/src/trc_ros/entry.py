"""Console scripts: a signal while the nodes are still being imported ends them quietly."""

from __future__ import annotations

import os
import signal

from trc_ros.signals import ending_signals


def controller() -> int:
    """`trc_controller`; returns the exit code."""
    _end_quietly()
    from trc_ros.controller.node import main

    return main()


def plant() -> int:
    """`trc_plant`; returns the exit code."""
    _end_quietly()
    from trc_ros.plant.node import main

    return main()


def fleet() -> int:
    """`trc_fleet`; returns the exit code."""
    _end_quietly()
    from trc_ros.fleet.node import main

    return main()


def _end_quietly() -> None:
    """Makes signals end the process at once: there is no node to close yet."""
    for number in ending_signals():
        signal.signal(number, lambda *_: os._exit(0))
