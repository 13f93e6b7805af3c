"""The controller on every backend, as planners to be timed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.lab.benchmark.interleaved import TimedPlanner, reason
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.plan import Plan
from trc_core.planner.backend import Backend
from trc_core.planner.backends import BACKENDS
from trc_core.planner.controller import Controller
from trc_core.planner.problems import Problems
from trc_core.planner.rows import Budget
from trc_core.problem.system import Array

Factory = Callable[[], TimedPlanner]
EAGER = 'PyTorch eager, network and physics'


def available(table: Mapping[str, Factory]) -> tuple[list[TimedPlanner], dict[str, str]]:
    """The planners of a table that can be had, and why the others cannot, by label."""
    present, absent = [], {}
    for label, factory in table.items():
        try:
            present.append(factory())
        except Exception as error:  # the others go on
            absent[label] = reason(error)
    return present, absent


def controllers(checkpoint: Checkpoint, backends: Sequence[str]) -> dict[str, Factory]:
    """Every backend with its own number of cycles, the first also with one, and clipped LQR."""
    table: dict[str, Factory] = {
        f'trc {backend}': partial(_controller, checkpoint, backend) for backend in backends
    }
    first = backends[0]
    one = f'trc {first}, 1 cycle'
    return {
        **table,
        one: partial(_controller, checkpoint, first, cycles=1, label=one),
        'clipped LQR': partial(_clipped_lqr, checkpoint, first),
    }


def every_cycle(checkpoint: Checkpoint, backends: Sequence[str]) -> dict[str, Factory]:
    """Backends that do the same work, every cycle whatever it gains; the last all in eager."""
    table: dict[str, Factory] = {
        f'trc {backend}': partial(exactly, checkpoint, backend, f'trc {backend}')
        for backend in backends
    }
    return {**table, EAGER: partial(_eager, checkpoint)}


def exactly(
    checkpoint: Checkpoint,
    backend: str,
    label: str,
    cycles: int | None = None,
    threads: int = 1,
    device: str = 'cpu',
) -> TimedPlanner:
    """Backend that does exactly `cycles` cycles, by default the checkpoint's own number.

    It also takes batches, x and goal (B, n_x), of which it gives the first plan.
    """
    return _tireless(label, BACKENDS[backend](checkpoint, device, threads), checkpoint, cycles)


def _tireless(
    label: str, planner: Backend, checkpoint: Checkpoint, cycles: int | None
) -> TimedPlanner:
    own = Controller(checkpoint, 'numba').cycles if cycles is None else cycles
    budget = Budget(own, math.inf, tolerance=0.0, seconds=0.0)

    def plan(x: Array, goal: Array, previous: Plan | None) -> Plan:
        r = constant_reference(np.atleast_2d(goal), checkpoint.system.horizon)
        found = planner.plan(Problems(np.atleast_2d(x), r), budget)
        cycles, J = int(found.cycles[0]), float(found.J[0])
        return Plan(found.u[0], found.x[0], J, 'refined', cycles=cycles)

    return TimedPlanner(label, plan, warm=False)


def _controller(
    checkpoint: Checkpoint,
    backend: str,
    cycles: int | None = None,
    label: str | None = None,
) -> TimedPlanner:
    controller = Controller(checkpoint, backend, cycles=cycles, num_threads=1)

    def plan(x: Array, goal: Array, previous: Plan | None) -> Plan:
        return controller.plan(x, goal, previous)

    return TimedPlanner(label or f'trc {backend}', plan)


def _clipped_lqr(checkpoint: Checkpoint, backend: str) -> TimedPlanner:
    controller = Controller(checkpoint, backend, num_threads=1)
    return TimedPlanner(
        'clipped LQR', lambda x, goal, _: controller.lqr_plan(x, goal), warm=False, baseline=True
    )


def _eager(checkpoint: Checkpoint) -> TimedPlanner:
    """Model, guard, dynamics and gradient as plain PyTorch operations."""
    from trc_core.lab.benchmark.torch_dynamics import TorchDynamics
    from trc_core.planner.torch_backend import TorchBackend

    if checkpoint.model['sweeps']:
        raise ValueError('its cycles end with box-iLQR sweeps, which PyTorch operations lack')
    planner = TorchBackend(checkpoint, 'cpu', 1)
    planner.dynamics = TorchDynamics(planner.model.representation, checkpoint.system)
    return _tireless(EAGER, planner, checkpoint, None)
