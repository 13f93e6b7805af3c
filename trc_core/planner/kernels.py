"""The plan call: starts, refinement under the guard, until nothing is left to gain or to spend.

Plain Python that Numba compiles. The algorithm is that of `models/tiny_recursive_control.py`; a
test holds the two together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.ilqr import improve
from trc_core.numerics.rollout import (
    Law,
    Trajectory,
    gradient,
    plain,
    reproject,
    rollout,
    row,
    shift,
)
from trc_core.planner.clock import now
from trc_core.planner.network_kernels import (
    Latents,
    encode_problem,
    first_latents,
    first_plans,
    newton_decrement,
    propose,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.problem.system import Array


class Budget(NamedTuple):
    """What refinement may spend on a plan."""

    cycles: int
    deadline: float  # on the clock of `now`
    tolerance: float  # refinement ends when less than this share of J is expected of a cycle
    seconds: float  # that refining one candidate is thought to take, until it has been measured


class Requests(NamedTuple):
    """B problems, as kernels take them."""

    x0: Array  # (B, n_x)
    r: Array  # (B, T + 1, n_x) references
    previous: Array  # (B, T, n_u) plans that go on from before
    trusted: NDArray[np.bool_]  # (B,) refine nothing but `previous` while that is the cheapest

    def rows(self, rows: slice) -> Requests:
        """Views of some of the problems."""
        x0, r, previous, trusted = self
        return Requests(x0[rows], r[rows], previous[rows], trusted[rows])


class Found(NamedTuple):
    """Solutions of B problems; arrays to fill."""

    x: Array  # (B, T + 1, n_x)
    u: Array  # (B, T, n_u)
    J: Array  # (B,)
    start: NDArray[np.int64]  # (B,) the candidate that the plan grew from
    cycles: NDArray[np.int64]  # (B,) spent
    seconds: Array  # (B,) the longest that refining one candidate took
    starts: Array  # (B, N) cost of every candidate before refinement

    def rows(self, rows: slice) -> Found:
        """Views of some of the problems."""
        x, u, J, start, cycles, seconds, starts = self
        return Found(
            x[rows], u[rows], J[rows], start[rows], cycles[rows], seconds[rows], starts[rows]
        )


@register_jitable
def copy(a, out):
    """Copies a (T, n) into out; here and below, loops compile faster than array expressions."""
    for t in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[t, i] = a[t, i]


@register_jitable
def add(a, fraction, b, out):
    """Fills out with a + fraction b, for arrays (T, n)."""
    for t in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[t, i] = a[t, i] + fraction * b[t, i]


@register_jitable
def start(plant, rep, plans, x0, r, previous, candidates, J):
    """Fills the candidates (N trajectories) and their cost J (N,), inf if unknown.

    They are the S clipped LQR plans, the network's `plans` (M, T, n_u), and `previous` (T, n_u)
    where N has room for it. Where S > 1, `plans` are corrections of the best LQR plan.
    """
    S, M = rep.K_start.shape[0], plans.shape[0]
    v, own, best = np.zeros(previous.shape), Law(rep.K, rep.G), 0
    for n in range(S):
        law = plain(rep.K_start[n])
        J[n] = finite(rollout(plant, law, v, x0, r, row(candidates, n)))
        if J[n] < J[best]:
            best = n
    if S > 1:
        reproject(plant, own, row(candidates, best), r, v)
    for n in range(S, J.shape[0]):
        if n < S + M:
            add(v, 1.0, plans[n - S], plans[n - S])
        plan = plans[n - S] if n < S + M else previous
        J[n] = finite(rollout(plant, own, plan, x0, r, row(candidates, n)))


@register_jitable
def finite(J):
    """J, infinite where it is not a number."""
    return J if math.inf > J else math.inf


@register_jitable
def keep(J, alive, width):
    """Brings the `width` cheapest of the candidates `alive` to the front, in order."""
    for a in range(width):
        best = a
        for b in range(a + 1, alive.shape[0]):
            if J[alive[b]] < J[alive[best]]:
                best = b
        winner = alive[best]
        for b in range(best, a, -1):  # the others keep their order
            alive[b] = alive[b - 1]
        alive[a] = winner
    return alive[:width]


@register_jitable
def refine(plant, model, problem, latents, r, trajectory, J, least, expected):
    """One guarded cycle on one plan, in place, if it is expected to gain `least` J.

    `expected` is what the cycle before gained; where the network reads the gradient, the
    predicted decrease of a Newton step counts if it is less.

    Returns:
        J, which never rises, and whether the cycle was done.
    """
    law, shape = Law(model.rep.K, model.rep.G), trajectory.u.shape
    v, dJ_dv, change = np.empty(shape), np.empty(shape), np.empty(shape)
    reproject(plant, law, trajectory, r, v)
    if model.net.gradient:
        gradient(plant, law, v, trajectory, r, dJ_dv)
        expected = min(expected, newton_decrement(model.rep, dJ_dv))
    if expected < least * J:
        return J, False
    propose(plant, model, problem, latents, trajectory, r, v, dJ_dv, change)
    return accept(plant, law, model.net.sweeps, v, change, r, trajectory, J), True


@register_jitable
def accept(plant, law, sweeps, v, change, r, trajectory, J):
    """Takes v + change, or a quarter of it, if J falls; then the sweeps. Returns J."""
    trial = np.empty(v.shape)
    new = Trajectory(np.empty(trajectory.x.shape), np.empty(v.shape))
    for fraction in (1.0, 0.25):
        add(v, fraction, change, trial)
        J_new = rollout(plant, law, trial, trajectory.x[0], r, new)
        if J_new < J:
            copy(new.x, trajectory.x)
            copy(new.u, trajectory.u)
            J = J_new
            break
    if sweeps > 0 and math.isfinite(J):
        J = improve(plant, r, sweeps, trajectory)[0]
    return J


@register_jitable
def plan(plant, model, budget, requests, found, b):
    """Solves request b, into row b of `found`.

    The candidates are the S clipped LQR plans, the network's M first plans and, where
    `found.starts` has S + M + 1 columns, the plan `previous`. Every cycle refines the best of
    them, as many as the network's beam says; only `previous`, if it is trusted and nothing is
    cheaper. A cycle's step is taken if it lowers J, else a quarter of it if that does.
    """
    x0, r = requests.x0[b], requests.r[b]
    J = found.starts[b].copy()
    N, T, n_u = J.shape[0], found.u.shape[1], found.u.shape[2]
    # candidates, and a latent state for each
    problem = encode_problem(model, x0, r[0])
    latents = first_latents(model.net, problem.z_initial)
    plans = np.empty((model.net.plans, T, n_u))
    first_plans(model, problem, latents, plans)
    candidates = Trajectory(np.empty((N, T + 1, x0.shape[0])), np.empty((N, T, n_u)))
    start(plant, model.rep, plans, x0, r, requests.previous[b], candidates, J)
    for n in range(N):
        found.starts[b, n] = J[n]
    zs = Latents(repeated(latents.H, N), repeated(latents.L, N))
    # cycles, while there is time and something to gain
    alive, gains = np.arange(N), np.full(N, math.inf)
    seconds, cycles, in_time = budget.seconds, 0, True
    while cycles < budget.cycles and in_time:
        beam = model.net.beam
        width = min(beam[min(cycles, beam.shape[0] - 1)], alive.shape[0])
        alive = keep(J, alive, width)
        if cycles == 0 and requests.trusted[b] and alive[0] == N - 1:
            alive = alive[:1]
        done = True
        for n in alive:
            began = now()
            in_time = in_time and began + seconds <= budget.deadline
            if not in_time:
                break
            own, trajectory = Latents(zs.H[n], zs.L[n]), row(candidates, n)
            J_n, refined = refine(
                plant, model, problem, own, r, trajectory, J[n], budget.tolerance, gains[n]
            )
            gains[n], J[n] = J[n] - J_n, J_n
            done = done and not refined
            seconds = max(seconds, now() - began)
        if done:
            break
        cycles += 1
    # the best of them
    best = keep(J, alive, 1)[0]
    copy(candidates.x[best], found.x[b])
    copy(candidates.u[best], found.u[b])
    found.J[b], found.start[b] = J[best], best
    found.cycles[b], found.seconds[b] = cycles, seconds


@register_jitable
def plan_rows(plant, model, budget, requests, found):
    """`plan` for every request."""
    for b in range(requests.x0.shape[0]):
        plan(plant, model, budget, requests, found, b)


@register_jitable
def shift_rows(plant, law, plans, requests, steps, tolerance):
    """Makes candidates of earlier plans (B trajectories), `steps` later.

    Fills `previous` of the requests by `shift`, and `trusted`: whether x0 is where the plan was
    then to be, every coordinate to within `tolerance` (n_x,).
    """
    x, x0 = plans.x, requests.x0
    T = plans.u.shape[1]
    k = int(min(steps, T - 1))
    part = min(steps - k, 1.0)
    for b in range(x0.shape[0]):
        shift(plant, law, row(plans, b), requests.r[b], steps, requests.previous[b])
        requests.trusted[b] = True
        for i in range(x0.shape[1]):
            predicted = (1.0 - part) * x[b, k, i] + part * x[b, k + 1, i]
            if not abs(x0[b, i] - predicted) <= tolerance[i]:
                requests.trusted[b] = False


@register_jitable
def repeated(z, N):
    """N copies of z (n,), one a row."""
    out = np.empty((N, z.shape[0]), np.float32)
    for k in range(N):
        for i in range(z.shape[0]):
            out[k, i] = z[i]
    return out
