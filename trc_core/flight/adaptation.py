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
from trc_core.compile.plant import with_parameters
from trc_core.flight.adaptation_kernels import learn
from trc_core.numerics.cost import difference
from trc_core.numerics.rollout import hold_sequence, hold_sequence_slopes
from trc_core.problem.system import Array, System

OUTLIER = 5.0  # standard deviations: a disturbance or a broken sensor, not a parameter
ADOPTED, DROPPED = 2.0, 1.25  # mean squares of the model's errors over those of the estimate's
WINDOW = 20  # dt of the plan that the errors are averaged over


@dataclass(frozen=True, eq=False)
class Estimate:
    """Estimate of a plant's parameters, as logarithms of their ratio to the model's."""

    log_ratio: Array
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
            dynamics read and that are not zero.
        noise: standard deviation of every measured coordinate (n_x,); by default a thousandth of
            the box of initial states. Measurements that it makes implausible are ignored.
        uncertainty: standard deviation of a parameter's ratio to the model's before any motion.
        drift: standard deviation that is added to it in a second.
        limit: no parameter is estimated at more than 1 + limit times the model's, or at less
            than that part of it.

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
        read = system.graph.entries_read('p')
        learned = [place in read and value != 0.0 for place, value in enumerate(system.p)]
        self.names = tuple(np.array(list(system.parameters))[learned].tolist())
        """The parameters that are learned."""
        if not self.names:
            raise ValueError(
                f"nothing to learn: system '{system.name}' has the parameters "
                f'{dict(system.parameters)}; give it one that its dynamics read, not zero'
            )
        sigma = 1e-3 * _widths(system) if noise is None else np.asarray(noise, dtype=np.float64)
        if sigma.shape != (system.n_x,) or not (sigma > 0).all():
            raise ValueError(f'noise is {sigma.tolist()}; give {system.n_x} positive numbers')
        for name, value in (('uncertainty', uncertainty), ('limit', limit)):
            if not value > 0:
                raise ValueError(f'{name} is {value}; choose a positive number')
        if not drift >= 0:
            raise ValueError(f'drift is {drift}; choose 0 or more')
        self._variances = sigma**2
        self._prior = uncertainty**2 * np.diag(np.array(learned, dtype=np.float64))
        self._drift = drift**2 * np.diag(np.array(learned, dtype=np.float64))
        self._limit = math.log1p(limit)
        self._hold, self._hold_slopes = compiled(hold_sequence), compiled(hold_sequence_slopes)
        self._learn = compiled(learn)

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
            estimate: of their ratios to the model's.
            model: the parameters (n_p,) of the model; those of the system by default.
        """
        model = self._system.p if model is None else model
        return self._estimated(estimate, model) if estimate.is_adopted else model

    def _estimated(self, estimate: Estimate, model: Array) -> Array:
        return np.asarray(model * np.exp(estimate.log_ratio))

    def update(
        self,
        estimate: Estimate,
        x: Array,
        controls: Array,
        seconds: Array,
        x_next: Array,
        model: Array | None = None,
    ) -> Estimate:
        """The estimate after a motion; unchanged where the motion is an outlier.

        Args:
            estimate: the one before.
            x: measured state (n_x,) before the motion.
            controls: obeyed by the plant meanwhile (N, n_u), in turn.
            seconds: duration of each (N,).
            x_next: measured state (n_x,) after it.
            model: the parameters (n_p,) of the model meanwhile; those of the system by default.
        """
        # What the estimate and the model say of the motion.
        model, duration = self._system.p if model is None else model, sum(seconds.tolist())
        expected, by_x, by_p = self._predicted(
            self._estimated(estimate, model), x, controls, seconds
        )
        innovation = difference(self._system, x_next, expected)
        plant = plant_of(self._system)
        if model is not self._system.p:
            plant = with_parameters(plant, model)
        self._hold(plant.dynamics, x, controls, seconds, expected)
        models = difference(self._system, x_next, expected)
        # Which of them is to be flown with, and what the motion teaches; outliers are left out.
        mean, covariance = estimate.log_ratio.copy(), estimate.covariance + self._drift * duration
        variances = self._variances
        if not self._learn(innovation, by_x, by_p, variances, OUTLIER, mean, covariance):
            return estimate
        estimate = self._judged(estimate, innovation, models, duration)
        log_ratio = np.minimum(np.maximum(mean, -self._limit), self._limit)
        return replace(estimate, log_ratio=log_ratio, covariance=covariance)

    def _predicted(
        self, p: Array, x: Array, controls: Array, seconds: Array
    ) -> tuple[Array, Array, Array]:
        """The state (n_x,) after a motion, and its slopes by x (n_x, n_x) and log p (n_x, n_p)."""
        n_x = len(x)
        expected, by_x, by_p = np.empty(n_x), np.empty((n_x, n_x)), np.empty((n_x, len(p)))
        plant = with_parameters(plant_of(self._system), p)
        self._hold_slopes(plant, x, controls, seconds, expected, by_x, by_p)
        return expected, by_x, by_p

    def _judged(self, estimate: Estimate, own: Array, models: Array, seconds: float) -> Estimate:
        """The estimate with what its prediction error and the model's say about its worth."""
        share = -math.expm1(-seconds / (WINDOW * self._system.dt))
        error, model_error = (
            before + share * (float(off @ (off / self._variances)) / len(off) - before)
            for before, off in ((estimate.error, own), (estimate.model_error, models))
        )
        needed = DROPPED if estimate.is_adopted else ADOPTED
        at_limit = max(map(abs, estimate.log_ratio.tolist())) >= self._limit
        is_adopted = model_error > needed * error and not at_limit
        return replace(estimate, error=error, model_error=model_error, is_adopted=is_adopted)


def _widths(system: System) -> Array:
    """The half widths of the box of initial states (n_x,), of the goals where there is none."""
    return np.where(
        system.x0_box > 0.0, system.x0_box, np.where(system.reach > 0, system.reach, 1)
    )
