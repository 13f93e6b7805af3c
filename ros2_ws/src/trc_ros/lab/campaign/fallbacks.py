"""Expected commands of each fallback, from what the controller published before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trc_core.problem.system import Array
from trc_ros.lab.campaign.contract import Contract
from trc_ros.lab.recording import Horizon

TOLERANCE = 1e-6  # share of the control range
RATE_USED = 0.25  # share of the rate limit; times of sending are not those of the decisions
LqrPlan = Callable[[Array, Array], Array]  # (x, goal) -> controls (T, n_u)


@dataclass(frozen=True)
class Handover:
    """Handover to the fallback: the plan and goal that decide its commands."""

    contract: Contract
    horizon: Horizon
    """The last plan before."""
    goal: Array  # (n_x,)
    lqr: LqrPlan


def tail_controls(handover: Handover, time: float, previous: Array) -> Array | None:
    """The rest of the last plan; None, for unknown, where the horizon holds no controls."""
    if not len(handover.horizon.controls):
        return None
    return due_controls(handover, handover.horizon.controls, time)


def lqr_controls(handover: Handover, time: float, previous: Array) -> Array:
    """The LQR from the last state."""
    return due_controls(handover, handover.lqr(handover.horizon.states[0], handover.goal), time)


def held_control(handover: Handover, time: float, previous: Array) -> Array:
    """The command before."""
    return previous[None]


def zero_control(handover: Handover, time: float, previous: Array) -> Array:
    """Zero."""
    return np.zeros((1, len(previous)))


def no_control(handover: Handover, time: float, previous: Array) -> Array:
    """Silence: no command is right."""
    return np.empty((0, len(previous)))


TARGETS: dict[str, Callable[[Handover, float, Array], Array | None]] = {
    'tail': tail_controls,
    'lqr': lqr_controls,
    'hold': held_control,
    'zero': zero_control,
    'none': no_control,
}
"""For every fallback mode: the controls (k, n_u) that are right at a time."""


def due_controls(handover: Handover, controls: Array, time: float) -> Array:
    """The controls (k, n_u) of a plan that may be due at a time, u_trim after its end.

    A command is sent up to a period after it was decided.
    """
    contract = handover.contract
    dt = contract.system.dt
    age = time - handover.horizon.start
    first, last = (int(t / dt) for t in (max(age - contract.period - contract.margin, 0.0), age))
    due = [k for k in range(first, last + 1) if k < len(controls)]
    trim = contract.system.u_trim[None] if last >= len(controls) else controls[:0]
    return np.concatenate([controls[due], trim])


def is_expected(handover: Handover, times: Array, previous: Array, u: Array) -> bool:
    """Whether u (n_u,) is what the fallback commands, or on the way there at the rate limit.

    Args:
        handover: what it took over.
        times: (2,), when `previous` and u were sent [s since the epoch].
        previous: the command before u (n_u,).
        u: a command (n_u,).
    """
    contract = handover.contract
    slack = TOLERANCE * (contract.system.u_max - contract.system.u_min)
    targets = TARGETS[contract.fallback](handover, times[1], previous)
    if targets is None:
        return True
    moved = np.abs(u - previous) >= RATE_USED * contract.rate * (times[1] - times[0])
    for target in contract.limited(targets):
        there = np.abs(u - target) <= slack
        between = (np.minimum(previous, target) <= u) & (u <= np.maximum(previous, target))
        if (there | (between & moved)).all():
            return True
    return False
