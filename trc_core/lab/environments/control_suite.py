"""Cart-pole and acrobot of the DeepMind Control Suite (package `dm_control`).

Source: Tassa et al., DeepMind Control Suite (arXiv:1801.00690). The models are read from the
suite's own XML, which stays in its package.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from trc_core.lab.environments.environment import Environment, Step
from trc_core.problem.system import Array, System

SECONDS = 10.0  # of an episode
STEP = 0.01  # [s] of the suite's control and physics, for both domains
TENTH = np.log(10.0)  # a Gaussian tolerance of the suite falls to 0.1 at its margin


class ControlSuite(Environment):
    """A task of the suite; rewards are its own, at most 1 for each of its 1000 steps.

    Args:
        domain: like 'cartpole'.
        task: like 'swingup'.
        system: of the domain's model.
    """

    def __init__(self, domain: str, task: str, system: System) -> None:
        super().__init__(system, round(SECONDS / system.dt))
        self._domain, self._task = domain, task
        self._hold = round(system.dt / STEP)
        self._begin(0)

    def _begin(self, seed: int) -> None:
        suite = import_module('dm_control.suite')
        self._environment = suite.load(self._domain, self._task, {'random': seed})
        self._physics: Any = self._environment.physics
        self._gear = float(self._physics.model.actuator_gear[0, 0])
        self._environment.reset()

    def reset(self, seed: int) -> Array:
        """Begins an episode as the suite draws it."""
        self._begin(seed)
        return self._state()

    def place(self, x: Array) -> None:
        """Begins an episode at x."""
        self._environment.reset()
        n = len(x) // 2
        with self._physics.reset_context():
            self._physics.data.qpos[:], self._physics.data.qvel[:] = x[:n], x[n:]

    def step(self, u: Array) -> Step:
        """The suite's steps with its action, a share of the largest force."""
        reward = 0.0
        for _ in range(self._hold):
            reward += self._environment.step(u / self._gear).reward
        return Step(self._state(), reward)

    def _state(self) -> Array:
        return np.concatenate([self._physics.data.qpos, self._physics.data.qvel])


def read(domain: str, **words: Any) -> System:
    """The problem of a domain from its XML, by `System.from_mjcf`.

    Raises:
        ModuleNotFoundError: if dm_control is not installed.
    """
    text, assets = import_module(f'dm_control.suite.{domain}').get_model_and_assets()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for place, contents in {'model.xml': text, **assets}.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        return System.from_mjcf(folder / 'model.xml', **words)


def cart_pole() -> ControlSuite:
    """The swing-up: what the reward loses, to second order in each of its four factors.

    The factors are (1 + cos) / 2 of the angle, and tolerances of the position (margin 2 m), of
    the speed of the pole (5 rad/s) and of the force (all of its range).
    """
    system = read(
        'cartpole',
        dt=0.02,
        horizon=100,
        substeps=2,
        Q=[TENTH / 2 / 2.0**2, 0.25, 0.0, TENTH / 2 / 5.0**2],
        R=[0.2 / 10.0**2],
    )
    return ControlSuite('cartpole', 'swingup', system)


def acrobot() -> ControlSuite:
    """The swing-up of the tip, 2 m above the shoulder, whose reward counts within 1.2 m of it.

    The torque lifts the links by swings only, in which the energy tells what the way to the
    target does not: it is wanted as it is upright.
    """
    system = read(
        'acrobot',
        dt=0.04,
        horizon=50,
        substeps=4,
        residuals=lambda x: {**_from_target(x), 'energy': 0.3 * _energy_below_top(x)},
        terminal_residuals=_at_the_end,
        Q=[0.0, 0.0, 1e-3, 1e-3],
        Q_f=[0.0, 0.0, 1e-2, 1e-2],
        R=[1e-3],
    )
    return ControlSuite('acrobot', 'swingup', system)


def _from_target(x: Array) -> dict[str, Any]:
    """The way from the tip to the target [m]; the links are 1 m long, angles 0 upright."""
    return {
        'aside': np.sin(x[0]) + np.sin(x[0] + x[1]),
        'below': 2.0 - np.cos(x[0]) - np.cos(x[0] + x[1]),
    }


def _at_the_end(x: Array) -> dict[str, Any]:
    way = {name: 3.0 * value for name, value in _from_target(x).items()}
    return {**way, 'energy': _energy_below_top(x)}


def _energy_below_top(x: Array) -> Any:
    """The energy [J] of two thin rods of 1 kg and 1 m, less that at rest upright."""
    g, centre, inertia = 9.81, 0.5, 1.0 / 12.0
    bend = np.cos(x[1])
    lower = inertia + centre**2
    cross = lower + centre * bend
    upper = lower + inertia + 1.0 + centre**2 + 2.0 * centre * bend
    motion = 0.5 * (upper * x[2] ** 2 + lower * x[3] ** 2) + cross * x[2] * x[3]
    height = 1.5 * np.cos(x[0]) + centre * np.cos(x[0] + x[1])
    return motion + g * (height - 2.0)


CONTROL_SUITE: dict[str, Callable[[], Environment]] = {
    'dm_control cartpole swingup': cart_pole,
    'dm_control acrobot swingup': acrobot,
}
