"""Parameter estimation in flight, from how the plant answers its commands.

A model that is a few percent wrong loses a plant that is steered along its limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import with_parameters
from trc_core.numerics.cost import difference
from trc_core.numerics.rollout import hold_sequence_slopes
from trc_core.problem.system import Array, System

OUTLIER = 5.0  # standard deviations: a disturbance or a broken sensor, not a parameter


@dataclass(frozen=True, eq=False)
class Estimate:
    """Estimate of a plant's parameters, as logarithms of their ratio to the model's."""

    log_ratio: Array
    """Mean (n_p,)."""
    covariance: Array
    """Its covariance (n_p, n_p)."""


class ParameterEstimator:
    """An extended Kalman filter for physical parameters that change slowly.

    If several parameters have the same effect (a mass, and the force that moves it), the
    correction is shared among them. Source: Anderson and Moore, Optimal Filtering (1979),
    section 8.2.

    Args:
        system: the plant as it is modelled.
        noise: standard deviation of every measured coordinate (n_x,); by default a thousandth of
            the box of initial states. Measurements that it makes implausible are ignored.
        uncertainty: standard deviation of a parameter's ratio to the model's before any motion.
        drift: standard deviation that is added to it in a second.
        limit: no parameter is estimated at more than 1 + limit times the model's, or at less
            than that part of it.

    Raises:
        ValueError: if the system has no parameters, one of them is zero, or a number is out of
            range.
    """

    def __init__(
        self,
        system: System,
        noise: ArrayLike | None = None,
        uncertainty: float = 0.1,
        drift: float = 0.01,
        limit: float = 0.5,
    ) -> None:
        self._system, self._model = system, system.p
        if not self._model.size or not self._model.all():
            raise ValueError(
                f"nothing to learn: system '{system.name}' has the parameters "
                f'{dict(system.parameters)}; give it some, none of them zero'
            )
        sigma = 1e-3 * system.x0_box if noise is None else np.asarray(noise, dtype=np.float64)
        if sigma.shape != (system.n_x,) or not (sigma > 0).all():
            raise ValueError(f'noise is {sigma.tolist()}; give {system.n_x} positive numbers')
        for name, value in (('uncertainty', uncertainty), ('limit', limit)):
            if not value > 0:
                raise ValueError(f'{name} is {value}; choose a positive number')
        if not drift >= 0:
            raise ValueError(f'drift is {drift}; choose 0 or more')
        self._noise = np.diag(sigma**2)
        self._uncertainty, self._drift, self._limit = uncertainty, drift, math.log1p(limit)

    def warm_up(self) -> None:
        """Compiles the kernel."""
        x, u = np.zeros(self._system.n_x), self._system.u_trim[None]
        self.update(self.prior(), x, u, np.array([self._system.dt]), x)

    def prior(self) -> Estimate:
        """The estimate before any motion: the model."""
        n_p = len(self._model)
        return Estimate(np.zeros(n_p), self._uncertainty**2 * np.eye(n_p))

    def parameters(self, estimate: Estimate) -> Array:
        """The estimated parameters (n_p,), as `Controller.plan` takes them."""
        return self._model * np.exp(estimate.log_ratio)

    def update(
        self, estimate: Estimate, x: Array, controls: Array, seconds: Array, x_next: Array
    ) -> Estimate:
        """The estimate after a motion; unchanged where the motion is an outlier.

        Args:
            estimate: the one before.
            x: measured state (n_x,) before the motion.
            controls: obeyed by the plant meanwhile (N, n_u), in turn.
            seconds: duration of each (N,).
            x_next: measured state (n_x,) after it.
        """
        n_x, n_p = len(x), len(self._model)
        expected, by_x, by_p = np.empty(n_x), np.empty((n_x, n_x)), np.empty((n_x, n_p))
        p = self.parameters(estimate)
        plant = with_parameters(plant_of(self._system), p)
        kernel = compiled(hold_sequence_slopes)
        kernel(plant, x, controls, seconds, expected, by_x, by_p)
        P = estimate.covariance + self._drift**2 * float(seconds.sum()) * np.eye(n_p)
        noise = self._noise + by_x @ self._noise @ by_x.T
        S, innovation = by_p @ P @ by_p.T + noise, difference(self._system, x_next, expected)
        if not (np.isfinite(S).all() and np.isfinite(innovation).all()):
            return estimate
        if innovation @ np.linalg.solve(S, innovation) > n_x * OUTLIER**2:
            return estimate
        gain = np.linalg.solve(S, by_p @ P).T
        rest = np.eye(n_p) - gain @ by_p
        log_ratio = np.clip(estimate.log_ratio + gain @ innovation, -self._limit, self._limit)
        return Estimate(log_ratio, rest @ P @ rest.T + gain @ noise @ gain.T)
