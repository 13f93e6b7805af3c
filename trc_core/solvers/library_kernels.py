"""Kernels of the library of tails; they run as plain Python and under Numba.

A tail is what is left of a known plan after some of its steps. It is kept as errors to its goal
and efforts beside the trim that holds it, so that it leads to another goal as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import with_problem
from trc_core.numerics.rollout import Trajectory, plain, rollout, row
from trc_core.solvers.kernels import tracking_gains

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.problem.system import Array

SAME_TAIL = 1e-3  # relative gap in J within which two followed tails probably share an optimum


class Tails(NamedTuple):
    """M known plans; tail number m * starts + t begins at step t of plan m.

    The numbers from M * starts on are the same tails mirrored: errors and efforts change sign.
    """

    errors: Array  # (M, T + 1, n_x)
    efforts: Array  # (M, T, n_u)
    gains: Array  # (M, T, n_u, n_x) that hold the plant to its plan: w = w_t - K_t (e - e_t)
    K: Array  # (T, n_u, n_x) of the LQR, where a tail has ended
    starts: int


class Goals(NamedTuple):
    """The goals of B problems, and what holds them."""

    x: Array  # (B, n_x)
    u_trim: Array  # (B, T, n_u)

    def rows(self, rows: NDArray[np.int64]) -> Goals:
        """Those of some problems, by number (N,)."""
        return Goals(self.x[rows], self.u_trim[rows])


@register_jitable
def towards(plant, goals, b, r):
    """The plant with the trim of goal b; fills the reference r (T + 1, n_x)."""
    r[:] = goals.x[b]
    return with_problem(plant, plant.dynamics.p, goals.u_trim[b])


@register_jitable
def batch_gains(plant, goals, trajectories, K):
    """Fills K (B, T, n_u, n_x), the tracking gains of every trajectory."""
    r = np.empty(trajectories.x.shape[1:])
    for b in range(K.shape[0]):
        tracking_gains(towards(plant, goals, b, r), row(trajectories, b), r, K[b])


@register_jitable
def tail_plan(tails, number, K, v):
    """Fills K (T, n_u, n_x) and v (T, n_u) with the plan that follows a tail, then the LQR."""
    T, n_u, n_x = K.shape
    unmirrored = tails.errors.shape[0] * tails.starts
    sign = 1.0 if number < unmirrored else -1.0
    row = number % unmirrored // tails.starts
    begin = number % tails.starts
    for t in range(T):
        then = begin + t
        for i in range(n_u):
            v[t, i] = 0.0
            if then < T:
                v[t, i] = sign * tails.efforts[row, then, i]
            for j in range(n_x):
                K[t, i, j] = tails.K[t, i, j]
                if then < T:
                    K[t, i, j] = tails.gains[row, then, i, j]
                    v[t, i] += sign * K[t, i, j] * tails.errors[row, then, j]


@register_jitable
def batch_follow_tails(plant, goals, tails, near, x0, candidates, count):
    """Follows the tails near[b] (N,) from x0[b]; keeps the cheapest that differ in J.

    Fills candidates (B, S, T, n_u) with at most S plans a row, and count (B,): how many.
    """
    B, S, T, n_u = candidates.shape
    N, n_x = near.shape[1], x0.shape[1]
    r, law = np.empty((T + 1, n_x)), plain(np.empty((T, n_u, n_x)))
    v, x, u, J = np.empty((T, n_u)), np.empty((T + 1, n_x)), np.empty((N, T, n_u)), np.empty(N)
    for b in range(B):
        own = towards(plant, goals, b, r)
        for n in range(N):
            tail_plan(tails, near[b, n], law.K, v)
            J[n] = rollout(own, law, v, x0[b], r, Trajectory(x, u[n]))
            if not np.isfinite(J[n]):
                J[n] = np.inf
        count[b], last = 0, -1.0
        for n in np.argsort(J):
            if count[b] < S and np.isfinite(J[n]) and J[n] - last > SAME_TAIL * J[n]:
                candidates[b, count[b]] = u[n]
                count[b] += 1
                last = J[n]


@register_jitable
def batch_fly(plant, goals, law, v, x0, u):
    """Fills u (B, S, T, n_u) with the controls of the plans v (B, S, T, n_u) from x0 (B, n_x)."""
    B, S, T, _ = v.shape
    n_x = x0.shape[1]
    r, x = np.empty((T + 1, n_x)), np.empty((T + 1, n_x))
    for b in range(B):
        own = towards(plant, goals, b, r)
        for s in range(S):
            rollout(own, law, v[b, s], x0[b], r, Trajectory(x, u[b, s]))
