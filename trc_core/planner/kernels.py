"""The plan call: starts, refinement under the guard, until nothing is left to gain or to spend.

Plain Python that Numba compiles. The algorithm is that of `models/tiny_recursive_control.py`; a
test holds the two together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.cost import wrap
from trc_core.numerics.ilqr import improve, new_memory
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
from trc_core.planner.canonical_kernels import Units
from trc_core.planner.clock import now
from trc_core.planner.feature_kernels import (
    Settings,
    empty_features,
    metric_gradient,
    newton_decrement,
    read_consequences,
    read_plan,
    read_problem,
    write_step,
)
from trc_core.planner.network_kernels import Latents, encode, propose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.numerics.representation import Representation
    from trc_core.problem.system import Array


class Model(NamedTuple):
    """A trained network, the coordinates of its plans, and how it was trained to refine them."""

    rep: Representation
    settings: Settings
    net: Any  # a `Network`, or what stands for it


class Problem(NamedTuple):
    """One problem as the network sees it."""

    r: Array  # (T + 1, n_x)
    units: Units
    z_initial: NDArray[np.float32]  # (latent,) the encoded initial error


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
def begin(plant, model, x0, r, previous, candidates, J):
    """Fills the candidates (N trajectories) and their costs, as `start` does.

    Returns:
        The `Problem`, and the `Latents` (N, latent) of the candidates.
    """
    net, N = model.net, J.shape[0]
    units, features, members = read_problem(model.rep, x0, r[0], plant.dynamics.p)
    latent = net.H_init.shape[0]
    z_initial, outputs = np.empty(latent, np.float32), np.empty(net.first_outputs, np.float32)
    latents = Latents(np.empty((N, latent), np.float32), np.empty((N, latent), np.float32))
    first = Latents(latents.H[0], latents.L[0])
    encode(net, features, members, z_initial, first, outputs)
    for n in range(1, N):
        for i in range(latent):
            latents.H[n, i], latents.L[n, i] = latents.H[0, i], latents.L[0, i]
    start(plant, model.rep, units, outputs, x0, r, previous, candidates, J)
    return Problem(r, units, z_initial), latents


@register_jitable
def start(plant, rep, units, outputs, x0, r, previous, candidates, J):
    """Fills the candidates (N trajectories) and their cost J (N,), inf if unknown.

    They are the S clipped LQR plans, the network's M first plans, of its outputs (M T n_u,), and
    `previous` (T, n_u) where N has room for it. Where S > 1, the network's plans are corrections
    of the best LQR plan.
    """
    S, size = rep.K_start.shape[0], previous.shape[0] * previous.shape[1]
    M = outputs.shape[0] // size
    v, change = np.zeros(previous.shape), np.empty(previous.shape)
    own, best = Law(rep.K, rep.G), 0
    for n in range(S):
        law = plain(rep.K_start[n])
        J[n] = finite(rollout(plant, law, v, x0, r, row(candidates, n)))
        if J[n] < J[best]:
            best = n
    if S > 1:
        reproject(plant, own, row(candidates, best), r, v)
    for n in range(S, J.shape[0]):
        if n < S + M:
            write_step(rep, units, outputs[(n - S) * size : (n - S + 1) * size], change)
            add(v, 1.0, change, change)
        plan = change if n < S + M else previous
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
def refine(plant, model, problem, latents, trajectory, J, expected, least):
    """One guarded cycle on one plan, in place, if it is expected to gain `least`.

    Returns:
        J, which never rises, and whether the cycle was done.
    """
    rep, settings, (T, n_u) = model.rep, model.settings, trajectory.u.shape
    v, output = np.empty((T, n_u)), np.empty(T * n_u, np.float32)
    seen = empty_features(settings, T, n_u)
    if not observe(plant, rep, settings, problem, trajectory, expected, least, v, seen):
        return J, False
    propose(model.net, seen, problem.z_initial, latents, output)
    return accept(plant, rep, settings, problem, v, output, trajectory, J), True


@register_jitable
def observe(plant, rep, settings, problem, trajectory, expected, least, v, seen):
    """Fills the plan v (T, n_u) of a trajectory and its features, if a cycle is worth the while.

    `expected` is what the cycle before gained; where the network reads the gradient, the
    predicted decrease of a Newton step counts if it is less.

    Returns:
        Whether at least `least` is expected of a cycle; else the features are not filled.
    """
    r, units, law = problem.r, problem.units, Law(rep.K, rep.G)
    dJ_dv = np.empty(v.shape)
    reproject(plant, law, trajectory, r, v)
    if settings.gradient:
        gradient(plant, law, v, trajectory, r, dJ_dv)
        expected = min(expected, newton_decrement(rep, dJ_dv))
    if expected < least:
        return False
    if settings.gradient:
        metric_gradient(rep, units, dJ_dv, seen.slope)
    read_plan(plant, rep, units, v, trajectory.u, seen.plan)
    read_consequences(rep, settings, units, trajectory.x, r, seen.slope, seen.consequences)
    return True


@register_jitable
def accept(plant, rep, settings, problem, v, output, trajectory, J):
    """Takes the network's step from v, or a quarter of it, if J falls; then the sweeps.

    Returns:
        J, which never rises.
    """
    r, law = problem.r, Law(rep.K, rep.G)
    change, trial = np.empty(v.shape), np.empty(v.shape)
    new = Trajectory(np.empty(trajectory.x.shape), np.empty(v.shape))
    write_step(rep, problem.units, output, change)
    if not settings.residual:
        add(change, -1.0, v, change)
    for fraction in (1.0, 0.25):
        add(v, fraction, change, trial)
        J_new = rollout(plant, law, trial, trajectory.x[0], r, new)
        if J_new < J:
            copy(new.x, trajectory.x)
            copy(new.u, trajectory.u)
            J = J_new
            break
    if settings.sweeps > 0 and math.isfinite(J):
        memory = new_memory(plant, v.shape[0], v.shape[1], r.shape[1])
        J = improve(plant, r, settings.sweeps, trajectory, J, memory, 0.0)[0]
    return J


@register_jitable
def plan(begin, refine, plant, model, budget, requests, found, b):
    """Solves request b, into row b of `found`, with `begin` and `refine` or what stands for them.

    The candidates are the S clipped LQR plans, the network's M first plans and, where
    `found.starts` has S + M + 1 columns, the plan `previous`. Every cycle refines the best of
    them, as many as the network's beam says; only `previous`, if it is trusted and nothing is
    cheaper. A cycle's step is taken if it lowers J, else a quarter of it if that does.
    """
    x0, r, previous = requests.x0[b], requests.r[b], requests.previous[b]
    J = found.starts[b].copy()
    N, T, n_u = J.shape[0], found.u.shape[1], found.u.shape[2]
    # candidates, and a latent state for each
    candidates = Trajectory(np.empty((N, T + 1, x0.shape[0])), np.empty((N, T, n_u)))
    problem, latents = begin(plant, model, x0, r, previous, candidates, J)
    for n in range(N):
        found.starts[b, n] = J[n]
    # cycles, while there is time and something to gain
    alive, gains, beam = np.arange(N), np.full(N, math.inf), model.settings.beam
    seconds, cycles, in_time = budget.seconds, 0, True
    while cycles < budget.cycles and in_time:
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
            own, trajectory = Latents(latents.H[n], latents.L[n]), row(candidates, n)
            least = budget.tolerance * J[n]
            J_n, refined = refine(plant, model, problem, own, trajectory, J[n], gains[n], least)
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
        plan(begin, refine, plant, model, budget, requests, found, b)


@register_jitable
def propose_rows(plant, model, requests, found, candidates):
    """Fills every candidate (B, N trajectories) of the requests and its merit, `found.starts`.

    They are those of `start`, in its order; nothing is refined, and the rest of `found` is left.
    """
    for b in range(requests.x0.shape[0]):
        x0, r, previous = requests.x0[b], requests.r[b], requests.previous[b]
        begin(plant, model, x0, r, previous, row(candidates, b), found.starts[b])


@register_jitable
def shift_rows(plant, law, plans, requests, steps, tolerance):
    """Makes candidates of earlier plans (B trajectories), `steps` later.

    Fills `previous` of the requests by `shift`, and `trusted` by `is_expected`.
    """
    for b in range(requests.x0.shape[0]):
        plan = row(plans, b)
        shift(plant, law, plan, requests.r[b], steps, requests.previous[b])
        requests.trusted[b] = is_expected(plant, plan, requests.x0[b], steps, tolerance)


@register_jitable
def is_expected(plant, plan, x0, steps, tolerance):
    """Whether x0 is where a plan was to be, every coordinate to within `tolerance` (n_x,)."""
    x, T = plan.x, plan.u.shape[0]
    k = int(min(steps, T - 1))
    part = min(steps - k, 1.0)
    off = np.empty(x0.shape[0])
    for i in range(x0.shape[0]):
        off[i] = x0[i] - (1.0 - part) * x[k, i] - part * x[k + 1, i]
    wrap(off, plant.angles)
    expected = True
    for i in range(x0.shape[0]):
        expected = expected and abs(off[i]) <= tolerance[i]
    return expected
