"""Parameter estimation in flight, from how the plant answers its commands.

A model that is a few percent wrong loses a plant that is steered along its limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.flight.adaptation_kernels import Motion, correct, predict
from trc_core.flight.learnable import Learnable
from trc_core.problem.system import Array, System

OUTLIER = 5.0  # standard deviations: a disturbance or a broken sensor, not a parameter
ADOPTED, DROPPED = 2.0, 1.25  # mean squares of the model's errors over those of the estimate's
PERSISTENT = 5  # dt of the plan, after which outliers are what the plant does
CERTAIN = 0.04  # standard deviation below which plans of a free duration reckon with an estimate
CAUTION = 2.0  # standard deviations by which they assume less than was found,
MOST_CAUTION = 0.03  # and the most of it, for a heavy lander has little thrust to spare
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


class ParameterEstimator:
    """An iterated extended Kalman filter for physical parameters that change slowly.

    If several parameters have the same effect (a mass, and the force that moves it), the
    correction is shared among them. Source: Anderson and Moore, Optimal Filtering (1979),
    section 8.2.

    Noise, delays and friction that the model does not have can mislead such a filter. Plans are
    therefore made with the model's own parameters until the estimate has predicted the motion
    with half of the model's mean squared error, and again once it predicts it with more than
    four fifths. An estimate at its limit explains nothing: a plant that a brake holds does not
    have weak motors.

    Plans of a free duration sit on the limits of their controls, where a few per cent decide and
    nothing is left to correct with. They are made with an estimate as soon as it is certain to a
    few per cent, with less than it says by two standard deviations (at most 3 %), and never with
    stronger controls than the model's: what a model holds back is not given away.

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
        self._variances = sigma**2
        self._prior = np.diag(learnable.variance)
        self._drift = drift**2 * np.diag(learnable.is_learned.astype(np.float64))
        self._predict, self._correct = compiled(predict), compiled(correct)
        self._is_cautious = bool(learnable.weakening.any())

    def warm_up(self) -> None:
        """Compiles the kernels; both are called, as the motion may be an outlier for `update`."""
        system, prior = self._system, self.prior()
        x = np.zeros(system.n_x)
        motion = Motion(x, system.u_trim[None], np.array([system.dt]), x, system.p)
        known = plant_of(system), motion, self._learnable.widths, self._variances
        before, P = prior.deviation, prior.covariance
        said = self._predict(*known, before, P)
        self._correct(*known, *self._learnable.limits(system.p), said.linearised, before, P)

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
        deviation = estimate.deviation
        if self._is_cautious:
            spread = np.minimum(CAUTION * np.sqrt(np.diag(estimate.covariance)), MOST_CAUTION)
            deviation = self._learnable.cautious(deviation, spread, model)
        return self._learnable.values(deviation, model)

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
        # What the estimate and the model said of the motion.
        model, duration = self._system.p if model is None else model, sum(seconds.tolist())
        motion = Motion(x, controls, seconds, x_next, model)
        known = plant_of(self._system), motion, self._learnable.widths, self._variances
        before, P = estimate.deviation, estimate.covariance + self._drift * duration
        said = self._predict(*known, before, P)
        if not math.isfinite(said.distance) or not math.isfinite(said.model_error):
            return estimate
        # Outliers are left out, unless nothing else comes: then the plant is another one.
        if said.distance > len(x) * OUTLIER**2:
            if estimate.ignored < PERSISTENT * self._system.dt:
                return replace(estimate, ignored=estimate.ignored + duration)
            P = self._prior
        # What the motion teaches, and which of them is to be flown with.
        lower, upper = self._learnable.limits(model)
        deviation, covariance = self._correct(*known, lower, upper, said.linearised, before, P)
        share = -math.expm1(-duration / (WINDOW * self._system.dt))
        error = estimate.error + share * (said.error - estimate.error)
        model_error = estimate.model_error + share * (said.model_error - estimate.model_error)
        needed = DROPPED if estimate.is_adopted else ADOPTED
        explains = model_error > needed * error
        if self._is_cautious:
            explains = bool(np.all(np.diag(covariance) < CERTAIN**2))
        is_adopted = explains and not _is_at(before, lower, upper)
        return Estimate(deviation, covariance, model_error, error, is_adopted)


def _is_at(deviation: Array, lower: Array, upper: Array) -> bool:
    """Whether a deviation (n_p,) from the model is at its limit."""
    entries = zip(deviation.tolist(), lower.tolist(), upper.tolist(), strict=True)
    return any(value != 0.0 and not low < value < high for value, low, high in entries)


def _widths(system: System) -> Array:
    """The half widths of the box of initial states (n_x,), of the goals where there is none."""
    return np.where(
        system.x0_box > 0.0, system.x0_box, np.where(system.reach > 0, system.reach, 1)
    )
