"""The motion of a robot, its holding torques, and functions of the task that know its tip."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trc_core.problem import rigid_body
from trc_core.problem.rigid_body import Point
from trc_core.problem.robot import RobotModel, valid_names

PAYLOAD = 'payload'
FULL_FRICTION = 0.05  # of the speed limit, over which tanh smooths friction


class RobotDynamics:
    """The motion of a robot: the joints' speeds, and their accelerations with closed slopes.

    Args:
        model: the robot, whose joints have armature, damping and friction.
        payload: whether a parameter `payload` is a point mass at the tip [kg].
        adjustable: which of armature, damping and friction are parameters, `<word>_<joint>`.
    """

    def __init__(self, model: RobotModel, payload: bool, adjustable: tuple[str, ...]) -> None:
        self.model, self.payload, self.adjustable = model, payload, adjustable
        self.names = valid_names(joint.name for joint in model.joints)

    def __call__(self, x: Sequence[Any], u: Sequence[Any], **parameters: Any) -> list[Any]:
        """The time derivative (2 n,) of x, in any algebra."""
        q, v = self._split(x)
        forces, _ = self._forces(q, v, u, parameters)
        armatures, points = self.numbers('armature', parameters), self.points(parameters)
        return [
            *v,
            *rigid_body.accelerations(self.model.tree, q, v, forces, armatures, points),
        ]

    def slopes(
        self, x: Sequence[Any], u: Sequence[Any], **parameters: Any
    ) -> tuple[list[Any], Any, Any]:
        """The time derivative (2 n,) with its exact slopes A (2 n, 2 n) and B (2 n, n_u)."""
        q, v = self._split(x)
        n = len(q)
        forces, by_speed = self._forces(q, v, u, parameters)
        armatures, points = self.numbers('armature', parameters), self.points(parameters)
        found = rigid_body.slopes(self.model.tree, q, v, forces, armatures, points)
        A, B = np.zeros((2 * n, 2 * n)).astype(object), np.zeros((2 * n, len(u))).astype(object)
        A[:n, n:] = np.eye(n)
        A[n:, :n] = found.by_q
        for i, joint in enumerate(self.model.joints):
            if joint.stiffness:
                A[n:, i] = A[n:, i] - found.by_force[:, i] * joint.stiffness
        A[n:, n:] = found.by_v + found.by_force * np.array(by_speed, dtype=object)
        B[n:] = found.by_force[:, list(self.model.driven)]
        return [*v, *found.accelerations], A, B

    def holding(self, goal: Sequence[Any], **parameters: Any) -> list[Any]:
        """The torques and forces (n_u,) that hold a goal against gravity and springs."""
        q, _ = self._split(goal)
        still = [0.0] * len(q)
        held = rigid_body.inverse_dynamics(
            self.model.tree, q, still, still, self.points(parameters)
        )
        springs = self._springs(q)
        return [held[i] - springs[i] for i in self.model.driven]

    def efforts(
        self, x: Sequence[Any], accelerations: Sequence[Any], **parameters: Any
    ) -> list[Any]:
        """The controls (n_u,) that accelerate driven joints by some of (n,) in state x (2 n,)."""
        q, v = self._split(x)
        moving = rigid_body.inverse_dynamics(
            self.model.tree, q, v, accelerations, self.points(parameters)
        )
        lost, _ = self._forces(q, v, [0.0] * len(self.model.driven), parameters)
        armatures = self.numbers('armature', parameters)
        return [moving[i] + armatures[i] * accelerations[i] - lost[i] for i in self.model.driven]

    def points(self, parameters: Mapping[str, Any]) -> list[Point]:
        """The payload as a point mass."""
        if not self.payload:
            return []
        tip = self.model.tip_point
        return [Point(tip.body, tip.offset, parameters[PAYLOAD])]

    def _split(self, x: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        n = len(self.model.joints)
        return list(x[:n]), list(x[n:])

    def _springs(self, q: Sequence[Any]) -> list[Any]:
        """The torques and forces (n,) of springs."""
        return [
            joint.stiffness * (joint.rest - q[i]) if joint.stiffness else 0.0
            for i, joint in enumerate(self.model.joints)
        ]

    def numbers(self, word: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Armature, damping or friction of every joint: a parameter, or a number."""
        if word in self.adjustable:
            return [parameters[f'{word}_{name}'] for name in self.names]
        return [float(getattr(joint, word)) for joint in self.model.joints]

    def _forces(
        self,
        q: Sequence[Any],
        v: Sequence[Any],
        u: Sequence[Any],
        parameters: Mapping[str, Any],
    ) -> tuple[list[Any], list[Any]]:
        """The forces of joints with friction and springs, and their slopes by the speeds."""
        forces, slopes = self._springs(q), []
        for place, i in enumerate(self.model.driven):
            forces[i] = forces[i] + u[place]
        damping, friction = (self.numbers(word, parameters) for word in ('damping', 'friction'))
        for i, joint in enumerate(self.model.joints):
            force, slope = forces[i] - damping[i] * v[i], -damping[i]
            if 'friction' in self.adjustable or joint.friction != 0.0:
                scale = FULL_FRICTION * joint.pace
                share = np.tanh(v[i] / scale)
                force = force - friction[i] * share
                slope = slope - friction[i] / scale * (1.0 - share * share)
            forces[i] = force
            slopes.append(slope)
        return forces, slopes


