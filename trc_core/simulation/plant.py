"""A plant: physics, a state, and actuators that do not quite obey."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from trc_core.problem.system import Array, System
from trc_core.systems.shipped import Contact

TOLERANCE = 1e-6  # of an integration step, by which a duration may miss the grid
SLIP = 0.01  # of the speed scale: where dry friction is three quarters of its full size


class Physics(Protocol):
    """State in, state out."""

    def __call__(self, x: Array, u: Array, dt: float, /) -> Array:
        """The state (n_x,) after holding the force u (n_u,) for dt seconds."""


@dataclass(frozen=True)
class Imperfections:
    """Differences between a plant and its model.

    A command is clipped to the bounds, waits for `actuation_delay`, is multiplied by `input_gain`,
    turned by `misalignment`, lags behind by `motor_lag`, and has `bias`, `disturbance`, `friction`
    and `drag` added, which no bound holds.

    Raises:
        ValueError: if a delay, a deviation or a friction is negative.
    """

    parameter_error: float = 0.0
    """Share by which every physical parameter is larger than in the model."""
    input_gain: float = 1.0
    """Factor on every command."""
    actuation_delay: float = 0.0
    """Time from a command to its effect [s]; rounded to whole integration steps."""
    disturbance: float = 0.0
    """Standard deviation of a random force on every control, as a share of the control's range;
    drawn anew every dt of the system."""
    bias: float = 0.0
    """Constant force on every control, as a share of the control's range."""
    motor_lag: float = 0.0
    """Time constant with which the force follows [s]."""
    friction: float = 0.0
    """Dry friction at full slip on every joint that a control drives, as a share of the control's
    range."""
    misalignment: float = 0.0
    """Angle [rad] about an axis drawn at random, by which controls that are one vector (two or
    three with a norm) point elsewhere than they should."""
    drag: float = 0.0
    """Resistance that grows with the square of the speed, as a share of the control's range at
    the speed of one half-width of the training box."""

    def __post_init__(self) -> None:
        for name in (
            'misalignment',
            'actuation_delay',
            'disturbance',
            'motor_lag',
            'friction',
            'drag',
        ):
            if not getattr(self, name) >= 0:
                raise ValueError(f'{name} is {getattr(self, name)}; choose 0 or more')


class Plant:
    """A simulated plant with a state, delayed commands and disturbances.

    Args:
        physics: moves the state.
        system: bounds, trim control and sampling period.
        imperfections: the actuators and disturbances between a command and the physics;
            `parameter_error` is not applied here, the physics has it.
        integration_step: step of the physics [s].
        seed: decides the disturbance; the same seed and commands give the same bytes.
        contact: ends the flight, as the ground does.

    Raises:
        ValueError: if the integration step is not positive, or there is a misalignment and no
            control is part of a vector.
    """

    def __init__(
        self,
        physics: Physics,
        system: System,
        imperfections: Imperfections,
        integration_step: float,
        seed: int = 0,
        contact: Contact | None = None,
    ) -> None:
        if not integration_step > 0:
            raise ValueError(f'integration_step is {integration_step} s; choose a positive time')
        self.integration_step = integration_step
        self._physics = physics
        self._system = system
        self._imperfections = imperfections
        self._range = system.u_max - system.u_min
        self._rng = np.random.default_rng(seed)
        self._steps_per_draw = max(1, round(system.dt / integration_step))
        self._share = first_order_share(imperfections.motor_lag, integration_step)
        self._resistance = Resistance(system, imperfections.friction, imperfections.drag)
        self._turn = _turn(system, imperfections.misalignment, np.random.default_rng((seed, 1)))
        self._contact = contact
        self.reset(np.zeros(system.n_x))

    def reset(self, x: ArrayLike) -> Array:
        """Starts over from x (n_x,), under the trim control until a command has arrived.

        The disturbance goes on with the random numbers that follow.

        Raises:
            ValueError: if x has another shape.
        """
        self.x = _vector('the state', x, self._system.n_x)
        delay = round(self._imperfections.actuation_delay / self.integration_step)
        self._under_way = deque([self._system.u_trim] * delay)
        self._motor = self._imperfections.input_gain * self._system.u_trim
        self._steps = 0
        self.ended = ''
        """How the flight ended; empty while it goes on."""
        return self.x

    def step(self, u: ArrayLike, dt: float | None = None) -> Array:
        """The state (n_x,) after commanding u (n_u,) for dt seconds; the system's dt by default.

        Raises:
            ValueError: if u has another shape or is not finite, or if dt is not a whole number of
                integration steps.
        """
        dt = self._system.dt if dt is None else dt
        count = round(dt / self.integration_step)
        if count < 1 or abs(count * self.integration_step - dt) > TOLERANCE * dt:
            raise ValueError(f'dt is {dt} s; choose a multiple of {self.integration_step} s')
        command = _vector('the control', u, self._system.n_u)
        command = np.clip(command, self._system.u_min, self._system.u_max)
        for _ in range(0 if self.ended else count):
            self._under_way.append(command)
            asked = self._turn @ (self._imperfections.input_gain * self._under_way.popleft())
            self._motor = asked + (1 - self._share) * (self._motor - asked)
            force = self._motor + self._disturbance() - self._resistance(self.x)
            before, self.x = self.x, self._physics(self.x, force, self.integration_step)
            self._steps += 1
            if self._contact is not None and (end := self._contact(before, self.x)) is not None:
                self.x, self.ended = end
                break
        return self.x

    def _disturbance(self) -> Array:
        """The force of bias and disturbance (n_u,)."""
        if self._steps % self._steps_per_draw == 0:
            share = self._imperfections.bias + self._rng.normal(
                0.0, self._imperfections.disturbance, self._system.n_u
            )
            self._force = share * self._range
        return self._force


