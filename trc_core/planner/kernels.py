"""The plan call: starts, refinement under the guard, until nothing is left to gain or to spend.

Plain Python that Numba compiles. The algorithm is that of `models/tiny_recursive_control.py`; a
test holds the two together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from trc_core.numerics.ilqr import improve
from trc_core.numerics.rollout import Law, continued, gradient, plain, reproject, rollout
from trc_core.planner.clock import now
from trc_core.planner.network_kernels import (
    encode_problem,
    first_latents,
    first_plans,
    newton_decrement,
    propose,
)
from trc_core.problem.system import Array


class Budget(NamedTuple):
    """What refinement may spend on a plan."""

    cycles: int
    deadline: float  # on the clock of `now`
    tolerance: float  # a plan is done when a cycle promises to gain less than this share of J
    seconds: float  # that refining one candidate is thought to take, until it has been measured


class Found(NamedTuple):
    """What became of B problems; arrays to fill."""

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
def start(step, step_jacobian, system, rep, plans, x0, goal, previous, x, u, J):
    """Fills candidates x (N, T + 1, n_x), u (N, T, n_u) and their cost J (N,), inf if unknown.

    They are the S clipped LQR plans, the network's `plans` (M, T, n_u), and `previous` (T, n_u)
    where N has room for it. Where S > 1, `plans` are corrections of the best LQR plan.
    """
    S, M = rep.K_start.shape[0], plans.shape[0]
    v, own, best = np.zeros(u.shape[1:]), Law(rep.K, rep.G), 0
    for n in range(S):
        law = plain(rep.K_start[n])
        J[n] = finite(rollout(step, step_jacobian, system, law, v, x0, goal, x[n], u[n]))
        if J[n] < J[best]:
            best = n
    if S > 1:
        reproject(system, own, x[best], u[best], goal, v)
    for n in range(S, J.shape[0]):
        if n < S + M:
            add(v, 1.0, plans[n - S], plans[n - S])
        plan = plans[n - S] if n < S + M else previous
        J[n] = finite(rollout(step, step_jacobian, system, own, plan, x0, goal, x[n], u[n]))


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
def refine(
    step,
    step_jacobian,
    system,
    rep,
    net,
    units,
    z_initial,
    z_H,
    z_L,
    goal,
    least,
    promise,
    x,
    u,
    J,
):
    """One guarded cycle on one plan, in place, if it promises to gain `least` J.

    `promise` is what the cycle before gained; where the network reads the gradient, what a Newton
    step promises counts if it is less.

    Returns:
        J, which never rises, and whether the cycle was done.
    """
    law = Law(rep.K, rep.G)
    v, dJ_dv, change = np.empty(u.shape), np.empty(u.shape), np.empty(u.shape)
    reproject(system, law, x, u, goal, v)
    if net.gradient:
        gradient(step, step_jacobian, system, law, v, x, u, goal, dJ_dv)
        promise = min(promise, newton_decrement(rep, dJ_dv))
    if promise < least * J:
        return J, False
    propose(system, rep, net, units, z_initial, z_H, z_L, x, u, v, goal, dJ_dv, change)
    return accept(step, step_jacobian, system, law, net.sweeps, v, change, goal, x, u, J), True


@register_jitable
def accept(step, step_jacobian, system, law, sweeps, v, change, goal, x, u, J):
    """Takes v + change, or a quarter of it, if J falls; then the sweeps. Returns J."""
    trial, x_new, u_new = np.empty(u.shape), np.empty(x.shape), np.empty(u.shape)
    for fraction in (1.0, 0.25):
        add(v, fraction, change, trial)
        J_new = rollout(step, step_jacobian, system, law, trial, x[0], goal, x_new, u_new)
        if J_new < J:
            copy(x_new, x)
            copy(u_new, u)
            J = J_new
            break
    if sweeps > 0 and math.isfinite(J):
        J = improve(step, step_jacobian, system, goal, sweeps, x, u)[0]
    return J


@register_jitable
def plan(step, step_jacobian, system, rep, net, budget, x0, goal, previous, narrow, found, b):
    """Plans from x0 to goal, into row b of `found`.

    The candidates are the S clipped LQR plans, the network's M first plans and, where
    `found.starts` has S + M + 1 columns, the plan `previous` (T, n_u). Every cycle refines the
    best of them, as many as the network's beam says; only `previous`, if `narrow` and nothing is
    cheaper. A cycle's step is taken if it lowers J, else a quarter of it if that does.
    """
    J = found.starts[b].copy()
    N, T, n_u = J.shape[0], found.u.shape[1], found.u.shape[2]
    z_initial = np.empty(net.H_init.shape[0], np.float32)
    units = encode_problem(rep, net, x0, goal, z_initial)
    z_H, z_L = first_latents(net, z_initial)
    plans = np.empty((net.plans, T, n_u))
    first_plans(rep, net, units, z_H if net.first_cycles > 0 else z_initial, plans)
    x, u = np.empty((N, T + 1, goal.shape[0])), np.empty((N, T, n_u))
    start(step, step_jacobian, system, rep, plans, x0, goal, previous, x, u, J)
    for n in range(N):
        found.starts[b, n] = J[n]
    zs_H, zs_L = np.empty((N, z_H.shape[0]), np.float32), np.empty((N, z_H.shape[0]), np.float32)
    copy_to_rows(z_H, zs_H)
    copy_to_rows(z_L, zs_L)
    alive, gains = np.arange(N), np.full(N, math.inf)
    seconds, cycles, in_time = budget.seconds, 0, True
    while cycles < budget.cycles and in_time:
        width = min(net.beam[min(cycles, net.beam.shape[0] - 1)], alive.shape[0])
        alive = keep(J, alive, width)
        if cycles == 0 and narrow and alive[0] == N - 1:
            alive = alive[:1]
        done = True
        for n in alive:
            began = now()
            in_time = in_time and began + seconds <= budget.deadline
            if not in_time:
                break
            J_n, refined = refine(
                step,
                step_jacobian,
                system,
                rep,
                net,
                units,
                z_initial,
                zs_H[n],
                zs_L[n],
                goal,
                budget.tolerance,
                gains[n],
                x[n],
                u[n],
                J[n],
            )
            gains[n], J[n] = J[n] - J_n, J_n
            done = done and not refined
            seconds = max(seconds, now() - began)
        if done:
            break
        cycles += 1
    best = keep(J, alive, 1)[0]
    copy(x[best], found.x[b])
    copy(u[best], found.u[b])
    found.J[b], found.start[b] = J[best], best
    found.cycles[b], found.seconds[b] = cycles, seconds


@register_jitable
def plan_rows(step, step_jacobian, system, rep, net, budget, x0, goal, previous, narrow, found):
    """`plan` for every row of x0, goal (B, n_x), previous (B, T, n_u) and narrow (B,)."""
    for b in range(x0.shape[0]):
        plan(
            step,
            step_jacobian,
            system,
            rep,
            net,
            budget,
            x0[b],
            goal[b],
            previous[b],
            narrow[b],
            found,
            b,
        )


@register_jitable
def continue_rows(
    step, step_jacobian, system, law, x, u, x0, goal, steps, surprise, previous, narrow
):
    """Makes candidates of the plans (x, u), `steps` later, for problems that begin in x0 (B, n_x).

    Fills previous (B, T, n_u) by `continued`, and narrow (B,): whether x0 is where the plan was
    then to be, every coordinate to within `surprise` (n_x,).
    """
    T = u.shape[1]
    k = int(min(steps, T - 1))
    part = min(steps - k, 1.0)
    for b in range(x0.shape[0]):
        continued(step, step_jacobian, system, law, x[b], u[b], goal[b], steps, previous[b])
        narrow[b] = True
        for i in range(x0.shape[1]):
            predicted = (1.0 - part) * x[b, k, i] + part * x[b, k + 1, i]
            if not abs(x0[b, i] - predicted) <= surprise[i]:
                narrow[b] = False


@register_jitable
def copy_to_rows(a, out):
    """Copies a (n,) into every row of out (N, n)."""
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[k, i] = a[i]
