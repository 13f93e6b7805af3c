"""Proposals of a flight: the starts that its controller chose from when a task began."""

from __future__ import annotations

import numpy as np

from trc_core.checkpoint import Checkpoint, load_checkpoint, shipped_checkpoints
from trc_core.numerics.cost import constant_reference
from trc_core.planner.backends import BACKENDS
from trc_core.planner.problems import Problems
from trc_core.problem.system import Array
from trc_ros.lab.demo.drawn import parameters_of
from trc_ros.lab.demo.flight import Flight

CHEAP = 5.0  # times the merit of the best start, beyond which one is not worth a line


def proposals_of(flight: Flight) -> list[Array]:
    """The states (N, T + 1, n_x) of the starts at the beginning of every task, found again.

    A controller says what its starts cost, and not where they lead. Those that cost much more
    than the best are left out.
    """
    system = flight.system
    ships = system.name in shipped_checkpoints()
    checkpoint = load_checkpoint(system.name) if ships else Checkpoint.classical(system)
    backend = BACKENDS['numba' if ships else 'classical'](checkpoint, 'cpu', 1)
    found = []
    for task in flight.tasks:
        states = flight.states.between(task.start, task.end)
        x0, time = states.values[:1], float(states.times[0])
        known = parameters_of(system, task.obstacles, time, x0[0])
        p = system.parameter_rows(known)
        r = constant_reference(task.goal[None], system.horizon)
        plans, merits = backend.propose(Problems(np.ascontiguousarray(x0), r, p=p))
        found.append(plans.x[0, merits[0] <= CHEAP * merits[0].min()])
    return found
