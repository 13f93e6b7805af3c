"""Model predictive path integral control: plans from weighted random samples.

Source: Williams, Drews, Goldfain, Rehg, Theodorou, Information-theoretic model predictive control
(IEEE T-RO 2018), with samples whose noise is smooth and shrinks from iteration to iteration.
"""

from __future__ import annotations

import numpy as np

from trc_core.problem.system import Array
from trc_core.solvers.plans import Plans, rolled_out
from trc_core.solvers.problem import Problem

SPREAD, SHRINK = 0.25, 0.7  # of the noise in ranges of the controls, and its factor per iteration
KNOTS = 10  # of a sample, between which its noise is straight
TEMPERATURE = 0.1  # in deviations of the merit among the better half


def mppi(
    problem: Problem, controls: Array, samples: int, iterations: int, rng: np.random.Generator
) -> Plans:
    """Two starts: the weighted mean of samples in the end, and the best of them.

    Args:
        problem: what is planned.
        controls: (T, n_u) in the beginning.
        samples: of an iteration.
        iterations: how many.
        rng: draws the noise.
    """
    system, (T, n_u) = problem.system, controls.shape
    places, steps = np.linspace(0, T - 1, KNOTS), np.arange(T)
    spread = SPREAD * (system.u_max - system.u_min)
    left = np.clip(np.searchsorted(places, steps, side='right') - 1, 0, KNOTS - 2)
    share = ((steps - places[left]) / (places[1] - places[0]))[:, None]
    best = controls
    for _ in range(iterations):
        knots = spread * rng.normal(size=(samples, KNOTS, n_u))
        knots[0] = 0.0  # the mean itself is a sample
        noise = (1.0 - share) * knots[:, left] + share * knots[:, left + 1]
        tried = np.clip(controls + noise, system.u_min, system.u_max)
        merit = rolled_out(problem, tried).merit
        best = tried[merit.argmin()]
        better = np.sort(merit)[: samples // 2]
        weight = np.exp(-(merit - better[0]) / (TEMPERATURE * better.std() + 1e-9))
        controls = np.tensordot(weight / weight.sum(), tried, 1)
        spread = SHRINK * spread
    return rolled_out(problem, np.array([controls, best]))
