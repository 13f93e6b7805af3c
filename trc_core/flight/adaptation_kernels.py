"""Kernels of the parameter estimator: one step of its extended Kalman filter.

Plain Python that Numba compiles: as NumPy calls on a few numbers it took longer than a plan.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.box_qp import backsolve, factor


@register_jitable
def learn(innovation, by_x, by_p, variances, outlier, mean, covariance):
    """Updates an estimate, mean (n_p,) and covariance (n_p, n_p), by a motion, in place.

    Args:
        innovation: error (n_x,) with which the estimate predicted the motion.
        by_x: slopes (n_x, n_x) of the prediction by the state before the motion.
        by_p: slopes (n_x, n_p) of it by what is estimated.
        variances: of the noise of every measured coordinate (n_x,).
        outlier: standard deviations beyond which a motion teaches nothing.
        mean: of the estimate.
        covariance: of it when the motion ended.

    Returns:
        Whether the motion teaches something; otherwise nothing is changed.
    """
    n_x, n_p = by_p.shape
    # The covariance of the noise, before and after the motion, and S of the innovation.
    noise, by_noise = np.empty((n_x, n_x)), by_x * variances
    multiply(by_noise, by_x, True, noise)
    for i in range(n_x):
        noise[i, i] += variances[i]
    by_P, S = np.empty((n_x, n_p)), np.empty((n_x, n_x))
    multiply(by_p, covariance, False, by_P)
    multiply(by_P, by_p, True, S)
    for i in range(n_x):
        for j in range(n_x):
            S[i, j] += noise[i, j]
    # Outliers, and what is no number, are left out.
    L, free = np.zeros((n_x, n_x)), np.ones(n_x, np.bool_)
    factor(S, free, L)
    weighted, square = innovation.copy(), 0.0
    backsolve(L, weighted)
    for i in range(n_x):
        square += innovation[i] * weighted[i]
    if not square <= n_x * outlier**2:
        return False
    # The gain of a Kalman filter.
    gain = np.empty((n_p, n_x))
    for j in range(n_p):
        for i in range(n_x):
            gain[j, i] = by_P[i, j]
        backsolve(L, gain[j])
        for i in range(n_x):
            mean[j] += gain[j, i] * innovation[i]
    correct(gain, by_p, noise, covariance)
    return True


@register_jitable
def correct(gain, by_p, noise, covariance):
    """Corrects a covariance in the form of Joseph, which keeps it positive."""
    n_p, n_x = gain.shape
    rest, rest_P, taken = np.empty((n_p, n_p)), np.empty((n_p, n_p)), np.empty((n_p, n_p))
    multiply(gain, by_p, False, rest)
    for j in range(n_p):
        for k in range(n_p):
            rest[j, k] = (1.0 if j == k else 0.0) - rest[j, k]
    multiply(rest, covariance, False, rest_P)
    multiply(rest_P, rest, True, covariance)
    gain_noise = np.empty((n_p, n_x))
    multiply(gain, noise, False, gain_noise)
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