def rotation(axis: Array, angle: float) -> Array:
    """The matrix (3, 3) that turns about an axis (3,) of length 1; Rodrigues' formula."""
    x, y, z = axis
    K = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * K + (1.0 - np.cos(angle)) * K @ K


def _turn(system: System, angle: float, rng: np.random.Generator) -> Array:
    """The matrix (n_u, n_u) that turns every vector among the controls by an angle [rad].

    The axis of the rotation is drawn at random.
    """
    turn = np.eye(system.n_u)
    if not angle:
        return turn
    groups = [norm.controls for norm in system.norms if len(norm.controls) in (2, 3)]
    if not groups:
        raise ValueError(
            f"misalignment is {angle:g} rad, but no controls of '{system.name}' are a vector of "
            'two or three: leave it at 0'
        )
    for names in groups:
        axis = rng.normal(size=3) if len(names) == 3 else np.array([0.0, 0.0, 1.0])
        whole = rotation(-axis / np.linalg.norm(axis), angle)
        places = [system.control_names.index(name) for name in names]
        turn[np.ix_(places, places)] = whole[: len(names), : len(names)]
    return turn


def first_order_share(lag: Any, seconds: float) -> Any:
    """The share of a step that a force with this time constant [s] makes in a time; 1 for 0."""
    with np.errstate(divide='ignore'):
        return -np.expm1(-seconds / np.asarray(lag, dtype=np.float64))


class Resistance:
    """Friction and drag on the joints that a control drives, as a force on that control.

    Args:
        system: says which control drives which joint.
        friction: share of a control's range, at full slip.
        drag: share of a control's range, at the speed of one half-width of the box.

    Raises:
        ValueError: if there is friction or drag, and no control drives a joint.
    """

    def __init__(self, system: System, friction: Any, drag: Any) -> None:
        pairs = [(j.velocity, j.effort) for j in system.joints]
        driven = np.array([pair for pair in pairs if None not in pair], dtype=np.int64)
        self._none = not (np.any(friction) or np.any(drag))
        if not self._none and not len(driven):
            raise ValueError(
                f"no control of '{system.name}' drives a joint; leave friction and drag at 0"
            )
        self._velocity, self._effort = driven.reshape(-1, 2).T
        width = (system.x0_box + system.goal_box)[self._velocity]
        self._speed = np.where(width > 0, width, 1.0)
        self._range = system.u_max - system.u_min
        self._friction, self._drag = friction, drag

    def __call__(self, x: Array) -> Array:
        """The force (..., n_u) that state x (..., n_x) loses."""
        force = np.zeros((*x.shape[:-1], len(self._range)))
        if self._none:
            return force
        slip = x[..., self._velocity] / self._speed
        dry = np.tanh(slip / SLIP) * self._friction
        force[..., self._effort] = dry + slip * np.abs(slip) * self._drag
        return force * self._range


def in_error(system: System, share: float) -> System:
    """The system with every physical parameter larger by a share."""
    return system.with_parameters(
        **{name: value * (1 + share) for name, value in system.parameters.items()}
    )


def _vector(name: str, values: ArrayLike, size: int) -> Array:
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise ValueError(f'{name} is {vector.tolist()}; give {size} finite values')
    return vector
