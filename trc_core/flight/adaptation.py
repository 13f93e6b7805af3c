"""Parameter estimation in flight, from how the plant answers its commands.

A model that is a few percent wrong loses a plant that is steered along its limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import with_parameters
from trc_core.flight.learnable import Learnable
from trc_core.numerics.cost import difference
from trc_core.numerics.rollout import hold_sequence, hold_sequence_slopes
from trc_core.problem.system import Array, System

OUTLIER = 5.0  # standard deviations: a disturbance or a broken sensor, not a parameter
ADOPTED, DROPPED = 2.0, 1.25  # mean squares of the model's errors over those of the estimate's
PERSISTENT = 5  # dt of the plan, after which outliers are what the plant does
MOST_LINEARISED = 10  # times in a motion
WINDOW = 20  # dt of the plan that the errors are averaged over


@dataclass(frozen=True, eq=False)
class Estimate:
    """Estimate of a plant's parameters, as deviations from the model's (see `Learnable`)."""

    deviation: Array
    """Mean (n_p,)."""
    covariance: Array
    """Its covariance (n_p, n_p)."""
    model_error: float = 0.0
    """Recent mean of the squared error by which the model predicts the motion, in units of the
    noise."""
    error: float = 0.0
    """The same of the estimate."""
    is_adopted: bool = False
    """Whether plans are made with the estimate, as it has predicted the motion clearly better than
    the model."""
    ignored: float = 0.0
    """Time [s] since the last motion that was no outlier."""


class Motion(NamedTuple):
    """A motion between two measurements."""

    x: Array
    """Before it (n_x,)."""
    controls: Array
    """Obeyed meanwhile (N, n_u), in turn."""
    seconds: Array
    """Duration of each (N,)."""
    x_next: Array
    """After it (n_x,)."""
    model: Array
    """Parameters (n_p,) of the model meanwhile."""


class Linearised(NamedTuple):
    """A prediction and its slopes."""

    innovation: Array
    """What was measured, seen from the prediction (n_x,)."""
    by_p: Array
    """Slopes of the prediction by the deviations (n_x, n_p)."""
    noise: Array
    """Covariance (n_x, n_x) of the innovation where the parameters are right."""

    @property
    def is_finite(self) -> bool:
        """Whether all of it are numbers."""
        return all(np.isfinite(part).all() for part in self)

    def distance(self, P: Array) -> float:
        """The square of the innovation, in standard deviations; P is that of the deviations."""
        S = self.by_p @ P @ self.by_p.T + self.noise
        return float(self.innovation @ np.linalg.solve(S, self.innovation))

    def gain(self, P: Array) -> Array:
        """Kalman's gain (n_p, n_x)."""
        S = self.by_p @ P @ self.by_p.T + self.noise
        return np.linalg.solve(S, self.by_p @ P).T


