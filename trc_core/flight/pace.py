"""Pace check: a controller must plan fast enough on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trc_core.planner.clock import now

if TYPE_CHECKING:
    from trc_core.planner.controller import Controller

ROUNDS = 3  # a stall of the machine spoils one round, a slow controller all of them


def require_pace(controller: Controller, period: float, iterations: int) -> float:
    """Times cold plans that no deadline cuts short.

    Args:
        controller: warm.
        period: period of the control loop [s].
        iterations: plans per round; 0 measures nothing.

    Returns:
        The p99 [s] of the round that passed; NaN if nothing was measured.

    Raises:
        ValueError: if the p99 exceeds the period in every round; the message says what to change.
    """
    if not iterations:
        return float('nan')
    rounds = []
    for seed in range(ROUNDS):
        rounds.append(_p99(controller, iterations, seed))
        if rounds[-1] <= period:
            return rounds[-1]
    p99 = min(rounds)
    raise ValueError(
        f'planning takes {1e3 * p99:.3g} ms (p99 of {iterations} plans), longer than the period '
        f'of {1e3 * period:.3g} ms: lower controller_frequency to {0.8 / p99:.2g} Hz or '
        f'refinement_cycles (now {controller.cycles}), or let deadlines cut plans short with '
        'warmup_iterations 0'
    )


def _p99(controller: Controller, iterations: int, seed: int) -> float:
    """Seconds that a plan takes, over random states and goals of the system."""
    states, goals = controller.system.sample(np.random.default_rng(seed), iterations)
    seconds = []
    for x, goal in zip(states, goals, strict=True):
        began = now()
        controller.plan(x, goal)
        seconds.append(now() - began)
    return float(np.percentile(seconds, 99))
