"""Ranges of states: the box that a state or a goal must lie in, angles modulo a turn."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.cost import TURN
from trc_core.planner.clock import now
from trc_core.problem.system import Array, System

if TYPE_CHECKING:
    from trc_core.planner.controller import Controller

TRAINED_PLANS = 20  # from random states and goals: where they pass is known to the network
LONGEST_SEARCH = 0.5  # [s]
FAR_FACTOR = 1.5  # of the width of where they pass: beyond is far outside
ROUNDING = 1e-9  # of a limit: that far outside counts as on it


@dataclass(frozen=True, eq=False)
class StateBox:
    """Box of the states of a system. An angle lies inside if it does after some whole turns."""

    system: System
    low: tuple[float, ...]
    """Smallest values of the n_x states; -inf for one without a limit."""
    high: tuple[float, ...]
    """Largest values of the n_x states; inf for one without a limit."""

    @classmethod
    def of(cls, system: System, low: ArrayLike, high: ArrayLike) -> StateBox:
        """The box from `low` (n_x,) to `high` (n_x,)."""
        lowest = np.array(low, dtype=np.float64)
        highest = np.array(high, dtype=np.float64)
        return cls(system, tuple(lowest.tolist()), tuple(highest.tolist()))

    @classmethod
    def unlimited(cls, system: System) -> StateBox:
        """The box that every state lies in."""
        return cls.of(system, np.full(system.n_x, -np.inf), np.full(system.n_x, np.inf))

    @classmethod
    def of_training(cls, system: System) -> StateBox:
        """The box around the boxes of initial states and of goals."""
        x0, goal = system.x0_centre, system.goal_centre
        own = cls.of(system, goal - system.goal_box, goal + system.goal_box)
        return own.with_states(np.stack([x0 - system.x0_box, x0 + system.x0_box]))

    @classmethod
    def stated(
        cls, name: str, default: StateBox, low: Sequence[float] = (), high: Sequence[float] = ()
    ) -> StateBox:
        """The box that a user states by the parameters `name`.min and `name`.max.

        Args:
            name: of the parameters, for the messages of errors.
            default: has the limits of a side that is empty.
            low: smallest states, n_x numbers or none.
            high: largest states, n_x numbers or none.

        Raises:
            ValueError: for a wrong length, or a smallest state above the largest.
        """
        system = default.system
        lowest = _side(f'{name}.min', low, system, default.low)
        highest = _side(f'{name}.max', high, system, default.high)
        for state, a, b in zip(system.state_names, lowest, highest, strict=True):
            if a > b:
                raise ValueError(
                    f'{name}.min is {a:g} for {state}, above {name}.max {b:g}; '
                    'in flight, change the other one first'
                )
        return cls(system, lowest, highest)

    def widened(self, factor: float) -> StateBox:
        """The box with the same centre and `factor` times the widths."""
        low, high = np.array(self.low), np.array(self.high)
        more = 0.5 * (factor - 1.0) * (high - low)
        return self.of(self.system, low - more, high + more)

    def with_states(self, states: Array) -> StateBox:
        """The smallest box around this one and some states (N, n_x)."""
        low = np.minimum(np.array(self.low), states.min(axis=0))
        high = np.maximum(np.array(self.high), states.max(axis=0))
        return self.of(self.system, low, high)

    def outside(self, x: Array, places: Collection[int] | None = None) -> str:
        """The reason why a state lies outside, naming every such coordinate; '' for one inside.

        What is no number lies outside, unless nothing limits it.

        Args:
            x: (n_x,).
            places: of the coordinates that count; all by default.
        """
        # Plain numbers: for a few of them NumPy's calls would cost more than their work.
        values, wrong = x.tolist(), []
        names, turning = self.system.state_names, self.system.angles
        for i in range(len(values)) if places is None else places:
            name, value, a, b = names[i], values[i], self.low[i], self.high[i]
            inside = _turns_into if name in turning else _lies_in
            if not inside(value, a, b):
                wrong.append(f'{name} is {value:.6g}, outside of {a:.6g} to {b:.6g}')
        return '; '.join(wrong)


def trained_box(controller: Controller) -> StateBox:
    """The box around the states that a network was trained for, with a margin.

    It holds the boxes of initial states and goals, and the states that some plans between them
    pass: a pendulum that swings up is faster than it ever starts. There is no limit without a
    network, or where planning is so slow that to find one would delay a start.
    """
    system = controller.system
    if controller.checkpoint.is_classical:
        return StateBox.unlimited(system)
    starts, goals = system.sample(np.random.default_rng(0), TRAINED_PLANS)
    plans, began = [], now()
    for x, goal in zip(starts, goals, strict=True):
        if now() - began > LONGEST_SEARCH:
            return StateBox.unlimited(system)
        plans.append(controller.plan(x, goal).states)
    return StateBox.of_training(system).with_states(np.concatenate(plans)).widened(FAR_FACTOR)


def _lies_in(value: float, low: float, high: float) -> bool:
    """Whether a value lies between two limits, or on one of them but for rounding."""
    below = low - ROUNDING * abs(low) if math.isfinite(low) else low
    above = high + ROUNDING * abs(high) if math.isfinite(high) else high
    return below <= value <= above


def _turns_into(angle: float, low: float, high: float) -> bool:
    """Whether an angle lies between two limits after some whole turns."""
    if math.isinf(low) or math.isinf(high):
        # Half a limit says something about an angle only where turns are counted from somewhere.
        low, high = max(low, -math.pi), min(high, math.pi)
    slack = ROUNDING * TURN
    return (angle - low + slack) % TURN <= high - low + 2.0 * slack


def _side(
    name: str, values: Sequence[float], system: System, default: tuple[float, ...]
) -> tuple[float, ...]:
    given = tuple(float(value) for value in values)
    if given and len(given) != system.n_x:
        raise ValueError(
            f'{name} has {len(given)} values; write one for each of {list(system.state_names)}, '
            'or []'
        )
    return given or default
