"""Kernels of the parameter estimator: an iterated extended Kalman filter.

Plain Python that Numba compiles: as NumPy calls on a few numbers it took longer than a plan.
Loops stand where arrays could be added, because Numba compiles them in a fraction of the time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import with_parameters
from trc_core.numerics.box_qp import backsolve, factor
from trc_core.numerics.cost import wrap
from trc_core.numerics.rollout import clip, hold_sequence, hold_sequence_slopes

if TYPE_CHECKING:
    from trc_core.problem.system import Array

MOST_LINEARISED = 10  # times in a motion


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
    """A prediction of a motion, and its slopes."""

    innovation: Array
    """What was measured, seen from the prediction (n_x,)."""
    by_p: Array
    """Slopes of the prediction by the deviations (n_x, n_p)."""
    noise: Array
    """Covariance (n_x, n_x) of the innovation where the parameters are right."""


class Prediction(NamedTuple):
    """What an estimate and the model said of a motion, seen from how it ended."""

    linearised: Linearised
    """The estimate's prediction."""
    distance: float
    """The square of its innovation, in standard deviations; NaN if something is no number."""
    error: float
    """Its mean square error, in units of the noise."""
    model_error: float
    """The same of the model."""


@register_jitable
def deviated(widths, deviation, model):
    """The parameters (n_p,) that deviate so from a model's (see `Learnable`)."""
    p = np.empty(model.shape[0])
    for j in range(p.shape[0]):
        if widths[j] > 0.0:
            p[j] = model[j] + widths[j] * deviation[j]
        else:
            p[j] = model[j] * math.exp(deviation[j])
    return p


@register_jitable
def predict(plant, motion, widths, variances, deviation, covariance):
    """The `Prediction` of a motion.

    Args:
        plant: the plant; its parameters do not count.
        motion: the `Motion`.
        widths: of the ranges (n_p,) of parameters; 0 where a deviation is a logarithm.
        variances: of the noise of every measured coordinate (n_x,).
        deviation: mean (n_p,) of the estimate.
        covariance: of it (n_p, n_p), when the motion ended.
    """
    n_x, n_p = variances.shape[0], deviation.shape[0]
    here = Linearised(np.empty(n_x), np.empty((n_x, n_p)), np.empty((n_x, n_x)))
    linearise(plant, motion, widths, variances, deviation, here)
    L, by_P = np.empty((n_x, n_x)), np.empty((n_x, n_p))
    distance = np.nan
    if weigh(here, covariance, by_P, L):
        weighted, distance = here.innovation.copy(), 0.0
        backsolve(L, weighted)
        for i in range(n_x):
            distance += here.innovation[i] * weighted[i]
    models = np.empty(n_x)
    innovation_of(plant, motion, motion.model, models)
    error, model_error = mean_square(here.innovation, variances), mean_square(models, variances)
    return Prediction(here, distance, error, model_error)


@register_jitable
def correct(plant, motion, widths, variances, lower, upper, first, before, P):
    """The deviations (n_p,) behind a motion, and their covariance (n_p, n_p).

    Where the slopes change on the way (a payload on a light wrist), they are found again at the
    new deviations: an iterated extended Kalman filter. Source: Bell and Cathey, IEEE Transactions
    on Automatic Control 38 (1993).

    Args:
        plant: as for `predict`, like the next three.
        motion: the `Motion`.
        widths: of the ranges (n_p,).
        variances: of the noise (n_x,).
        lower: least deviations (n_p,).
        upper: largest deviations (n_p,).
        first: the `Linearised` prediction of the estimate.
        before: mean (n_p,) of the estimate.
        P: covariance (n_p, n_p) of it, when the motion ended.
    """
    n_x, n_p = first.by_p.shape
    here = Linearised(first.innovation.copy(), first.by_p.copy(), first.noise.copy())
    deviation, new, after = before.copy(), np.empty(n_p), np.empty(n_x)
    moved, gain = np.empty(n_x), np.empty((n_p, n_x))
    by_P, L = np.empty((n_x, n_p)), np.empty((n_x, n_x))
    for k in range(MOST_LINEARISED):
        if k > 0:
            linearise(plant, motion, widths, variances, deviation, here)
        if not weigh(here, P, by_P, L):
            return before, P
        # Kalman's gain, and where it leads from the estimate of before.
        _gain(by_P, L, gain)
        _corrected(here, gain, before, deviation, new)
        for j in range(n_p):
            new[j] = clip(new[j], lower[j], upper[j])
        # It is the answer where nothing moves, or the prediction moves as its slopes say.
        for i in range(n_x):
            moved[i] = 0.0
            for j in range(n_p):
                moved[i] += here.by_p[i, j] * (new[j] - deviation[j])
        for j in range(n_p):
            deviation[j] = new[j]
        if mean_square(moved, variances) < 1.0:
            break
        innovation_of(plant, motion, deviated(widths, deviation, motion.model), after)
        for i in range(n_x):
            after[i] -= here.innovation[i] - moved[i]
        if mean_square(after, variances) < 1.0:
            break
    covariance = np.empty((n_p, n_p))
    _spread(gain, here, P, covariance)
    return deviation, covariance