class Holding:
    """The trim of a robot: the torques and forces that hold a goal."""

    def __init__(self, dynamics: RobotDynamics) -> None:
        self.dynamics = dynamics

    def __call__(self, goal: Sequence[Any], **parameters: Any) -> list[Any]:
        """The controls (n_u,) at a goal state."""
        return self.dynamics.holding(goal, **parameters)


class WithTip:
    """A function of the task that takes the position of the tip by the name `tip`.

    Args:
        function: of some of tip, x, u, goal, time and the parameters.
        model: the robot.
    """

    def __init__(self, function: Callable[..., Any], model: RobotModel) -> None:
        self.function, self.model = function, model
        taken = inspect.signature(function).parameters
        self._takes_x = 'x' in taken
        own = [parameter for name, parameter in taken.items() if name not in ('tip', 'x')]
        x = inspect.Parameter('x', inspect.Parameter.KEYWORD_ONLY)
        free = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own if p.kind != p.VAR_KEYWORD
        ]
        rest = [p for p in own if p.kind == p.VAR_KEYWORD]
        self.__signature__ = inspect.Signature([x, *free, *rest])

    def __getattr__(self, name: str) -> Any:
        if name in ('__code__', '__globals__'):  # where messages look for what it calls
            return getattr(self.function, name)
        raise AttributeError(name)

    def __call__(self, x: Any, **arguments: Any) -> Any:
        """What the function returns at a state."""
        if self._takes_x:
            arguments['x'] = x
        is_column = not isinstance(x, (list, np.ndarray))  # of CasADi
        tip = self._column(x) if is_column else self.model.tip_position(list(x))
        return self.function(tip=tip, **arguments)

    def _column(self, x: Any) -> Any:
        """The tip as a column of CasADi."""
        import casadi as ca

        algebra = {name: getattr(operator, name) for name in ('add', 'sub', 'mul', 'neg')}
        algebra |= {'sin': ca.sin, 'cos': ca.cos}
        entries = ca.vertsplit(x)[: len(self.model.joints)]
        return ca.vertcat(*self.model.tip_graph.evaluate(entries, algebra)['tip'])


def with_tip(function: Any, model: RobotModel) -> Any:
    """A function of the task; one that takes `tip` is given it."""
    try:
        taken = inspect.signature(function).parameters if callable(function) else {}
    except (TypeError, ValueError):
        return function
    return WithTip(function, model) if 'tip' in taken else function
