"""Pendulum-v1 and InvertedDoublePendulum-v5 of Gymnasium (packages `gymnasium` and `mujoco`)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from trc_core.lab.environments.environment import Environment, Step
from trc_core.problem.system import Array, System


class GymnasiumTask(Environment):
    """An environment of Gymnasium with its own reward and time limit.

    Args:
        environment: what `gymnasium.make` gives.
        system: one of its steps is a dt.
        gear: force of a unit of the action.
    """

    def __init__(self, environment: Any, system: System, gear: float = 1.0) -> None:
        super().__init__(system, environment.spec.max_episode_steps)
        self._environment, self._gear = environment, gear

    def reset(self, seed: int) -> Array:
        """Begins an episode as the environment draws it."""
        self._environment.reset(seed=seed)
        return self._state()

    def place(self, x: Array) -> None:
        """Begins an episode at x."""
        self._environment.reset(seed=0)
        inside, n = self._environment.unwrapped, len(x) // 2
        if hasattr(inside, 'data'):
            inside.set_state(x[:n], x[n:])
        else:
            inside.state = np.array(x)

    def step(self, u: Array) -> Step:
        """One step of the environment."""
        _, reward, over, _, _ = self._environment.step(u / self._gear)
        return Step(self._state(), float(reward), bool(over))

    def _state(self) -> Array:
        inside = self._environment.unwrapped
        if hasattr(inside, 'data'):
            return np.concatenate([inside.data.qpos, inside.data.qvel])
        return np.array(inside.state, dtype=np.float64)


def pendulum() -> GymnasiumTask:
    """Pendulum-v1: its equations, which take Euler's step, and exactly its cost."""
    environment = import_module('gymnasium').make('Pendulum-v1')
    inside = environment.unwrapped

    def step(x, u, gravity, mass, length, limit, time_step):  # type: ignore[no-untyped-def]
        push = 1.5 * gravity / length * np.sin(x[0]) + 3.0 / (mass * length**2) * u[0]
        rate = np.minimum(np.maximum(x[1] + time_step * push, -limit), limit)
        return [x[0] + time_step * rate, rate]

    system = System(
        name='gymnasium_pendulum',
        dynamics=step,
        discrete=True,
        parameters={
            'gravity': inside.g,
            'mass': inside.m,
            'length': inside.l,
            'limit': inside.max_speed,
            'time_step': inside.dt,
        },
        state_names=('angle', 'rate'),
        state_units=('rad', 'rad/s'),
        control_names=('torque',),
        control_units=('N m',),
        joints=(),
        angles=('angle',),
        dt=inside.dt,
        horizon=60,
        u_min=np.array([-inside.max_torque]),
        u_max=np.array([inside.max_torque]),
        Q=np.array([1.0, 0.1]),
        R=np.array([0.001]),
        x0_box=np.array([np.pi, 1.0]),
        goal_box=np.array([0.0, 0.0]),
    )
    return GymnasiumTask(environment, system)


def double_pendulum() -> GymnasiumTask:
    """InvertedDoublePendulum-v5: what its reward loses, with the tip to second order.

    The reward of a step is 10 - 0.01 x^2 - (y - 2)^2 - 0.001 v_1^2 - 0.005 v_2^2 for a tip at
    (x, y); upright it is at y = 1.2, so that it loses 1.6 (1.2 - y) more beside it.
    """
    environment = import_module('gymnasium').make('InvertedDoublePendulum-v5')
    inside = environment.unwrapped
    link = 0.6  # [m]
    fall = np.sqrt(1.6 * 2.0 * link)  # 1 - cos a = 2 sin(a / 2)^2

    def residuals(x: Array) -> dict[str, Any]:
        tip = x[0] + link * (np.sin(x[1]) + np.sin(x[1] + x[2]))
        halves = np.sin(x[1] / 2), np.sin((x[1] + x[2]) / 2)
        return {'tip': 0.1 * tip, 'lower': fall * halves[0], 'upper': fall * halves[1]}

    system = System.from_mjcf(
        inside.fullpath,
        dt=inside.dt,
        horizon=40,
        substeps=inside.frame_skip,
        contacts='ignore',
        x_min=None,  # the cart never comes near the ends of its rail
        x_max=None,
        residuals=residuals,
        Q=[0.0, 0.0, 0.0, 0.0, 1e-3, 5e-3],
        R=[1e-8],
    )
    return GymnasiumTask(environment, system, float(inside.model.actuator_gear[0, 0]))


GYMNASIUM: dict[str, Callable[[], Environment]] = {
    'Gymnasium Pendulum-v1': pendulum,
    'Gymnasium InvertedDoublePendulum-v5': double_pendulum,
}
