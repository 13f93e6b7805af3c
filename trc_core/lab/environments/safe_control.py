"""safe-control-gym's cart-pole with a bound on the pole, by its published equations.

Source: Yuan et al., safe-control-gym (IEEE RA-L 2022), the model of its cart-pole and the task
`cartpole_constraint`; here integrated at 1 kHz by RK4 instead of PyBullet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import cos, sin

import numpy as np

from trc_core.lab.environments.environment import Environment, Step
from trc_core.problem.system import Array, System
from trc_core.systems.cartpole import cartpole

GRAVITY, CART, POLE, HALF = 9.8, 1.0, 0.1, 0.5  # [m/s^2], [kg], [kg], [m]
FORCE = 10.0  # [N]
WEIGHTS, EFFORT = np.array([5.0, 0.0, 1.0, 0.0]), 0.01
BOUND = 0.2  # [rad] and [rad/s], of the pole and of its speed
MARGIN = (
    1e-3  # of the plan: a plan along the bound must not cross it between two ways to integrate
)
DECIMALS = 8  # of a violation, as the gym rounds them
STARTS = np.array([0.3, 0.0, 0.1, 0.0])  # uniform to either side
DT, SUBSTEPS, SECONDS = 0.02, 20, 5.0


def rates(x: Array, force: float) -> Array:
    """x' for x = (position, speed, angle from upright, rate), with a uniform rod as the pole."""
    _, speed, angle, rate = x.tolist()
    mass = CART + POLE
    push = (force + POLE * HALF * rate**2 * sin(angle)) / mass
    turn = (GRAVITY * sin(angle) - cos(angle) * push) / (
        HALF * (4.0 / 3.0 - POLE * cos(angle) ** 2 / mass)
    )
    return np.array([speed, push - POLE * HALF * turn * cos(angle) / mass, rate, turn])


class ConstrainedCartPole(Environment):
    """The reward of a step is exp(-(e' W e + 0.01 u^2)); steps out of bounds are counted."""

    def __init__(self) -> None:
        super().__init__(_system(), round(SECONDS / DT))
        self._x = np.zeros(4)

    def reset(self, seed: int) -> Array:
        """Begins an episode as the task draws it."""
        self._x = np.random.default_rng(seed).uniform(-STARTS, STARTS)
        return self._x.copy()

    def place(self, x: Array) -> None:
        """Begins an episode at x."""
        self._x = np.array(x)

    def step(self, u: Array) -> Step:
        """20 steps of RK4."""
        force, h = float(np.clip(u[0], -FORCE, FORCE)), DT / SUBSTEPS
        for _ in range(SUBSTEPS):
            first = rates(self._x, force)
            second = rates(self._x + h / 2 * first, force)
            third = rates(self._x + h / 2 * second, force)
            last = rates(self._x + h * third, force)
            self._x = self._x + h / 6 * (first + 2 * second + 2 * third + last)
        reward = np.exp(-(WEIGHTS @ self._x**2 + EFFORT * force**2))
        outside = bool((np.abs(self._x[2:]).round(DECIMALS) > BOUND).any())
        return Step(self._x.copy(), float(reward), violations=int(outside))


def _system() -> System:
    """The problem: the shipped cart-pole's equations with the task's weights and bounds."""
    bound = np.array([np.inf, np.inf, BOUND - MARGIN, BOUND - MARGIN])
    return replace(
        cartpole,
        name='safe_cartpole',
        dt=DT,
        horizon=100,
        substeps=1,
        Q=WEIGHTS,
        Q_f=None,  # type: ignore[arg-type]
        R=np.array([EFFORT]),
        x_min=-bound,
        x_max=bound,
        x0_box=np.maximum(STARTS, 0.01),
        goal_box=np.zeros(4),
    )


SAFE_CONTROL: dict[str, Callable[[], Environment]] = {
    'safe-control-gym cartpole, bounded': ConstrainedCartPole,
}
