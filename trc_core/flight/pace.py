"""Pace check: a controller must plan fast enough on this machine."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trc_core.planner.clock import now
from trc_core.systems.draws import drawn_states

if TYPE_CHECKING:
    from trc_core.planner.controller import Controller
    from trc_core.problem.system import Array

PATIENCE = 5.0  # [s] for which a machine that is busy starting everything else may be slow
ROUNDS = 3  # at least: a stall spoils one of them
PAUSE = 0.1  # [s] between two rounds
ROUND = 0.3  # [s] that a round goes on after it is lost
HOPELESS = 2.0  # periods that the fastest plan takes where waiting does not help


class TooSlowError(ValueError):
    """Planning takes longer than a period of the control loop."""


def require_pace(
    controller: Controller, period: float, iterations: int, patience: float = PATIENCE
) -> float:
    """Times cold plans that no deadline cuts short, in rounds until one is in time.

    Args:
        controller: warm.
        period: period of the control loop [s].
        iterations: plans per round; 0 measures nothing.
        patience: seconds for which rounds are repeated.

    Returns:
        The p99 [s] of the round that passed; NaN if nothing was measured.

    Raises:
        TooSlowError: if the p99 exceeds the period in every round; the message says what was
            measured and what to change.
    """
    if not iterations:
        return float('nan')
    began = now()
    rounds: list[Array] = []
    while True:
        rounds.append(_seconds(controller, period, iterations, seed=len(rounds)))
        if _p99(rounds[-1]) <= period:
            return _p99(rounds[-1])
        hopeless = min(seconds.min() for seconds in rounds) > HOPELESS * period
        if len(rounds) >= ROUNDS and (hopeless or now() - began > patience):
            break
        time.sleep(PAUSE)
    best = min(rounds, key=_p99)
    p99 = _p99(best)
    raise TooSlowError(
        f'planning takes {1e3 * p99:.3g} ms (p99 of {len(best)} plans, median '
        f'{1e3 * np.median(best):.3g} ms; the best of {len(rounds)} rounds in '
        f'{now() - began:.1f} s), longer than the period of {1e3 * period:.3g} ms: lower '
        f'controller_frequency to {0.8 / p99:.2g} Hz or refinement_cycles (now '
        f'{controller.cycles}), or let deadlines cut plans short with slow_plans warn'
    )


def _p99(seconds: Array) -> float:
    return float(np.percentile(seconds, 99))


def _seconds(controller: Controller, period: float, iterations: int, seed: int) -> Array:
    """Seconds (N,) of plans over random states and goals of the system.

    They are `iterations` plans; fewer where so many are late that the p99 is lost, and time is up.
    """
    system, rng = controller.system, np.random.default_rng(seed)
    draw = system.sample if system.final_time is None else partial(drawn_states, system)
    states, goals = draw(rng, iterations)
    seconds: list[float] = []
    began, late = now(), 0
    for x, goal in zip(states, goals, strict=True):
        start = now()
        controller.plan(x, goal)
        seconds.append(now() - start)
        late += seconds[-1] > period
        if late > 1 + 0.01 * iterations and now() - began > ROUND:
            break
    return np.array(seconds)