class ParameterEstimator:
    """An extended Kalman filter for physical parameters that change slowly.

    If several parameters have the same effect (a mass, and the force that moves it), the
    correction is shared among them. Source: Anderson and Moore, Optimal Filtering (1979),
    section 8.2.

    Noise, delays and friction that the model does not have can mislead such a filter. Plans are
    therefore made with the model's own parameters until the estimate has predicted the motion
    with half of the model's mean squared error, and again once it predicts it with more than
    four fifths. An estimate at its limit explains nothing: a plant that a brake holds does not
    have weak motors.

    Args:
        system: the plant as it is modelled. What is learned are those of its parameters that its
            dynamics read, as far as they can be (`learnable.py`).
        noise: standard deviation of every measured coordinate (n_x,); by default a thousandth of
            the box of initial states. Measurements that it makes implausible are ignored.
        uncertainty: standard deviation of a parameter's ratio to the model's before any motion.
        drift: standard deviation that is added to it in a second; also as a share of a range.
        limit: no parameter is estimated at more than 1 + limit times the model's, or at less
            than that part of it; those that may be zero (a payload) keep to their range.

    Raises:
        ValueError: if there is nothing to learn, or a number is out of range.
    """

    def __init__(
        self,
        system: System,
        noise: ArrayLike | None = None,
        uncertainty: float = 0.1,
        drift: float = 0.01,
        limit: float = 1.0,
    ) -> None:
        self._system = system
        for name, value in (('uncertainty', uncertainty), ('limit', limit)):
            if not value > 0:
                raise ValueError(f'{name} is {value}; choose a positive number')
        if not drift >= 0:
            raise ValueError(f'drift is {drift}; choose 0 or more')
        self._learnable = learnable = Learnable.of(system, uncertainty, limit)
        self.names = tuple(np.array(list(system.parameters))[learnable.is_learned].tolist())
        """The parameters that are learned."""
        if not self.names:
            raise ValueError(
                f"nothing to learn: system '{system.name}' has the parameters "
                f'{dict(system.parameters)}; give it one that its dynamics read'
            )
        sigma = 1e-3 * _widths(system) if noise is None else np.asarray(noise, dtype=np.float64)
        if sigma.shape != (system.n_x,) or not (sigma > 0).all():
            raise ValueError(f'noise is {sigma.tolist()}; give {system.n_x} positive numbers')
        self._sigma = sigma
        self._prior = np.diag(learnable.variance)
        self._drift = drift**2 * np.diag(learnable.is_learned.astype(np.float64))
        self._hold, self._hold_slopes = compiled(hold_sequence), compiled(hold_sequence_slopes)

    def warm_up(self) -> None:
        """Compiles the kernels."""
        x, u = np.zeros(self._system.n_x), self._system.u_trim[None]
        self.update(self.prior(), x, u, np.array([self._system.dt]), x)

    def prior(self) -> Estimate:
        """The estimate before any motion: the model."""
        return Estimate(np.zeros(len(self._prior)), self._prior)

    def parameters(self, estimate: Estimate, model: Array | None = None) -> Array:
        """The parameters (n_p,) to plan with, as `Controller.plan` takes them.

        They are the estimated ones where the estimate is adopted, else the model's.

        Args:
            estimate: of their deviations from the model's.
            model: the parameters (n_p,) of the model; those of the system by default.
        """
        model = self._system.p if model is None else model
        if not estimate.is_adopted:
            return model
        return self._learnable.values(estimate.deviation, model)

    def update(
        self,
        estimate: Estimate,
        x: Array,
        controls: Array,
        seconds: Array,
        x_next: Array,
        model: Array | None = None,
    ) -> Estimate:
        """The estimate after a motion; where that is an outlier, the same one.

        Args:
            estimate: the one before.
            x: measured state (n_x,) before the motion.
            controls: obeyed by the plant meanwhile (N, n_u), in turn.
            seconds: duration of each (N,).
            x_next: measured state (n_x,) after it.
            model: the parameters (n_p,) of the model meanwhile; those of the system by default.
        """
        # What the estimate and the model say of the motion.
        model, duration = self._system.p if model is None else model, float(seconds.sum())
        motion = Motion(x, controls, seconds, x_next, model)
        here = self._linearised(estimate.deviation, motion)
        P = estimate.covariance + self._drift * duration
        if not here.is_finite:
            return estimate
        # Outliers are left out, unless nothing else comes: then the plant is another one.
        if here.distance(P) > len(x) * OUTLIER**2:
            if estimate.ignored < PERSISTENT * self._system.dt:
                return replace(estimate, ignored=estimate.ignored + duration)
            P = self._prior
        # Which of them is to be flown with, and what the motion teaches.
        limits = self._learnable.limits(model)
        estimate = self._judged(estimate, here.innovation, motion, limits)
        deviation, covariance = self._corrected(estimate.deviation, P, here, motion, limits)
        return replace(estimate, deviation=deviation, covariance=covariance, ignored=0.0)

    def _corrected(
        self,
        before: Array,
        P: Array,
        here: Linearised,
        motion: Motion,
        limits: tuple[Array, Array],
    ) -> tuple[Array, Array]:
        """The deviations (n_p,) behind a motion, and their covariance (n_p, n_p).

        Where the slopes change on the way (a payload on a light wrist), they are found again at
        the new deviations: an iterated extended Kalman filter. Source: Bell and Cathey, IEEE
        Transactions on Automatic Control 38 (1993).
        """
        deviation = before
        for _ in range(MOST_LINEARISED):
            gain = here.gain(P)
            new = before + gain @ (here.innovation - here.by_p @ (before - deviation))
            new = np.clip(new, *limits)
            moved, deviation = here.by_p @ (new - deviation), new
            if self._is_noise(moved):
                break
            after = self._linearised(deviation, motion)
            if not after.is_finite:
                return before, P
            if self._is_noise(here.innovation - moved - after.innovation):
                break
            here = after
        rest = np.eye(len(P)) - gain @ here.by_p
        return deviation, rest @ P @ rest.T + gain @ here.noise @ gain.T

    def _is_noise(self, x: Array) -> bool:
        """Whether a difference of states (n_x,) is less than measurements can tell."""
        return bool(np.mean((x / self._sigma) ** 2) < 1.0)

    def _linearised(self, deviation: Array, motion: Motion) -> Linearised:
        """The motion as deviations (n_p,) predict it."""
        n_x, p = len(motion.x), self._learnable.values(deviation, motion.model)
        expected, by_x, by_p = np.empty(n_x), np.empty((n_x, n_x)), np.empty((n_x, len(p)))
        plant = with_parameters(plant_of(self._system), p)
        self._hold_slopes(plant, *motion[:3], self._learnable.scales(p), expected, by_x, by_p)
        noise = np.diag(self._sigma**2) + (by_x * self._sigma**2) @ by_x.T
        return Linearised(difference(self._system, motion.x_next, expected), by_p, noise)

    def _innovation(self, p: Array, motion: Motion) -> Array:
        """Where a motion ended (n_x,), seen from where parameters p (n_p,) would have it end."""
        expected = np.empty(len(motion.x))
        plant = with_parameters(plant_of(self._system), p)
        self._hold(plant.dynamics, *motion[:3], expected)
        return difference(self._system, motion.x_next, expected)

    def _judged(
        self,
        estimate: Estimate,
        own: Array,
        motion: Motion,
        limits: tuple[Array, Array],
    ) -> Estimate:
        """The estimate with what its prediction error and the model's say about its worth."""
        models = self._innovation(motion.model, motion)
        share = -math.expm1(-float(motion.seconds.sum()) / (WINDOW * self._system.dt))
        error, model_error = (
            before + share * (float(np.mean((off / self._sigma) ** 2)) - before)
            for before, off in ((estimate.error, own), (estimate.model_error, models))
        )
        needed = DROPPED if estimate.is_adopted else ADOPTED
        found = estimate.deviation
        at_limit = (found != 0.0) & ((found <= limits[0]) | (found >= limits[1]))
        is_adopted = bool(model_error > needed * error and not at_limit.any())
        return replace(estimate, error=error, model_error=model_error, is_adopted=is_adopted)


def _widths(system: System) -> Array:
    """The half widths of the box of initial states (n_x,), of the goals where there is none."""
    return np.where(
        system.x0_box > 0.0, system.x0_box, np.where(system.reach > 0, system.reach, 1)
    )