@register_jitable
def linearise(plant, motion, widths, variances, deviation, here):
    """Fills a `Linearised` prediction of a motion, of an estimate's mean (n_p,)."""
    innovation, by_p, noise = here
    n_x = innovation.shape[0]
    p = deviated(widths, deviation, motion.model)
    expected, by_x = np.empty(n_x), np.empty((n_x, n_x))
    x, controls, seconds, there = (
        motion.x,
        motion.controls,
        motion.seconds,
        with_parameters(plant, p),
    )
    scales = p.copy()
    for j in range(p.shape[0]):
        if widths[j] > 0.0:
            scales[j] = widths[j]
    hold_sequence_slopes(there, x, controls, seconds, scales, expected, by_x, by_p)
    _seen(plant, motion.x_next, expected, innovation)
    by_noise = np.empty((n_x, n_x))
    for i in range(n_x):
        for j in range(n_x):
            by_noise[i, j] = by_x[i, j] * variances[j]
    multiply(by_noise, by_x, True, noise)
    for i in range(n_x):
        noise[i, i] += variances[i]


@register_jitable
def innovation_of(plant, motion, p, innovation):
    """Fills where a motion ended (n_x,), seen from where parameters p (n_p,) have it end."""
    expected, there = np.empty(innovation.shape[0]), with_parameters(plant, p)
    hold_sequence(there.dynamics, motion.x, motion.controls, motion.seconds, expected)
    _seen(plant, motion.x_next, expected, innovation)


@register_jitable
def _seen(plant, x, expected, innovation):
    """Fills the difference (n_x,) of states, angles wrapped."""
    for i in range(x.shape[0]):
        innovation[i] = x[i] - expected[i]
    wrap(innovation, plant.angles)


@register_jitable
def mean_square(x, variances):
    """The mean square of a difference of states (n_x,), in units of the noise."""
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] * x[i] / variances[i]
    return total / x.shape[0]


@register_jitable
def weigh(here, P, by_P, L):
    """Fills by_P (n_x, n_p), the slopes times P, and L (n_x, n_x), of the innovation's covariance.

    Returns:
        Whether the prediction and all of them are numbers.
    """
    S, free = np.empty(L.shape), np.ones(L.shape[0], np.bool_)
    multiply(here.by_p, P, False, by_P)
    multiply(by_P, here.by_p, True, S)
    are_numbers = True
    for i in range(L.shape[0]):
        are_numbers = are_numbers and math.isfinite(here.innovation[i])
        for j in range(L.shape[0]):
            S[i, j] += here.noise[i, j]
            L[i, j] = 0.0
            are_numbers = are_numbers and math.isfinite(S[i, j])
    if not are_numbers:
        return False
    factor(S, free, L)
    for i in range(L.shape[0]):  # no number where S is not positive
        are_numbers = are_numbers and math.isfinite(L[i, i])
    return are_numbers


@register_jitable
def _gain(by_P, L, gain):
    """Fills Kalman's gain (n_p, n_x)."""
    for j in range(gain.shape[0]):
        for i in range(gain.shape[1]):
            gain[j, i] = by_P[i, j]
        backsolve(L, gain[j])


@register_jitable
def _corrected(here, gain, before, deviation, new):
    """Fills new (n_p,), the estimate of before corrected by a prediction at a deviation (n_p,)."""
    n_p, n_x = gain.shape
    for j in range(n_p):
        new[j] = before[j]
    for i in range(n_x):
        innovation = here.innovation[i]
        for j in range(n_p):
            innovation -= here.by_p[i, j] * (before[j] - deviation[j])
        for j in range(n_p):
            new[j] += gain[j, i] * innovation


@register_jitable
def _spread(gain, here, P, covariance):
    """Fills the covariance behind a gain in the form of Joseph, which keeps it positive."""
    n_p, n_x = gain.shape
    rest, rest_P, taken = np.empty((n_p, n_p)), np.empty((n_p, n_p)), np.empty((n_p, n_p))
    multiply(gain, here.by_p, False, rest)
    for j in range(n_p):
        for k in range(n_p):
            rest[j, k] = (1.0 if j == k else 0.0) - rest[j, k]
    multiply(rest, P, False, rest_P)
    multiply(rest_P, rest, True, covariance)
    gain_noise = np.empty((n_p, n_x))
    multiply(gain, here.noise, False, gain_noise)
    multiply(gain_noise, gain, True, taken)
    for j in range(n_p):
        for k in range(n_p):
            covariance[j, k] += taken[j, k]


@register_jitable
def multiply(A, B, by_rows, out):
    """Fills out with A B, or with A B' where the product is by the rows of B."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = 0.0
            for k in range(A.shape[1]):
                total += A[i, k] * (B[j, k] if by_rows else B[k, j])
            out[i, j] = total
